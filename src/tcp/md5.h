// SPDX-License-Identifier: Apache-2.0
// TCP MD5 signatures (RFC 2385): who shares a key with whom, and the digest that proves it. The digest is
// OpenSSL's libcrypto's; a build without that library has no keys, and every signed segment is unexpected.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/slab.h"
#include "inet/ip_address.h"

namespace tapir::tcp {

// Linux: TCP_MD5SIG_MAXKEYLEN.
inline constexpr std::size_t kMd5KeyBytesMax = 80;
// Keys of one socket at most, and of a stack. Linux bounds a socket's by its option memory
// (net.core.optmem_max, 128 KiB).
inline constexpr std::size_t kMd5KeysPerSocketMax = 1024;
inline constexpr std::uint32_t kMd5KeysMax = 1U << 16;
// What the option adds to every header: two no-operations, kind, length, digest.
inline constexpr std::uint16_t kMd5OptionBytes = 20;

using Md5Digest = std::array<std::uint8_t, 16>;

// A key and the peers it is for.
struct Md5Key {
  IpAddress address;
  std::uint8_t prefix_length = 32;  // bits of an IPv4 address
  std::uint8_t length = 0;          // of `bytes` in use
  std::array<std::uint8_t, kMd5KeyBytesMax> bytes{};

  bool covers(const IpAddress& peer) const;
};

// False: built without libcrypto, or it is not on this machine (`tapir run`).
bool md5_available();
// RFC 2385 §2.0: pseudo-header, TCP header without its options and with checksum zero, payload, key. `header`
// is the whole TCP header, options too: they count in the pseudo-header's length.
Md5Digest md5_signature(const IpAddress& source, const IpAddress& destination, Bytes header,
                        std::span<const Bytes> payload, const Md5Key& key);

// Lists of keys, each named by its first entry (index + 1; 0: an empty list), which its owner keeps.
class Md5Keys {
 public:
  explicit Md5Keys(ChargeHook hook) : entries_(kMd5KeysMax, hook) {}

  bool any() const { return entries_.size() != 0; }
  // Adds `key`, or replaces the one of the same address and prefix. False: no memory, or the list is full.
  bool set(std::uint32_t& list, const Md5Key& key, std::uint32_t owner = 0);
  // False: there was none.
  bool remove(std::uint32_t& list, const IpAddress& address, std::uint8_t prefix_length);
  // The key for `peer`, of the longest prefix (Linux: __tcp_md5_do_lookup); null: none.
  const Md5Key* find(std::uint32_t list, const IpAddress& peer) const;
  // The first of the list; null: it is empty.
  const Md5Key* first(std::uint32_t list) const { return list == 0 ? nullptr : &entries_.at(list - 1)->key; }
  // Of a list whose entries belong to several owners.
  const Md5Key* of_owner(std::uint32_t list, std::uint32_t owner) const;
  void remove_owner(std::uint32_t& list, std::uint32_t owner);
  void clear(std::uint32_t& list);
  // Every key of the list.
  template <typename Visit>
  void for_each(std::uint32_t list, Visit&& visit) const {
    for (; list != 0; list = entries_.at(list - 1)->next) visit(entries_.at(list - 1)->key);
  }

 private:
  struct Entry {
    Md5Key key;
    std::uint32_t owner = 0;
    std::uint32_t next = 0;  // index + 1
  };
  template <typename Is>
  bool remove_if(std::uint32_t& list, Is&& is);

  Slab<Entry> entries_;
};

}  // namespace tapir::tcp
