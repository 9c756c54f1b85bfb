// SPDX-License-Identifier: Apache-2.0
// TCP_MD5SIG: keys that a socket shares with peers (RFC 2385).
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstddef>
#include <cstring>

#include "socket/option_table.h"
#include "tcp/md5.h"

namespace tapir::socket {

namespace {

// Linux's <linux/tcp.h>; the C library's header lacks it.
constexpr std::uint8_t kFlagInterface = 2;  // TCP_MD5SIG_FLAG_IFINDEX
// Linux's tcpm_ifindex: behind the key's length, padding in the C library's header.
std::int32_t interface_of(const tcp_md5sig& given) {
  std::int32_t index = 0;
  std::memcpy(&index,
              reinterpret_cast<const std::uint8_t*>(&given) + offsetof(tcp_md5sig, tcpm_keylen) +
                  sizeof given.tcpm_keylen,
              sizeof index);
  return index;
}

}  // namespace

Result<int> Sockets::State::set_md5_key(StreamSocket& s, bool extended, const void* value, socklen_t length,
                                        Instant now) {
  if (!tcp::md5_available()) return fail(ENOPROTOOPT);
  tcp_md5sig given{};
  if (const Result<int> loaded = load(given, value, length); !loaded) return loaded;
  sockaddr_in address{};
  std::memcpy(&address, &given.tcpm_addr, sizeof address);
  if (address.sin_family != AF_INET) return fail(EINVAL);
  tcp::Md5Key wanted;
  wanted.address = IpAddress::v4(
      load_be<std::uint32_t>(Bytes(reinterpret_cast<const std::uint8_t*>(&address.sin_addr), 4), 0));
  if (extended && (given.tcpm_flags & TCP_MD5SIG_FLAG_PREFIX) != 0) {
    if (given.tcpm_prefixlen > 32) return fail(EINVAL);
    wanted.prefix_length = given.tcpm_prefixlen;
  }
  // Only a master device of the routing layer may be named, and there is none.
  if (extended && (given.tcpm_flags & kFlagInterface) != 0 && interface_of(given) != 0) return fail(EINVAL);
  if (given.tcpm_keylen > tcp::kMd5KeyBytesMax) return fail(EINVAL);
  wanted.length = static_cast<std::uint8_t>(given.tcpm_keylen);
  std::memcpy(wanted.bytes.data(), given.tcpm_key, wanted.length);

  const tcp::Md5Key* const inherited = parts.tcp.signing_key(s.connection);
  if (wanted.length == 0) {
    // An accepted connection has the key it came with.
    const bool own = md5_keys.remove(s.md5_keys, wanted.address, wanted.prefix_length);
    const bool came = inherited != nullptr && inherited->address == wanted.address &&
                      inherited->prefix_length == wanted.prefix_length;
    if (!own && !came) return fail(ENOENT);
    if (s.listener) parts.tcp.remove_md5_key(s.listener, wanted.address, wanted.prefix_length);
  } else if (!md5_keys.set(s.md5_keys, wanted)) {
    return fail(ENOMEM);
  }
  // What is for others leaves a connection's key as it is, also the one it came with.
  const tcp::Connection* const connection = connection_of(s);
  if (wanted.length != 0 && connection != nullptr && !wanted.covers(connection->tuple().remote.address))
    return 0;
  if (!hand_on_md5_keys(s, now)) return fail(ENOMEM);
  return 0;
}

bool Sockets::State::hand_on_md5_keys(StreamSocket& s, Instant now) {
  if (s.listener) {
    bool all = true;
    md5_keys.for_each(s.md5_keys,
                      [&](const tcp::Md5Key& each) { all = parts.tcp.set_md5_key(s.listener, each) && all; });
    return all;
  }
  const tcp::Connection* const connection = connection_of(s);
  if (connection == nullptr) return true;
  const tcp::Md5Key* const found = md5_keys.find(s.md5_keys, connection->tuple().remote.address);
  if (found == nullptr && !connection->signs()) return true;
  return parts.tcp.sign_with(s.connection, found, now);
}

}  // namespace tapir::socket
