// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "runtime/clock.h"
#include "stack/parts.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::uint8_t kQueriesMax = 10;
constexpr std::uint16_t kPacketMin = 28;

// traceroute(8)'s marks.
std::string_view mark_of(DeliveryErrorKind kind) {
  switch (kind) {
    case DeliveryErrorKind::kNetUnreachable:
      return "!N";
    case DeliveryErrorKind::kHostUnreachable:
      return "!H";
    case DeliveryErrorKind::kProtocolUnreachable:
      return "!P";
    case DeliveryErrorKind::kFragmentationNeeded:
      return "!F";
    case DeliveryErrorKind::kSourceRouteFailed:
      return "!S";
    case DeliveryErrorKind::kAdminProhibited:
      return "!X";
    default:
      return "";
  }
}

// The results of one hop, in the order of the queries.
struct Hop {
  std::vector<std::optional<stack::PingResult>> results;
  bool complete() const {
    return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); });
  }
  // The way ends here: the destination answered, or somebody said that it cannot be reached.
  bool last() const {
    return std::ranges::any_of(results, [](const auto& result) {
      return result->outcome == stack::PingOutcome::kReply ||
             (result->outcome == stack::PingOutcome::kError && result->error != DeliveryErrorKind::kTimeExceeded);
    });
  }
  json told(std::uint8_t ttl) const {
    json probes = json::array();
    for (const auto& result : results) {
      if (result->outcome == stack::PingOutcome::kTimeout) {
        probes.push_back(nullptr);
        continue;
      }
      json probe = {{"from", result->from.to_string()}, {"rtt_ns", result->round_trip.count()}};
      if (result->outcome == stack::PingOutcome::kError && !mark_of(result->error).empty()) probe["mark"] = mark_of(result->error);
      probes.push_back(std::move(probe));
    }
    return {{"hop", ttl}, {"probes", std::move(probes)}};
  }
};

}  // namespace

void answer_traceroute(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto destination = IpAddress::parse(question.value("destination", ""));
  if (!destination || !destination->is_v4()) return reply.fail("'" + question.value("destination", "") + "' is no IPv4 address");
  const bool icmp = question.value("icmp", false);
  const std::size_t size = std::max<std::size_t>(question.value("size", 60U), kPacketMin);
  stack::PingRequest request;
  request.destination = *destination;
  request.id = running.pingers.fetch_add(1);
  request.payload = size - kPacketMin;
  request.timeout = std::chrono::milliseconds(question.value("wait_ms", 5000U));
  const auto queries = std::clamp<std::uint8_t>(question.value("queries", std::uint8_t{3}), 1, kQueriesMax);
  const auto most = question.value("most", std::uint8_t{30});
  auto port = question.value("port", std::uint16_t{33434});

  for (std::uint8_t ttl = std::max<std::uint8_t>(question.value("first", std::uint8_t{1}), 1); ttl <= most; ++ttl) {
    Hop hop;
    hop.results.resize(queries);
    request.hop_limit = ttl;
    const auto first_sequence = static_cast<std::uint16_t>(request.sequence + 1);
    std::optional<ip::RouteError> failed;
    running.host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
      stack::Stack::Parts& parts = stack.parts();
      for (std::uint8_t query = 0; query < queries && !failed; ++query) {
        ++request.sequence;
        request.udp_port = icmp ? std::uint16_t{0} : port++;
        if (request.udp_port == 0 && !icmp) request.udp_port = port++;
        if (auto built = parts.pings.start(request, now))
          parts.queue_reply(std::move(*built), now);
        else
          failed = built.error();
      }
    });
    if (failed) return reply.fail(fmt::format("no way to {}: {}", destination->to_string(), route_error_text(*failed)));
    while (!hop.complete()) {
      const bool here = wait_for_stack(running, reply, kNever, [&](stack::Stack& stack) {
        bool taken = false;
        while (auto result = stack.parts().pings.take_result(request.id)) {
          const auto at = static_cast<std::uint16_t>(result->sequence - first_sequence);
          if (at < queries) hop.results[at] = *result;
          taken = true;
        }
        return taken;
      });
      if (!here) return;
    }
    if (!reply.send(hop.told(ttl)) || hop.last()) return;
  }
}

int traceroute_main(const TracerouteOptions& options) {
  if (const auto address = IpAddress::parse(options.destination); !address || !address->is_v4())
    return complain("traceroute", fmt::format("'{}' is no IPv4 address; names are not looked up", options.destination), 2);
  if (options.first > options.most) return complain("traceroute", fmt::format("-f {} is beyond -m {}", options.first, options.most), 2);
  const json question = {{"command", "traceroute"},
                         {"destination", options.destination},
                         {"icmp", options.icmp},
                         {"first", options.first},
                         {"most", options.most},
                         {"queries", options.queries},
                         {"port", options.port},
                         {"wait_ms", static_cast<std::uint32_t>(options.wait * 1000)},
                         {"size", options.size}};
  if (!options.json) {
    fmt::print("traceroute to {} ({}), {} hops max, {} byte packets\n", options.destination, options.destination, options.most, options.size);
    std::fflush(stdout);
  }
  bool reached = false;
  const int status = ask_stream("traceroute", options, question, [&](const json& hop) {
    std::string before;
    std::string line = fmt::format("{:>2} ", hop.value("hop", 0));
    for (const json& probe : hop["probes"]) {
      if (probe.is_null()) {
        line += " *";
        continue;
      }
      const std::string from = probe.value("from", "");
      if (from != before) line += fmt::format(" {} ({})", from, from);
      before = from;
      line += fmt::format("  {:.3f} ms", static_cast<double>(probe.value("rtt_ns", std::int64_t{0})) / 1e6);
      if (const std::string mark = probe.value("mark", ""); !mark.empty()) line += ' ' + mark;
      reached = reached || from == options.destination;
    }
    if (options.json)
      print_json_line(ordered_json(hop));
    else
      fmt::print("{}\n", line);
    std::fflush(stdout);
    return true;
  });
  if (status != 0) return status;
  return reached ? 0 : 1;
}

}  // namespace tapir::cli
