// SPDX-License-Identifier: Apache-2.0
// A packetdrill script as parsed: options, commands and timed events, each with its place in the text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "inet/protocol.h"
#include "wire/tcp_options.h"

namespace tapir::sim::drill {

// A place in a script: line and column count from 1.
struct Location {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};

// What is wrong with a script's text. `unsupported` marks what the language has but tapir's interpreter does
// not: the script is skipped, not failed.
struct ScriptError {
  Location at;
  std::string message;
  bool unsupported = false;
};

// ---- time ----

enum class TimeKind : std::uint8_t {
  kAbsolute,       // 0.5         from the start of the script
  kRelative,       // +.1         from when the previous event finished
  kAny,            // *           whenever
  kAbsoluteRange,  // 1.0~1.1
  kRelativeRange,  // +.1~+.2
};

struct EventTime {
  TimeKind kind = TimeKind::kRelative;
  Duration at{};                       // or the start of a range
  Duration range_end{};                // of the two range kinds, in the terms of `at`
  std::optional<Duration> returns_at;  // +0...0.2: a blocking call's end, in the terms of `at`
};

// ---- packets ----

// What a packet says of its IP header: set on injected packets, checked on expected ones when given.
struct IpSpec {
  enum class EcnRule : std::uint8_t { kUnchecked, kExact, kEct01 };
  EcnRule ecn_rule = EcnRule::kUnchecked;  // kEct01: either ECT codepoint
  Ecn ecn = Ecn::kNotEct;
  std::optional<std::uint8_t> tos;  // the whole byte
  std::optional<std::uint8_t> ttl;
};

// What `md5 valid` stands for in a list of options: the digest that --tcp_md5_secret makes.
inline constexpr std::array<std::uint8_t, 16> kValidDigest = {'v', 'a', 'l', 'i', 'd', 'a', 't', 'e',
                                                              'd', ' ', 'd', 'i', 'g', 'e', 's', 't'};

struct TcpSpec {
  std::uint16_t flags = 0;   // of wire::TcpFlag
  std::uint32_t seq = 0;     // relative to the ISN, except in SYNs
  std::uint32_t length = 0;  // bytes of payload
  std::uint32_t ack = 0;
  std::optional<std::uint16_t> window;  // raw, as in the header
  std::uint16_t urgent = 0;
  bool check_options = true;      // false: `<...>`
  wire::TcpOptionWriter options;  // as written, numbers in the script's spaces
};

struct IcmpSpec {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t mtu = 0;            // of "fragmentation needed"
  std::uint32_t quoted_seq = 0;     // relative to the ISN of our side
  std::uint32_t quoted_length = 0;  // bytes of payload of the quoted segment
};

struct PacketEvent {
  bool inbound = false;
  IpSpec ip;
  std::optional<std::uint16_t>
      source_port;  // "1234 > 8080": names the connection, where a script has several
  std::optional<std::uint16_t> destination_port;
  std::variant<TcpSpec, IcmpSpec> transport;
};

// ---- calls ----

struct Field;

// An argument or a result.
struct Expression {
  enum class Kind : std::uint8_t { kEllipsis, kInteger, kString, kList, kStruct, kCall };
  Kind kind = Kind::kInteger;
  Location at;
  std::int64_t integer = 0;       // kInteger: symbols and `a|b` are already numbers
  std::string text;               // kString, kCall's name; kInteger as it was written
  std::vector<Expression> items;  // kList, kCall's arguments
  std::vector<Field> fields;      // kStruct
};

// `name=value`, `name(index)=value`, or a value alone, of a struct.
struct Field {
  std::string name;
  std::vector<Expression> index;  // none or one
  Expression value;
};

struct CallEvent {
  std::string name;
  std::vector<Expression> arguments;
  Expression result;
  std::optional<int> error;  // = -1 EAGAIN
  std::string error_name;
};

struct ShellEvent {
  std::string command;
};
struct CodeEvent {
  std::string code;
  Location code_at;  // of the first character after %{
};

struct Event {
  Location at;
  EventTime time;
  std::variant<PacketEvent, CallEvent, ShellEvent, CodeEvent> action;
};

struct ScriptOption {
  Location at;
  std::string name;  // without the dashes
  std::string value;
};

struct Script {
  std::vector<ScriptOption> options;
  std::optional<ShellEvent> init;
  Location init_at;
  std::vector<Event> events;
  std::optional<ShellEvent> cleanup;
};

}  // namespace tapir::sim::drill
