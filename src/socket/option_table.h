// SPDX-License-Identifier: Apache-2.0
// How an option is described: one row per option, one table per level, each table in a file of its own.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>

#include "socket/state.h"

namespace tapir::socket {

// Which sockets have it; for the others it is unknown (ENOPROTOOPT).
enum class Sorts : std::uint8_t { kAll, kStream, kDatagram };

// One option. Its value is an int (get, set) or has a shape of its own (get_value, set_value; `length` as
// getsockopt(2) and setsockopt(2)). A null member: ENOPROTOOPT.
struct Option {
  using State = Sockets::State;
  int name;
  Sorts sorts;
  Result<int> (*get)(State&, SocketFile&, Instant) = nullptr;
  Result<int> (*set)(State&, SocketFile&, int, Instant) = nullptr;
  Result<int> (*get_value)(State&, SocketFile&, void* value, socklen_t* length, Instant) = nullptr;
  Result<int> (*set_value)(State&, SocketFile&, const void* value, socklen_t length, Instant) = nullptr;
};

// Do setsockopt(2)s of SOL_IP without a value fail for this option? Linux decides one by one.
bool ip_option_needs_value(int name);

// The levels: socket_level_options.cc, ip_level_options.cc, tcp_level_options.cc, raw_level_options.cc.
std::span<const Option> socket_level_options();
std::span<const Option> ip_level_options();
std::span<const Option> tcp_level_options();
std::span<const Option> raw_level_options();
std::span<const Option> packet_level_options();
std::span<const Option> multicast_options();      // of SOL_IP too
std::span<const Option> source_filter_options();  // likewise

// ---- what rows are made of ----

inline StreamSocket& stream(SocketFile& s) { return static_cast<StreamSocket&>(s); }
inline DatagramSocket& datagram(SocketFile& s) { return static_cast<DatagramSocket&>(s); }
inline bool is_stream(const SocketFile& s) { return s.kind == FileKind::kStream; }
inline tcp::SocketOptions& tcp_options(Sockets::State& state, SocketFile& s) {
  return state.options_of(stream(s));
}
inline void tcp_changed(Sockets::State& state, SocketFile& s, Instant now) {
  state.options_changed(stream(s), now);
}
inline constexpr int kIntMax = std::numeric_limits<int>::max();

// A bool of SocketFile.
template <bool SocketFile::* member>
inline Result<int> get_flag(Sockets::State&, SocketFile& s, Instant) {
  return s.*member ? 1 : 0;
}
template <bool SocketFile::* member>
inline Result<int> set_flag(Sockets::State&, SocketFile& s, int value, Instant) {
  s.*member = value != 0;
  return 0;
}
// A bool of tcp::SocketOptions.
template <bool tcp::SocketOptions::* member>
Result<int> get_tcp_flag(Sockets::State& state, SocketFile& s, Instant) {
  return tcp_options(state, s).*member ? 1 : 0;
}
template <bool tcp::SocketOptions::* member>
Result<int> set_tcp_flag(Sockets::State& state, SocketFile& s, int value, Instant now) {
  tcp_options(state, s).*member = value != 0;
  tcp_changed(state, s, now);
  return 0;
}

// A number of tcp::SocketOptions within bounds; 0 means the knob.
template <auto member, int least, int most>
Result<int> set_tcp_number(Sockets::State& state, SocketFile& s, int value, Instant now) {
  if (value < least || value > most) return fail(EINVAL);
  auto& field = tcp_options(state, s).*member;
  field = static_cast<std::remove_reference_t<decltype(field)>>(value);
  tcp_changed(state, s, now);
  return 0;
}
template <auto member, int tcp::Knobs::* knob>
Result<int> get_tcp_number(Sockets::State& state, SocketFile& s, Instant) {
  const auto set = static_cast<int>(tcp_options(state, s).*member);
  return set != 0 ? set : state.parts.tcp_knobs.*knob;
}

// Copies what fits of `value` and says how much that was (Linux: len = min(len, size)).
inline Result<int> store(const void* value, std::size_t size, void* out, socklen_t* length) {
  const std::size_t stored = std::min<std::size_t>(*length, size);
  if (stored != 0) {
    if (out == nullptr) return fail(EFAULT);
    std::memcpy(out, value, stored);
  }
  *length = static_cast<socklen_t>(stored);
  return 0;
}

template <typename T>
Result<int> load(T& value, const void* from, socklen_t length) {
  if (length < sizeof(T)) return fail(EINVAL);
  if (from == nullptr) return fail(EFAULT);
  std::memcpy(&value, from, sizeof(T));
  return 0;
}

}  // namespace tapir::socket
