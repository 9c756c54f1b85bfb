// SPDX-License-Identifier: Apache-2.0
// `tapir arping`: who has an address? Requests leave as frames of the stack's own, answers are seen as a capture sees them: the
// ARP cache has no part in it.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "runtime/clock.h"
#include "stack/parts.h"
#include "wire/arp.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// After the first answer to the last request: others may claim the address too.
constexpr Duration kLateAnswers = 5ms;
constexpr std::size_t kArpFrame = wire::kEthernetHeaderLength + wire::kArpLength;

// In the hub while it lives.
class ArpFeed {
 public:
  ArpFeed(Running& running, const std::string& interface) : running_(running), feed_({.interface = interface, .port = std::nullopt, .snap = kArpFrame, .expression = "arp"}) {
    running_.host.with([this](stack::Stack&, socket::Sockets&, Instant) { running_.captures.add(feed_); });
  }
  ~ArpFeed() {
    running_.host.with([this](stack::Stack&, socket::Sockets&, Instant) { running_.captures.remove(feed_); });
  }
  ArpFeed(const ArpFeed&) = delete;
  ArpFeed& operator=(const ArpFeed&) = delete;
  // Under the stack's lock.
  bool waits() const { return feed_.waits(); }
  const CaptureFeed::Batch& take() {
    running_.host.with([&](stack::Stack&, socket::Sockets&, Instant) { feed_.take(batch_); });
    return batch_;
  }

 private:
  Running& running_;
  CaptureFeed feed_;
  CaptureFeed::Batch batch_;
};

// Where requests go out, and as whom.
struct Way {
  InterfaceId interface = kNoInterface;
  std::string name;
  wire::MacAddress mac{};
  IpAddress source;
};

std::expected<Way, std::string> way_to(stack::Stack& stack, const IpAddress& target, const std::string& interface, const std::string& source, bool probe, Instant now) {
  const stack::Stack::Parts& parts = stack.parts();
  const ip::Interface* on = nullptr;
  Way way;
  if (!interface.empty()) {
    on = parts.interfaces.find(std::string_view(interface));
    if (on == nullptr) return std::unexpected(fmt::format("the stack has no interface '{}'", interface));
    way.source = parts.interfaces.source_for(*on, target).value_or(IpAddress::any_v4());
  } else {
    const auto path = parts.routes.resolve({.destination = target, .source = std::nullopt}, now);
    if (!path) return std::unexpected(fmt::format("there is no way to {}: say which interface with -I", target.to_string()));
    on = parts.interfaces.find(path->interface);
    way.source = path->source;
  }
  if (on == nullptr || on->kind != ip::LinkKind::kEthernet) return std::unexpected(fmt::format("'{}' knows no ARP: it is no Ethernet", on != nullptr ? on->name : interface));
  if (!on->up) return std::unexpected(fmt::format("'{}' is down", on->name));
  if (!source.empty()) {
    const auto given = IpAddress::parse(source);
    if (!given || !given->is_v4()) return std::unexpected(fmt::format("-s '{}' is no IPv4 address", source));
    way.source = *given;
  }
  if (probe) way.source = IpAddress::any_v4();  // RFC 5227 §2.1.1
  way.interface = on->id;
  way.name = on->name;
  way.mac = on->mac;
  return way;
}

bool send_request(stack::Stack& stack, const Way& way, const IpAddress& target, const std::optional<wire::MacAddress>& to, wire::ArpOperation operation, Instant now) {
  stack::Stack::Parts& parts = stack.parts();
  ip::Reply request;
  request.layer = ip::Reply::Layer::kLink;
  request.frame = parts.frames.allocate(wire::kArpLength);
  if (!request.frame) return false;
  wire::emit_arp({operation, way.mac, way.source, operation == wire::ArpOperation::kReply ? way.mac : wire::MacAddress{}, target}, request.frame.mutable_bytes());
  request.interface = way.interface;
  request.mac = to.value_or(wire::MacAddress{0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  request.ethertype = wire::kEtherTypeArp;
  parts.queue_reply(std::move(request), now);
  return true;
}

}  // namespace

void answer_arping(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto target = IpAddress::parse(question.value("destination", ""));
  if (!target || !target->is_v4()) return reply.fail("'" + question.value("destination", "") + "' is no IPv4 address");
  const bool probe = question.value("probe", false), announce = question.value("announce", false);
  const auto way = running.host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
    return way_to(stack, *target, question.value("interface", ""), announce ? target->to_string() : question.value("source", ""), probe, now);
  });
  if (!way) return reply.fail(way.error());
  const auto count = question.value("count", std::uint64_t{0});
  const bool broadcast = question.value("broadcast", false), first_only = question.value("first", false);
  const Duration interval = std::chrono::milliseconds(std::max(question.value("interval_ms", 1000U), 10U));
  const Instant deadline = question.contains("deadline_ms") ? runtime::monotonic_now() + std::chrono::milliseconds(question.value("deadline_ms", 0U)) : kNever;
  reply.send({{"interface", way->name}, {"source", way->source.to_string()}});

  ArpFeed feed(running, way->name);
  std::optional<wire::MacAddress> known;
  std::uint64_t sent = 0;
  Instant sent_at{};
  Instant next = runtime::monotonic_now();
  for (;;) {
    const Instant now = runtime::monotonic_now();
    // The last request waits for its answers as long as the others did.
    if (now >= deadline || (count != 0 && sent == count && now >= next)) return;
    if (now >= next && (count == 0 || sent < count)) {
      const bool built = running.host.with([&](stack::Stack& stack, socket::Sockets&, Instant at) {
        sent_at = at;
        return send_request(stack, *way, *target, broadcast ? std::nullopt : known,
                            announce && question.value("reply", false) ? wire::ArpOperation::kReply : wire::ArpOperation::kRequest, at);
      });
      if (!built) return reply.fail("the stack has no memory for a request");
      reply.send({{"sent", ++sent}, {"broadcast", broadcast || !known}});
      next = now + interval;
    }
    const CaptureFeed::Batch& batch = feed.take();
    for (const CaptureFeed::Packet& packet : batch.packets) {
      const Bytes frame = Bytes(batch.bytes).subspan(packet.offset, packet.kept);
      const auto header = wire::parse_ethernet(frame);
      if (packet.direction != link::CaptureDirection::kIn || !header || header->ethertype != wire::kEtherTypeArp) continue;
      const auto arp = wire::parse_arp(frame.subspan(wire::kEthernetHeaderLength));
      if (!arp || arp->operation != wire::ArpOperation::kReply || arp->sender_ip != *target) continue;
      known = arp->sender_mac;
      const auto arrived = static_cast<std::int64_t>(packet.unix_nsec - static_cast<std::uint64_t>(running.captures.epoch().count()));
      reply.send({{"from", arp->sender_ip.to_string()},
                  {"mac", wire::to_string(arp->sender_mac)},
                  {"broadcast", wire::is_broadcast(header->dst)},
                  {"rtt_ns", std::max<std::int64_t>(0, arrived - sent_at.time_since_epoch().count())}});
      if (first_only) return;
      // All are answered: nothing more to wait for.
      if (count != 0 && sent == count) next = std::min(next, runtime::monotonic_now() + kLateAnswers);
    }
    // Answers, the next request, or the end.
    const Instant wake = count == 0 || sent <= count ? std::min(next, deadline) : deadline;
    if (!wait_for_stack(running, reply, wake, [&](stack::Stack&) { return feed.waits(); })) return;
  }
}

int arping_main(const ArpingOptions& options) {
  if (const auto address = IpAddress::parse(options.destination); !address || !address->is_v4())
    return complain("arping", fmt::format("'{}' is no IPv4 address; names are not looked up", options.destination), 2);
  json question = {{"command", "arping"},        {"destination", options.destination}, {"count", options.count},   {"broadcast", options.broadcast},
                   {"first", options.first || options.detect},     {"probe", options.detect},            {"announce", options.announce || options.answer}, {"reply", options.answer},
                   {"interval_ms", static_cast<std::uint32_t>(options.interval * 1000)}, {"source", options.source.value_or("")}, {"interface", options.interface.value_or("")}};
  if (options.deadline) question["deadline_ms"] = static_cast<std::uint32_t>(*options.deadline * 1000);
  std::uint64_t sent = 0, broadcasts = 0, received = 0;
  bool begun = false;
  const int status = ask_stream("arping", options, question, [&](const json& data) {
    if (data.contains("source")) {
      begun = true;
      if (!options.json && !options.quiet) fmt::print("ARPING {} from {} {}\n", options.destination, data.value("source", ""), data.value("interface", ""));
    } else if (data.contains("sent")) {
      sent = data.value("sent", sent);
      if (data.value("broadcast", true)) ++broadcasts;
    } else {
      ++received;
      if (options.json)
        print_json_line(ordered_json(data));
      else if (!options.quiet)
        fmt::print("{} reply from {} [{}]  {:.3f}ms\n", data.value("broadcast", false) ? "Broadcast" : "Unicast", data.value("from", ""), data.value("mac", ""),
                   static_cast<double>(data.value("rtt_ns", std::int64_t{0})) / 1e6);
    }
    std::fflush(stdout);
    return true;
  });
  if (status != 0 || !begun) return status;
  if (options.json)
    print_json_line({{"summary", {{"sent", sent}, {"broadcasts", broadcasts}, {"received", received}}}});
  else
    fmt::print("Sent {} probes ({} broadcast(s))\nReceived {} response(s)\n", sent, broadcasts, received);
  if (options.announce || options.answer) return 0;
  // As arping(8): with -D an answer is the bad news.
  return (received != 0) != options.detect ? 0 : 1;
}

}  // namespace tapir::cli
