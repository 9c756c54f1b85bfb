// SPDX-License-Identifier: Apache-2.0
// Reassembly of IPv4 fragments (RFC 791 §3.2), bounded in bytes and in work.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "base/intrusive_list.h"
#include "base/keyed_table.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/time.h"
#include "frame/frame.h"
#include "frame/frame_pool.h"
#include "ip/knobs.h"
#include "trace/counters.h"
#include "trace/drop_reason.h"
#include "wire/ipv4.h"

namespace tapir::ip {

// Fragments of one datagram that we hold at most; beyond, the datagram is dropped. Each fragment that arrives
// out of order searches them. 65535 bytes over a path of MTU 368 or more fit; Linux has no such limit
// (docs/departures.md).
inline constexpr std::uint32_t kFragmentsPerDatagramMax = 192;
// Datagrams in reassembly, and fragments in all; ipfrag_high_thresh ends most floods before.
inline constexpr std::uint32_t kDatagramsInReassemblyMax = 4096;
inline constexpr std::uint32_t kFragmentsMax = 16384;

// A datagram that took too long.
struct ExpiredDatagram {
  Frame first;  // fragment 0 from its IP header on; empty when it never came (then RFC 792 wants no error)
};

// What add() answers when the datagram is not yet whole.
struct FragmentVerdict {
  bool held = false;           // kept
  trace::DropReason reason{};  // else why not
};

// add() for each fragment; at next_timeout(), poll_expired(now) until it answers nothing.
//
// A fragment whose range is already there is dropped, and the first bytes stay (Linux's IPFRAG_DUP). Any
// other overlap drops the whole datagram (RFC 5722 §4, which Linux applies to IPv4). When memory is short,
// the datagram that began longest ago goes: so that a flood cannot lock others out for 30 s.
class Fragments {
 public:
  Fragments(FramePool& pool, SipKey key, const Knobs& knobs, trace::Counters& counters);
  ~Fragments();
  Fragments(const Fragments&) = delete;
  Fragments& operator=(const Fragments&) = delete;

  // `packet` begins at the IP header, which the caller has checked and parsed (header.options may point into
  // it), and ends at total_length. Returns the whole datagram, from an IP header with its length and without
  // fragment bits, when this was the last one missing.
  std::expected<Frame, FragmentVerdict> add(const wire::Ipv4Header& header, Frame packet, Instant now);

  Instant next_timeout() const;
  std::optional<ExpiredDatagram> poll_expired(Instant now);

  std::size_t bytes() const { return bytes_; }  // true size of what is held
  std::size_t datagrams() const { return datagrams_.size(); }
  std::size_t fragments() const { return pieces_.size(); }

 private:
  struct Piece : ListLink<> {
    Frame frame;              // the payload; the IP header lies in front of it
    std::uint32_t begin = 0;  // offset in the datagram's payload
    std::uint32_t end = 0;
  };
  struct Key {
    IpAddress source;
    IpAddress destination;
    std::uint16_t id = 0;
    IpProtocol protocol = IpProtocol::kUdp;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Partial : ListLink<> {
    Key key;
    std::uint64_t hash = 0;
    Instant expires_at{};
    IntrusiveList<Piece> pieces;  // by offset, never overlapping
    std::uint32_t received = 0;   // sum of the pieces' lengths
    std::uint32_t length = 0;     // of the payload, as far as known; final when last_seen
    std::size_t true_size = 0;
    std::uint8_t first_header_size = 0;  // of fragment 0's IP header; 0 until it came
    std::uint8_t ecn_seen = 0;           // bit n: a fragment carried ECN code point n
    bool last_seen = false;              // the fragment without MF came
  };

  enum class Placed : std::uint8_t { kNew, kDuplicate, kOverlap };
  Partial* find(const Key& key, std::uint64_t hash);
  Partial* create(const Key& key, std::uint64_t hash, Instant now);
  Placed place(Partial& partial, Piece& piece);
  std::expected<Frame, FragmentVerdict> assemble(Partial& partial, Instant now);
  void remove(Partial& partial);
  void make_room(const Partial* keep);
  Frame compacted(Frame packet);
  std::unexpected<FragmentVerdict> discard(Partial* partial, trace::DropReason reason);

  FramePool& pool_;
  SipKey key_;
  const Knobs& knobs_;
  trace::Counters& counters_;
  Slab<Piece> pieces_{kFragmentsMax};
  Slab<Partial> datagrams_{kDatagramsInReassemblyMax};
  KeyedTable<> table_{kDatagramsInReassemblyMax};
  IntrusiveList<Partial> by_age_;  // oldest first
  std::size_t bytes_ = 0;
};

}  // namespace tapir::ip
