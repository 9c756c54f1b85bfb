// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/background_debug.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "runtime/clock.h"
#include "stack/parts.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// As iputils' for those who are not root; below it the queue of results would be the limit.
constexpr std::uint32_t kIntervalMinMs = 2;

// As iputils words what ICMP says.
std::string_view error_text(DeliveryErrorKind kind) {
  switch (kind) {
    case DeliveryErrorKind::kNetUnreachable:
      return "Destination Net Unreachable";
    case DeliveryErrorKind::kHostUnreachable:
      return "Destination Host Unreachable";
    case DeliveryErrorKind::kProtocolUnreachable:
      return "Destination Protocol Unreachable";
    case DeliveryErrorKind::kPortUnreachable:
      return "Destination Port Unreachable";
    case DeliveryErrorKind::kFragmentationNeeded:
      return "Frag needed and DF set";
    case DeliveryErrorKind::kSourceRouteFailed:
      return "Source Route Failed";
    case DeliveryErrorKind::kAdminProhibited:
      return "Packet filtered";
    case DeliveryErrorKind::kTimeExceeded:
      return "Time to live exceeded";
    case DeliveryErrorKind::kParameterProblem:
      return "Parameter problem";
  }
  return "Error";
}

json to_json(const stack::PingResult& result) {
  json told = {{"sequence", result.sequence}};
  switch (result.outcome) {
    case stack::PingOutcome::kReply:
      told.update({{"outcome", "reply"},
                   {"from", result.from.to_string()},
                   {"rtt_ns", result.round_trip.count()},
                   {"bytes", result.payload + 8},
                   {"ttl", result.hop_limit},
                   {"intact", result.payload_intact}});
      break;
    case stack::PingOutcome::kTimeout:
      told["outcome"] = "timeout";
      break;
    case stack::PingOutcome::kError:
      told.update(
          {{"outcome", "error"}, {"from", result.from.to_string()}, {"error", error_text(result.error)}});
      break;
  }
  return told;
}

// "0.034", "12.3", "104": fewer digits the longer it took, as iputils.
std::string rtt_text(double ms) {
  if (ms >= 100) return fmt::format("{:.0f}", ms);
  if (ms >= 10) return fmt::format("{:.1f}", ms);
  if (ms >= 1) return fmt::format("{:.2f}", ms);
  return fmt::format("{:.3f}", ms);
}

// Counts and prints what comes, and sums it up.
class Report {
 public:
  explicit Report(const PingOptions& options) : options_(options) {}

  void take(const json& data) {
    if (const auto sent = data.find("sent"); sent != data.end()) {
      sent_ = sent->get<std::uint64_t>();
      return;
    }
    const std::string outcome = data.value("outcome", "");
    if (outcome == "reply") {
      ++received_;
      const double ms = static_cast<double>(data.value("rtt_ns", std::int64_t{0})) / 1e6;
      least_ = received_ == 1 ? ms : std::min(least_, ms);
      most_ = std::max(most_, ms);
      sum_ += ms;
      squares_ += ms * ms;
    } else if (outcome == "error") {
      ++errors_;
    }
    if (options_.json) return print_json_line(ordered_json(data));
    if (!options_.quiet) print(data, outcome);
  }

  void sum_up(Duration took) const {
    const std::uint64_t lost = sent_ - std::min(received_, sent_);
    const double average = received_ == 0 ? 0 : sum_ / static_cast<double>(received_);
    const double deviation =
        received_ == 0
            ? 0
            : std::sqrt(std::max(0.0, squares_ / static_cast<double>(received_) - average * average));
    if (options_.json) {
      ordered_json summary = {{"destination", options_.destination},
                              {"transmitted", sent_},
                              {"received", received_},
                              {"errors", errors_},
                              {"time_ms", took / 1ms}};
      if (received_ != 0)
        summary["rtt_ms"] = {{"min", least_}, {"avg", average}, {"max", most_}, {"mdev", deviation}};
      return print_json_line({{"summary", summary}});
    }
    fmt::print("\n--- {} ping statistics ---\n", options_.destination);
    fmt::print("{} packets transmitted, {} received, {}{:.6g}% packet loss, time {}ms\n", sent_, received_,
               errors_ != 0 ? fmt::format("+{} errors, ", errors_) : "",
               sent_ == 0 ? 0.0 : 100.0 * static_cast<double>(lost) / static_cast<double>(sent_), took / 1ms);
    if (received_ != 0)
      fmt::print("rtt min/avg/max/mdev = {:.3f}/{:.3f}/{:.3f}/{:.3f} ms\n", least_, average, most_,
                 deviation);
  }

  bool answered() const { return received_ != 0; }

 private:
  void print(const json& data, const std::string& outcome) const {
    const auto sequence = data.value("sequence", 0U);
    if (options_.stamps) {
      const auto now = std::chrono::duration_cast<std::chrono::microseconds>(runtime::monotonic_now().time_since_epoch()).count() +
                       static_cast<std::int64_t>(runtime::wall_clock_offset_ns() / 1000);
      fmt::print("[{}.{:06}] ", now / 1'000'000, now % 1'000'000);
    }
    if (outcome == "reply") {
      fmt::print("{} bytes from {}: icmp_seq={} ttl={} time={} ms{}\n", data.value("bytes", std::uint64_t{0}),
                 data.value("from", ""), sequence, data.value("ttl", 0),
                 rtt_text(static_cast<double>(data.value("rtt_ns", std::int64_t{0})) / 1e6),
                 data.value("intact", true) ? "" : " (its bytes are not those that were sent)");
    } else if (outcome == "error") {
      fmt::print("From {} icmp_seq={} {}\n", data.value("from", ""), sequence, data.value("error", ""));
    } else {
      fmt::print("no answer to icmp_seq={}\n", sequence);
    }
    std::fflush(stdout);
  }

  const PingOptions& options_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t errors_ = 0;
  double least_ = 0, most_ = 0, sum_ = 0, squares_ = 0;  // ms
};

}  // namespace

void answer_ping(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto destination = IpAddress::parse(question.value("destination", ""));
  if (!destination || !destination->is_v4())
    return reply.fail("'" + question.value("destination", "") + "' is no IPv4 address");
  const auto count = question.value("count", std::uint64_t{0});
  const Duration interval =
      std::chrono::milliseconds(std::max(question.value("interval_ms", 1000U), kIntervalMinMs));
  stack::PingRequest request;
  request.destination = *destination;
  request.id = running.pingers.fetch_add(1);
  request.payload = question.value("size", std::size_t{56});
  if (request.payload > stack::kPingPayloadMax)
    return reply.fail(fmt::format("a ping carries at most {} bytes", stack::kPingPayloadMax));
  request.hop_limit = question.value("ttl", std::uint8_t{0});
  request.dont_fragment = question.value("dont_fragment", false);
  request.timeout = std::chrono::milliseconds(question.value("timeout_ms", 10'000U));

  std::uint64_t sent = 0;
  std::uint64_t ended = 0;
  std::vector<stack::PingResult> results;  // taken, and not yet told
  Instant next = runtime::monotonic_now();
  const Instant until = question.contains("deadline_ms") ? next + std::chrono::milliseconds(question.value("deadline_ms", 0U)) : kNever;
  const auto all_sent = [&] { return count != 0 && sent == count; };
  while (!all_sent() || ended < sent) {
    if (runtime::monotonic_now() >= until) return;
    std::optional<ip::RouteError> failed;
    const bool sends = !all_sent() && runtime::monotonic_now() >= next;
    running.host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
      stack::Stack::Parts& parts = stack.parts();
      if (sends) {
        request.sequence = static_cast<std::uint16_t>(sent + 1);
        if (auto built = parts.pings.start(request, now))
          parts.queue_reply(std::move(*built), now);
        else
          failed = built.error();
      }
      while (auto result = parts.pings.take_result(request.id)) results.push_back(*result);
    });
    // With requests under way their results make room; anything else will not get better.
    if (failed && (*failed != ip::RouteError::kTooMany || sent == ended))
      return reply.fail(fmt::format("no ping to {}: {}", destination->to_string(), route_error_text(*failed)));
    if (sends && !failed) {
      reply.send({{"sent", ++sent}});
      next = std::max(next + interval, runtime::monotonic_now());
    }
    for (const stack::PingResult& result : results) {
      ++ended;
      reply.send(to_json(result));
    }
    results.clear();
    if (all_sent() && ended == sent) break;
    const bool here = wait_for_stack(running, reply, std::min(all_sent() ? kNever : next, until), [&](stack::Stack& stack) {
      while (auto result = stack.parts().pings.take_result(request.id)) results.push_back(*result);
      return !results.empty();
    });
    if (!here) return;
  }
}

int ping_main(const PingOptions& options) {
  if (const auto address = IpAddress::parse(options.destination); !address || !address->is_v4())
    return complain("ping",
                    fmt::format("'{}' is no IPv4 address; names are not looked up", options.destination), 2);
  if (options.size > stack::kPingPayloadMax)
    return complain(
        "ping", fmt::format("-s {}: a ping carries at most {} bytes", options.size, stack::kPingPayloadMax),
        2);
  json question = {{"command", "ping"},
                         {"destination", options.destination},
                         {"count", options.count},
                         {"interval_ms", static_cast<std::uint32_t>(options.interval * 1000)},
                         {"timeout_ms", static_cast<std::uint32_t>(options.timeout * 1000)},
                         {"size", options.size},
                         {"ttl", options.ttl},
                         {"dont_fragment", options.discovery == "do"}};
  if (options.deadline) question["deadline_ms"] = static_cast<std::uint32_t>(*options.deadline * 1000);
  Report report(options);
  const Instant began = runtime::monotonic_now();
  bool begun = false;
  const int status = ask_stream("ping", options, question, [&](const json& data) {
    if (!std::exchange(begun, true) && !options.json) {
      fmt::print("PING {} ({}) {}({}) bytes of data.\n", options.destination, options.destination,
                 options.size, options.size + 28);
      std::fflush(stdout);
    }
    report.take(data);
    return true;
  });
  if (begun) report.sum_up(runtime::monotonic_now() - began);
  if (status != 0) return status;
  return report.answered() ? 0 : 1;
}

int ping2_main(const PingOptions& options) {
  BackgroundDebug debug;
  debug.show_with(
      [](const std::string& lines) {
        std::fputs(lines.c_str(), stdout);
        std::fflush(stdout);
      },
      ::isatty(STDOUT_FILENO) == 1);
  const auto topics = static_cast<observe::Topics>(*observe::topics_named("arp") | *observe::topics_named("ip") | *observe::topics_named("icmp"));
  if (const auto heard = debug.set(options.control_path(), topics); !heard) return complain("ping2", heard.error());
  return ping_main(options);
}

}  // namespace tapir::cli
