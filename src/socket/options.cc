// SPDX-License-Identifier: Apache-2.0
#include "socket/options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "socket/option_table.h"

namespace tapir::socket {
namespace {

const Option* find_option(std::span<const Option> options, const SocketFile& s, int name) {
  for (const Option& option : options) {
    if (option.name != name) continue;
    if (option.sorts == Sorts::kAll || (option.sorts == Sorts::kStream) == is_stream(s)) return &option;
  }
  return nullptr;
}

std::span<const Option> options_of_level(const SocketFile& s, int level) {
  switch (level) {
    case SOL_SOCKET:
      return socket_level_options();
    case SOL_IP:
      return s.kind == FileKind::kPacket ? std::span<const Option>() : ip_level_options();
    case SOL_TCP:
      return is_stream(s) ? tcp_level_options() : std::span<const Option>();
    case SOL_RAW:
      return s.kind == FileKind::kRaw ? raw_level_options() : std::span<const Option>();
    case SOL_PACKET:
      return s.kind == FileKind::kPacket ? packet_level_options() : std::span<const Option>();
    default:
      return {};
  }
}

const Option* find_option(const SocketFile& s, int level, int name) {
  const Option* option = find_option(options_of_level(s, level), s, name);
  if (option == nullptr && level == SOL_IP && s.kind != FileKind::kPacket)
    option = find_option(multicast_options(), s, name);
  if (option == nullptr && level == SOL_IP) option = find_option(source_filter_options(), s, name);
  return option;
}

// UDP's own level is known, though nothing of it is there.
bool knows_level(const SocketFile& s, int level) {
  return !options_of_level(s, level).empty() || (level == SOL_UDP && s.kind == FileKind::kDatagram);
}

}  // namespace

Result<int> get_option(Sockets::State& state, SocketFile& s, int level, int name, void* value,
                       socklen_t* length, Instant now) {
  // Levels that the protocol does not know are refused before anything is looked at.
  if (!knows_level(s, level)) return fail(EOPNOTSUPP);
  if (length == nullptr) return fail(EFAULT);
  if (static_cast<int>(*length) < 0) return fail(EINVAL);
  const Option* option = find_option(s, level, name);
  if (option != nullptr && option->get_value != nullptr)
    return option->get_value(state, s, value, length, now);
  if (option == nullptr || option->get == nullptr) return fail(ENOPROTOOPT);
  const Result<int> number = option->get(state, s, now);
  if (!number) return number;
  // Linux's do_ip_getsockopt: a short buffer gets one byte when that holds the number.
  if (level == SOL_IP && *length > 0 && *length < sizeof(int) && *number >= 0 && *number <= 255) {
    const auto byte = static_cast<std::uint8_t>(*number);
    return store(&byte, 1, value, length);
  }
  return store(&*number, sizeof(int), value, length);
}

Result<int> set_option(Sockets::State& state, SocketFile& s, int level, int name, const void* value,
                       socklen_t length, Instant now) {
  if (static_cast<int>(length) < 0) return fail(EINVAL);
  const Option* option = find_option(s, level, name);
  if (option != nullptr && option->set_value != nullptr)
    return option->set_value(state, s, value, length, now);

  int number = 0;
  if (level == SOL_IP && (option == nullptr || option->set == nullptr)) return fail(ENOPROTOOPT);
  if (level == SOL_IP && length == 0 && ip_option_needs_value(name)) return fail(EINVAL);
  if (level == SOL_IP && length >= 1 && length < sizeof(int)) {
    std::uint8_t byte = 0;
    if (const auto loaded = load(byte, value, length); !loaded) return loaded;
    number = byte;
  } else if (level != SOL_IP || length != 0) {
    if (!knows_level(s, level)) return fail(ENOPROTOOPT);
    if (level == SOL_TCP && !is_stream(s)) return fail(ENOPROTOOPT);
    if (const auto loaded = load(number, value, length); !loaded) return loaded;
  }
  if (option == nullptr || option->set == nullptr) return fail(ENOPROTOOPT);
  return option->set(state, s, number, now);
}

}  // namespace tapir::socket
