// SPDX-License-Identifier: Apache-2.0
#include "tcp/md5.h"

#include <algorithm>

#include "inet/protocol.h"
#include "tcp/md5_digest.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

bool Md5Key::covers(const IpAddress& peer) const {
  if (!address.is_v4() || !peer.is_v4()) return false;
  if (prefix_length == 0) return true;
  return (address.v4_bits() ^ peer.v4_bits()) >> (32 - prefix_length) == 0;
}

// ---- the digest ----

bool md5_available() {
  Md5Digest digest;
  return md5_of != nullptr && md5_of({}, {}, {}, digest);
}

Md5Digest md5_signature(const IpAddress& source, const IpAddress& destination, Bytes header,
                        std::span<const Bytes> payload, const Md5Key& key) {
  std::size_t length = header.size();
  for (const Bytes piece : payload) length += piece.size();
  std::array<std::uint8_t, 12 + wire::kTcpHeaderMin> front{};
  store_be(front, 0, source.v4_bits());
  store_be(front, 4, destination.v4_bits());
  store_be(front, 8, static_cast<std::uint16_t>(IpProtocol::kTcp));
  store_be(front, 10, static_cast<std::uint16_t>(length));
  std::copy_n(header.begin(), wire::kTcpHeaderMin, front.begin() + 12);
  store_be(front, 12 + wire::kTcpChecksumOffset, std::uint16_t{0});
  Md5Digest digest{};
  // Without memory there is no digest: the peer drops what it cannot verify, and it is sent again.
  if (md5_of == nullptr || !md5_of(front, payload, Bytes(key.bytes).first(key.length), digest)) digest = {};
  return digest;
}

// ---- lists ----

bool Md5Keys::set(std::uint32_t& list, const Md5Key& key, std::uint32_t owner) {
  std::size_t count = 0;
  for (std::uint32_t at = list; at != 0; at = entries_.at(at - 1)->next, ++count) {
    Entry& entry = *entries_.at(at - 1);
    if (entry.owner == owner && entry.key.prefix_length == key.prefix_length &&
        entry.key.address == key.address) {
      entry.key = key;
      return true;
    }
  }
  if (count >= kMd5KeysPerSocketMax) return false;
  const Handle<Entry> handle = entries_.emplace(Entry{key, owner, list});
  if (!handle) return false;
  list = handle.index + 1;
  return true;
}

template <typename Is>
bool Md5Keys::remove_if(std::uint32_t& list, Is&& is) {
  for (std::uint32_t* link = &list; *link != 0; link = &entries_.at(*link - 1)->next) {
    Entry& entry = *entries_.at(*link - 1);
    if (!is(entry)) continue;
    *link = entry.next;
    entries_.erase(entry);
    return true;
  }
  return false;
}

bool Md5Keys::remove(std::uint32_t& list, const IpAddress& address, std::uint8_t prefix_length) {
  return remove_if(list, [&](const Entry& entry) {
    return entry.key.prefix_length == prefix_length && entry.key.address == address;
  });
}

void Md5Keys::remove_owner(std::uint32_t& list, std::uint32_t owner) {
  (void)remove_if(list, [&](const Entry& entry) { return entry.owner == owner; });
}

const Md5Key* Md5Keys::find(std::uint32_t list, const IpAddress& peer) const {
  const Md5Key* best = nullptr;
  for (; list != 0; list = entries_.at(list - 1)->next) {
    const Md5Key& key = entries_.at(list - 1)->key;
    if (key.covers(peer) && (best == nullptr || key.prefix_length > best->prefix_length)) best = &key;
  }
  return best;
}

const Md5Key* Md5Keys::of_owner(std::uint32_t list, std::uint32_t owner) const {
  for (; list != 0; list = entries_.at(list - 1)->next)
    if (entries_.at(list - 1)->owner == owner) return &entries_.at(list - 1)->key;
  return nullptr;
}

void Md5Keys::clear(std::uint32_t& list) {
  while (list != 0) {
    Entry& entry = *entries_.at(list - 1);
    list = entry.next;
    entries_.erase(entry);
  }
}

}  // namespace tapir::tcp
