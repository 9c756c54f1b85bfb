// SPDX-License-Identifier: Apache-2.0
#include "observe/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "inet/delivery_error.h"
#include "ip/events.h"
#include "ip/neighbors.h"
#include "observe/segment.h"
#include "raw/events.h"
#include "socket/events.h"
#include "stack/events.h"
#include "tcp/connection.h"
#include "tcp/events.h"
#include "trace/drop_reason.h"
#include "udp/events.h"
#include "wire/arp.h"
#include "wire/ethernet.h"

namespace tapir::observe {

namespace {

constexpr std::uint16_t base_of(std::uint16_t event) { return event & 0xff00; }
constexpr std::uint16_t base(trace::EventBase base) { return static_cast<std::uint16_t>(base); }

// IPv6 addresses are in a record by their last 64 bits only; those beyond 32 bits are shown as that.
std::string address_text(std::uint64_t word) {
  if (word <= 0xffffffffU) return IpAddress::v4(static_cast<std::uint32_t>(word)).to_string();
  return fmt::format("…{:x}", word);
}

std::string ethertype_text(std::uint64_t type) {
  switch (type) {
    case wire::kEtherTypeIpv4:
      return "IPv4";
    case wire::kEtherTypeArp:
      return "ARP";
    case wire::kEtherTypeVlan:
      return "VLAN";
    case wire::kEtherTypeIpv6:
      return "IPv6";
    case 0:
      return "bare IP";
    default:
      return fmt::format("{:#06x}", type);
  }
}

std::string protocol_text(std::uint64_t protocol) {
  switch (static_cast<IpProtocol>(protocol)) {
    case IpProtocol::kIcmp:
      return "ICMP";
    case IpProtocol::kTcp:
      return "TCP";
    case IpProtocol::kUdp:
      return "UDP";
    default:
      return fmt::to_string(protocol);
  }
}

std::string arp_text(std::uint64_t operation) {
  return operation == static_cast<std::uint64_t>(wire::ArpOperation::kRequest) ? "request" : "reply";
}

std::string reason_text(std::uint64_t word) {
  return word < trace::kDropReasons ? std::string(trace::to_string(static_cast<trace::DropReason>(word)))
                                    : fmt::to_string(word);
}

const char* timer_name(std::uint64_t timer) {
  static constexpr std::array<const char*, tcp::kTimerCount> kNames = {
      "retransmit", "probe", "delayed ack", "keepalive", "reorder", "tail probe", "pace", "compressed ack"};
  return timer < kNames.size() ? kNames[timer] : "?";
}

const char* cause_name(std::uint64_t cause) {
  static constexpr std::array<const char*, 13> kNames = {"closed",           "reset",
                                                         "reset after FIN",  "refused",
                                                         "timed out",        "net unreachable",
                                                         "host unreachable", "protocol unreachable",
                                                         "port unreachable", "message too long",
                                                         "prohibited",       "aborted",
                                                         "out of memory"};
  return cause < kNames.size() ? kNames[cause] : "?";
}

const char* half_open_end_name(std::uint64_t end) {
  static constexpr std::array<const char*, 5> kNames = {"completed", "reset", "timed out", "listener closed",
                                                        "delivery error"};
  return end < kNames.size() ? kNames[end] : "?";
}

const char* time_wait_end_name(std::uint64_t end) {
  static constexpr std::array<const char*, 3> kNames = {"timed out", "reset", "recycled"};
  return end < kNames.size() ? kNames[end] : "?";
}

std::string tcp_subject(trace::Subject subject) {
  switch (tcp::subject_kind(subject)) {
    case tcp::SubjectKind::kNone:
      return {};
    case tcp::SubjectKind::kConnection:
      return fmt::format("connection {}", tcp::subject_index(subject));
    case tcp::SubjectKind::kHalfOpen:
      return fmt::format("half-open {}", tcp::subject_index(subject));
    case tcp::SubjectKind::kTimeWait:
      return fmt::format("time-wait {}", tcp::subject_index(subject));
    case tcp::SubjectKind::kListener:
      return fmt::format("listener {}", tcp::subject_index(subject));
  }
  return {};
}

std::string interface_subject(trace::Subject subject) {
  return subject == 0 ? std::string() : fmt::format("interface {}", subject);
}

// "10.0.0.1:80" of the words that *Born events have.
std::string end_text(std::uint64_t address, std::uint64_t port) {
  return fmt::format("{}:{}", address_text(address), port & 0xffff);
}

// The value of `event` as a room's enumerator, and the record's words under short names, for the tables
// below.
struct Words {
  explicit Words(const trace::Record& record)
      : a(record.words[0]), b(record.words[1]), c(record.words[2]), d(record.words[3]) {}
  std::uint64_t a, b, c, d;
};

void decode_stack(const trace::Record& record, Decoded& out) {
  const Words w(record);
  out.subject = interface_subject(record.subject);
  switch (static_cast<stack::Event>(record.event)) {
    case stack::Event::kFrameReceived:
      out.event = "frame in";
      out.fields = {{"bytes", w.a}, {"type", ethertype_text(w.b)}};
      return;
    case stack::Event::kFrameSent:
      out.event = "frame out";
      out.fields = {{"bytes", w.a}};
      if (w.b != 0) out.fields.push_back({"gso", w.b});
      return;
    case stack::Event::kFrameRefused:
      out.event = "frames refused";
      out.fields = {{"frames", w.a}};
      return;
    case stack::Event::kDropped:
      out.event = "drop";
      out.fields = {{"reason", reason_text(w.a)}, {"bytes", w.b}};
      return;
    case stack::Event::kReplyQueued:
      out.event = "reply queued";
      out.fields = {{"waiting", w.a}};
      return;
    case stack::Event::kAddressClaimed:
      out.event = w.b != 0 ? "address claimed" : "address conflict";
      out.fields = {{"address", address_text(w.a)}};
      return;
    case stack::Event::kPortBound:
      out.event = "port bound";
      out.fields = {{"protocol", protocol_text(w.a)}, {"port", w.b}};
      return;
  }
}

void decode_ip(const trace::Record& record, Decoded& out) {
  const Words w(record);
  out.subject = interface_subject(record.subject);
  const auto neighbor_state = [](std::uint64_t state) {
    return state <= static_cast<std::uint64_t>(ip::NeighborState::kPermanent)
               ? std::string(ip::to_string(static_cast<ip::NeighborState>(state)))
               : "?";
  };
  switch (static_cast<ip::Event>(record.event)) {
    case ip::Event::kReceived:
      out.event = "datagram in";
      out.fields = {{"from", address_text(w.a)},
                    {"to", address_text(w.b)},
                    {"protocol", protocol_text(w.c)},
                    {"bytes", w.d}};
      return;
    case ip::Event::kDropped:
      out.event = "drop";
      out.fields = {{"reason", reason_text(w.a)}, {"from", address_text(w.b)}, {"to", address_text(w.c)}};
      return;
    case ip::Event::kFragmentHeld:
      out.event = "fragment held";
      out.fields = {{"from", address_text(w.a)}, {"to", address_text(w.b)}, {"id", w.c}, {"offset", w.d}};
      return;
    case ip::Event::kReassembled:
      out.event = "reassembled";
      out.fields = {{"from", address_text(w.a)}, {"to", address_text(w.b)}, {"id", w.c}, {"bytes", w.d}};
      return;
    case ip::Event::kIcmpReceived:
      out.event = "icmp in";
      out.fields = {{"from", address_text(w.a)}, {"type", w.b}, {"code", w.c}};
      return;
    case ip::Event::kIcmpSent:
      out.event = "icmp out";
      out.fields = {{"to", address_text(w.a)}, {"type", w.b}, {"code", w.c}};
      return;
    case ip::Event::kNeighborState:
      out.event = "neighbour";
      out.fields = {
          {"address", address_text(w.a)}, {"before", neighbor_state(w.b)}, {"after", neighbor_state(w.c)}};
      return;
    case ip::Event::kArpSent:
      out.event = "arp out";
      out.fields = {{"target", address_text(w.a)}, {"operation", arp_text(w.b)}};
      return;
    case ip::Event::kArpReceived:
      out.event = "arp in";
      out.fields = {{"sender", address_text(w.a)}, {"operation", arp_text(w.b)}};
      return;
  }
}

void decode_udp(const trace::Record& record, Decoded& out) {
  const Words w(record);
  if (record.subject != 0) out.subject = fmt::format("port {}", static_cast<std::uint32_t>(record.subject));
  switch (static_cast<udp::Event>(record.event)) {
    case udp::Event::kDelivered:
      out.event = "datagram in";
      out.fields = {{"bytes", w.a}, {"remote_port", w.b}, {"local_port", w.c}, {"queued", w.d}};
      return;
    case udp::Event::kDropped:
      out.event = "drop";
      out.fields = {{"reason", reason_text(w.a)}};
      return;
    case udp::Event::kError:
      out.event = "error";
      out.fields = {{"kind", std::string(to_string(static_cast<DeliveryErrorKind>(w.a)))},
                    {"icmp_type", w.b},
                    {"icmp_code", w.c}};
      return;
  }
}

std::string errno_name(int error) {
  const char* name = ::strerrorname_np(error);
  return name != nullptr ? name : fmt::to_string(error);
}

void decode_raw(const trace::Record& record, Decoded& out) {
  const Words w(record);
  out.subject = fmt::format("port {}", static_cast<std::uint32_t>(record.subject));
  switch (static_cast<raw::Event>(record.event)) {
    case raw::Event::kDelivered:
      out.event = "packet in";
      out.fields = {{"bytes", w.a}, {"queued", w.b}};
      return;
    case raw::Event::kDropped:
      out.event = "drop";
      out.fields = {{"reason", reason_text(w.a)}, {"bytes", w.b}};
      return;
  }
}

void decode_socket(const trace::Record& record, Decoded& out) {
  const Words w(record);
  out.subject = fmt::format("fd {}", static_cast<std::int64_t>(record.subject));
  switch (static_cast<socket::Event>(record.event)) {
    case socket::Event::kCall: {
      out.event = socket::to_string(static_cast<socket::Call>(w.a));
      const auto error = static_cast<int>(w.c);
      if (error == 0)
        out.fields = {{"result", w.b}};
      else
        out.fields = {{"error", errno_name(error)}};
      if (w.d != 0) out.fields.push_back({"asked", w.d});
      return;
    }
  }
}

std::vector<Field> segment_fields(const trace::Record& record) {
  const tcp::SegmentWords words = words_of(record);
  const wire::TcpSegment segment = tcp::unpack_segment(words);
  return {{"ports", fmt::format("{} > {}", segment.src_port, segment.dst_port)},
          {"segment", segment_parts(words).text()}};
}

std::vector<Field> born_fields(const Words& w) {
  return {{"local", end_text(w.b, w.a >> 16)}, {"remote", end_text(w.c, w.a)}};
}

void decode_tcp(const trace::Record& record, Decoded& out) {
  const Words w(record);
  out.subject = tcp_subject(record.subject);
  const auto state = [](std::uint64_t word) {
    return std::string(tcp::to_string(static_cast<tcp::State>(word)));
  };
  switch (static_cast<tcp::Event>(record.event)) {
    case tcp::Event::kState:
      out.event = "state";
      out.fields = {{"before", state(w.a)}, {"after", state(w.b)}};
      return;
    case tcp::Event::kSegmentIn:
      out.event = "segment in";
      out.fields = segment_fields(record);
      return;
    case tcp::Event::kSegmentOut:
      out.event = "segment out";
      out.fields = segment_fields(record);
      return;
    case tcp::Event::kTimerArmed: {
      const std::uint64_t now = to_nsec(record.time);
      out.event = "timer armed";
      out.fields = {{"timer", timer_name(w.a)}, {"in_us", w.b > now ? (w.b - now) / 1000 : 0}};
      return;
    }
    case tcp::Event::kTimerFired:
      out.event = "timer fired";
      out.fields = {{"timer", timer_name(w.a)}};
      return;
    case tcp::Event::kRetransmit:
      out.event = "retransmit";
      // A half-open record sends its SYN-ACK again, a connection a range of its stream.
      if (tcp::subject_kind(record.subject) == tcp::SubjectKind::kHalfOpen)
        out.fields = {{"seq", w.a}, {"times", w.c}};
      else
        out.fields = {{"seq", w.a}, {"bytes", w.b}, {"segments", w.d}};
      return;
    case tcp::Event::kCongestion:
      out.event = "congestion";
      out.fields = {{"cwnd", w.a}, {"ssthresh", w.b}, {"state", w.c}};
      return;
    case tcp::Event::kDrop:
      out.event = "drop";
      out.fields = {{"reason", reason_text(w.a)}};
      return;
    case tcp::Event::kListenOverflow:
      out.event = "accept queue full";
      out.fields = {{"queued", w.a}, {"backlog", w.b}};
      return;
    case tcp::Event::kSynQueueFull:
      out.event = "SYN queue full";
      out.fields = {{"half_open", w.a}, {"backlog", w.b}};
      return;
    case tcp::Event::kCookieSent:
    case tcp::Event::kCookieAccepted:
      out.event = record.event == static_cast<std::uint16_t>(tcp::Event::kCookieSent) ? "cookie sent"
                                                                                      : "cookie accepted";
      out.fields = {{"cookie", w.a}};
      return;
    case tcp::Event::kHalfOpenBorn:
      out.event = "half-open born";
      out.fields = born_fields(w);
      return;
    case tcp::Event::kHalfOpenGone:
      out.event = "half-open gone";
      out.fields = {{"why", half_open_end_name(w.a)}};
      return;
    case tcp::Event::kConnectionBorn:
      out.event = "connection born";
      out.fields = born_fields(w);
      out.fields.push_back({"open", w.d == 0 ? "active" : "passive"});
      return;
    case tcp::Event::kConnectionGone:
      out.event = "connection gone";
      out.fields = {{"why", cause_name(w.a)}};
      return;
    case tcp::Event::kTimeWaitBorn:
      out.event = "time-wait born";
      out.fields = born_fields(w);
      out.fields.push_back({"state", w.d != 0 ? "FIN-WAIT-2" : "TIME-WAIT"});
      return;
    case tcp::Event::kTimeWaitGone:
      out.event = "time-wait gone";
      out.fields = {{"why", time_wait_end_name(w.a)}};
      return;
    case tcp::Event::kAccepted:
      out.event = "accepted";
      out.fields = {{"connection", tcp_subject(w.a)}};
      return;
    case tcp::Event::kUndo:
      out.event = "undo";
      out.fields = {{"why", w.a}, {"cwnd", w.b}, {"ssthresh", w.c}};
      return;
    case tcp::Event::kTailProbe:
      out.event = "tail probe";
      out.fields = {{"next", w.a}, {"again", w.b}};
      return;
    case tcp::Event::kMtuProbe:
      out.event = "MTU probe";
      out.fields = {{"bytes", w.a}, {"fate", w.b == 0 ? "sent" : w.b == 1 ? "got through" : "lost"}};
      return;
    case tcp::Event::kCe:
      out.event = "congestion experienced";
      out.fields = {{"news", w.a}};
      return;
  }
}

std::string value_text(const Field& field) {
  if (const auto* number = std::get_if<std::uint64_t>(&field.value)) return fmt::to_string(*number);
  return std::get<std::string>(field.value);
}

// Values that speak for themselves stand without their names.
bool names_itself(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kPlain = {"segment", "ports",     "reason", "timer",
                                                             "why",     "operation", "type",   "connection"};
  return std::find(kPlain.begin(), kPlain.end(), name) != kPlain.end();
}

std::string fields_text(const std::vector<Field>& fields) {
  std::string text;
  for (const Field& field : fields) {
    if (field.name == "after" || field.name == "remote") {
      text += (field.name == "after" ? " -> " : " <-> ") + value_text(field);
      continue;
    }
    if (!text.empty()) text += ' ';
    if (field.name == "before" || field.name == "local" || names_itself(field.name))
      text += value_text(field);
    else
      text += fmt::format("{} {}", field.name, value_text(field));
  }
  return text;
}

}  // namespace

std::string_view layer_of(const trace::Record& record) {
  switch (base_of(record.event)) {
    case base(trace::EventBase::kFrame):
      return "frame";
    case base(trace::EventBase::kIp):
      return "ip";
    case base(trace::EventBase::kUdp):
      return "udp";
    case base(trace::EventBase::kTcp):
      return "tcp";
    case base(trace::EventBase::kStack):
      return "stack";
    case base(trace::EventBase::kRaw):
      return "raw";
    case base(trace::EventBase::kSocket):
      return "socket";
    default:
      return "other";
  }
}

bool is_layer(std::string_view name) {
  return std::find(kLayers.begin(), kLayers.end(), name) != kLayers.end();
}

Decoded decode(const trace::Record& record) {
  Decoded out;
  out.layer = layer_of(record);
  switch (base_of(record.event)) {
    case base(trace::EventBase::kFrame):
    case base(trace::EventBase::kStack):
      decode_stack(record, out);
      break;
    case base(trace::EventBase::kIp):
      decode_ip(record, out);
      break;
    case base(trace::EventBase::kUdp):
      decode_udp(record, out);
      break;
    case base(trace::EventBase::kTcp):
      decode_tcp(record, out);
      break;
    case base(trace::EventBase::kRaw):
      decode_raw(record, out);
      break;
    case base(trace::EventBase::kSocket):
      decode_socket(record, out);
      break;
    default:
      break;
  }
  if (!out.event.empty()) return out;
  out.event = fmt::format("event {:#06x}", record.event);
  out.subject = record.subject == 0 ? std::string() : fmt::format("{:x}", record.subject);
  out.fields = {
      {"a", record.words[0]}, {"b", record.words[1]}, {"c", record.words[2]}, {"d", record.words[3]}};
  return out;
}

std::string decode_text(const trace::Record& record, Instant begin, std::string_view who) {
  const Decoded d = decode(record);
  const std::uint64_t us = to_usec(record.time - begin);
  std::string line = fmt::format("{:>5}.{:06} {:<5} {:<15} {:<17} {}", us / 1'000'000, us % 1'000'000,
                                 who.empty() ? d.layer : who, d.subject, d.event, fields_text(d.fields));
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

nlohmann::ordered_json decode_json(const trace::Record& record, Instant begin) {
  const Decoded d = decode(record);
  nlohmann::ordered_json json{
      {"time_ns", (record.time - begin).count()}, {"layer", std::string(d.layer)}, {"event", d.event}};
  if (!d.subject.empty()) json["subject"] = d.subject;
  for (const Field& field : d.fields)
    std::visit([&](const auto& value) { json[std::string(field.name)] = value; }, field.value);
  return json;
}

}  // namespace tapir::observe
