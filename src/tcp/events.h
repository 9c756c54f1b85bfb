// SPDX-License-Identifier: Apache-2.0
// What tcp/ reports to a Probe, and how the words of its records are packed.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "inet/ip_address.h"
#include "trace/record.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

enum class Event : std::uint16_t {
  kState = static_cast<std::uint16_t>(trace::EventBase::kTcp),  // words: State before, State after
  kSegmentIn,                                                   // a segment arrived; words: as pack_segment()
  kSegmentOut,  // a segment was handed to the hub; words: as pack_segment()
  kTimerArmed,  // words: Timer, deadline in ns
  kTimerFired,  // words: Timer
  kRetransmit,  // words: a connection: first seq, bytes, congestion state, segments; a half-open one: ISN,
                // ISN + 1, times
  kCongestion,  // words: cwnd in segments, ssthresh, congestion state
  kDrop,        // words: DropReason
  kListenOverflow,  // subject: the listener; words: length of the accept queue, backlog
  kSynQueueFull,    // subject: the listener; words: half-open connections, backlog
  kCookieSent,      // subject: the listener; words: the cookie
  kCookieAccepted,  // subject: the listener; words: the cookie
  kHalfOpenBorn,    // words: ports, local address, remote address (as pack_ports(), pack_address())
  kHalfOpenGone,    // words: HalfOpenEnd
  kConnectionBorn,  // words: ports, local address, remote address, 0 active 1 passive
  kConnectionGone,  // words: CloseCause
  kTimeWaitBorn,    // words: ports, local address, remote address, 1 for FIN-WAIT-2
  kTimeWaitGone,    // words: TimeWaitEnd
  kAccepted,        // subject: the listener; words: subject of the connection
  kUndo,            // a reduction was taken back; words: Undo, cwnd, ssthresh
  kTailProbe,       // words: snd.nxt, 1 when it was sent before
  kMtuProbe,        // words: bytes of the packet, 0 sent 1 got through 2 lost
  kCe,              // the network marked a segment of the peer; words: 1 when it is news
};

// Why a half-open or a TIME-WAIT record ended.
enum class HalfOpenEnd : std::uint8_t { kCompleted, kReset, kTimedOut, kListenerClosed, kDeliveryError };
enum class TimeWaitEnd : std::uint8_t { kTimedOut, kReset, kRecycled };

// What a subject of tcp/ names, in its top byte.
enum class SubjectKind : std::uint8_t {
  kNone = 0,
  kConnection = 1,
  kHalfOpen = 2,
  kTimeWait = 3,
  kListener = 4
};

// {kind:8, generation:24, index:32}.
constexpr trace::Subject pack_subject(SubjectKind kind, std::uint32_t index, std::uint32_t generation) {
  return static_cast<std::uint64_t>(kind) << 56 | static_cast<std::uint64_t>(generation & 0xffffff) << 32 |
         index;
}
constexpr SubjectKind subject_kind(trace::Subject subject) { return static_cast<SubjectKind>(subject >> 56); }
constexpr std::uint32_t subject_index(trace::Subject subject) { return static_cast<std::uint32_t>(subject); }

// Bits of the low byte of a segment's fourth word: which options it had.
inline constexpr std::uint64_t kOptionMss = 1, kOptionWindowScale = 2, kOptionSackPermitted = 4,
                               kOptionTimestamps = 8, kOptionFastOpen = 16, kOptionMd5 = 32;

// A segment in four words:
//   a = seq << 32 | ack        b = flags << 48 | window << 32 | payload bytes     c = TSval << 32 | TSecr
//   d = source port << 48 | destination port << 32 | MSS << 16 | SACK blocks << 12 | window scale << 8 |
//   option bits
struct SegmentWords {
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
};
constexpr SegmentWords pack_segment(const wire::TcpSegment& segment, std::uint32_t payload_bytes) {
  const wire::TcpOptions& options = segment.options;
  SegmentWords words;
  words.a = static_cast<std::uint64_t>(segment.seq.value()) << 32 | segment.ack.value();
  words.b = static_cast<std::uint64_t>(segment.flags) << 48 |
            static_cast<std::uint64_t>(segment.window) << 32 | payload_bytes;
  if (options.timestamps)
    words.c = static_cast<std::uint64_t>(options.timestamps->value) << 32 | options.timestamps->echo;
  words.d = static_cast<std::uint64_t>(segment.src_port) << 48 |
            static_cast<std::uint64_t>(segment.dst_port) << 32 |
            static_cast<std::uint64_t>(options.mss.value_or(0)) << 16 |
            static_cast<std::uint64_t>(options.sack_count & 7U) << 12 |
            static_cast<std::uint64_t>(options.window_scale.value_or(0) & 15U) << 8 |
            (options.mss ? kOptionMss : 0) | (options.window_scale ? kOptionWindowScale : 0) |
            (options.sack_permitted ? kOptionSackPermitted : 0) |
            (options.timestamps ? kOptionTimestamps : 0) | (options.fast_open ? kOptionFastOpen : 0) |
            (options.md5 ? kOptionMd5 : 0);
  return words;
}
// The segment again, as far as the words tell: SACK blocks are only counted, the payload is not there.
inline wire::TcpSegment unpack_segment(const SegmentWords& words) {
  wire::TcpSegment segment;
  segment.seq = SeqNum(static_cast<std::uint32_t>(words.a >> 32));
  segment.ack = SeqNum(static_cast<std::uint32_t>(words.a));
  segment.flags = static_cast<std::uint16_t>(words.b >> 48);
  segment.window = static_cast<std::uint16_t>(words.b >> 32);
  segment.src_port = static_cast<std::uint16_t>(words.d >> 48);
  segment.dst_port = static_cast<std::uint16_t>(words.d >> 32);
  if ((words.d & kOptionMss) != 0) segment.options.mss = static_cast<std::uint16_t>(words.d >> 16);
  if ((words.d & kOptionWindowScale) != 0)
    segment.options.window_scale = static_cast<std::uint8_t>(words.d >> 8 & 15);
  segment.options.sack_permitted = (words.d & kOptionSackPermitted) != 0;
  if ((words.d & kOptionTimestamps) != 0)
    segment.options.timestamps = {static_cast<std::uint32_t>(words.c >> 32),
                                  static_cast<std::uint32_t>(words.c)};
  return segment;
}
constexpr std::uint32_t payload_bytes(const SegmentWords& words) {
  return static_cast<std::uint32_t>(words.b);
}

// local << 16 | remote.
constexpr std::uint64_t pack_ports(std::uint16_t local, std::uint16_t remote) {
  return static_cast<std::uint64_t>(local) << 16 | remote;
}
// The bits of an IPv4 address, the last 64 of an IPv6 one.
inline std::uint64_t pack_address(const IpAddress& address) {
  return address.is_v4() ? address.v4_bits() : load_be<std::uint64_t>(address.bytes(), 8);
}

}  // namespace tapir::tcp
