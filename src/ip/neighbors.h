// SPDX-License-Identifier: Apache-2.0
// Neighbours: IP address -> MAC address by ARP (RFC 826), with Linux's states (net/core/neighbour.c; RFC 4861
// §7.3.2).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

#include "base/intrusive_list.h"
#include "base/keyed_table.h"
#include "base/rng.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "frame/frame.h"
#include "frame/frame_pool.h"
#include "frame/outgoing_frame.h"
#include "inet/delivery_error.h"
#include "inet/path.h"
#include "ip/datagram.h"
#include "ip/interfaces.h"
#include "ip/knobs.h"
#include "trace/counters.h"
#include "trace/drop_reason.h"
#include "trace/record.h"
#include "wire/arp.h"

namespace tapir::ip {

//          resolve                 reply            reachable time over, unused
//   (none) ───────► INCOMPLETE ──────────► REACHABLE ──────────────────────► STALE ◄── a request of theirs
//                    │ 3 tries              ▲ │    ▲                           │
//                    │ 1 s apart      reply │ │    │ confirmed        we send  │
//                    ▼              3 tries │ │    └───────────────── DELAY ◄──┘
//                  FAILED ◄─────────── PROBE ◄┘ a rival's claim         │ 5 s
//                                         ▲                             │
//                                         └─────────────────────────────┘
enum class NeighborState : std::uint8_t {
  kIncomplete,  // asked, no answer yet; packets wait
  kReachable,   // confirmed lately
  kStale,       // known, not confirmed lately; used as it is
  kDelay,       // used while stale: upper layers have 5 s to confirm
  kProbe,       // asked again, by unicast
  kFailed,      // nobody answered
  kPermanent,   // set by the user
};
const char* to_string(NeighborState state);  // "INCOMPLETE", as `ip neigh` prints it

// For `ip neigh`.
struct NeighborInfo {
  InterfaceId interface = kNoInterface;
  IpAddress address;
  MacAddress mac{};  // all zero while unknown
  NeighborState state = NeighborState::kFailed;
  Instant used_at{};
  Instant confirmed_at{};
  Instant updated_at{};
  std::uint32_t probes = 0;
  std::size_t parked = 0;  // packets
};

// What resolve() answers.
enum class ResolveStatus : std::uint8_t {
  kResolved,  // `mac` is the address to send to
  kParked,    // a copy of the packet waits for the answer
  kFull,      // neither: no entry or no memory; the packet is a counted loss
};
struct Resolution {
  ResolveStatus status = ResolveStatus::kFull;
  MacAddress mac{};
};

// An ARP packet to send.
struct ArpToSend {
  InterfaceId interface = kNoInterface;
  MacAddress destination{};  // of the Ethernet header; its source is packet.sender_mac
  wire::ArpPacket packet;
};

// A parked packet whose neighbour answered. Begins at the IP header.
struct Released {
  InterfaceId interface = kNoInterface;
  MacAddress mac{};
  Frame frame;
  std::uint16_t header_size = 0;  // how many of its bytes were header bytes
  std::uint16_t transport_offset = 0;
  ChecksumRequest checksum;  // offsets count from the IP header
  Gso gso;

  // Makes `out` point at the packet; a link header can be pushed in front. Valid while this lives.
  void fill(OutgoingFrame& out) const;
};

// Call resolve() for each packet to send, on_arp() for each ARP packet received, on_timeout() at
// next_timeout(); after any of these, and after confirm(), poll_arp(), poll_released() and poll_failure()
// until each answers nothing.
class Neighbors {
 public:
  // ARP packets that wait for poll_arp(); beyond, requests are counted as sent and lost (they are retried).
  static constexpr std::size_t kArpQueueMax = 64;
  // What no setting of gc_thresh3 exceeds.
  static constexpr std::uint32_t kEntriesMax = 65536;
  // How long one draw of the random reachable time holds (Linux's neigh_periodic_work).
  static constexpr Duration kReachableTimeRedraw = 300s;

  Neighbors(const Interfaces& interfaces, FramePool& pool, SipKey key, Rng rng, const Knobs& knobs,
            trace::Counters& counters, trace::Tracer& tracer, Instant now);
  ~Neighbors();
  Neighbors(const Neighbors&) = delete;
  Neighbors& operator=(const Neighbors&) = delete;

  // The MAC address of `next_hop` on `interface` (Ethernet; group addresses are computed, RFC 1112 §6.4), for
  // `packet`, which begins at its IP header. `path_source`: its source address, which the request names as
  // sender. When nothing is known yet, copies the packet and asks.
  Resolution resolve(InterfaceId interface, const IpAddress& next_hop, const IpAddress& path_source,
                     const OutgoingFrame& packet, Instant now);
  // An upper layer saw proof that packets reach `next_hop` (new data acknowledged): no probing is needed.
  // Cheap: call it at will.
  void confirm(InterfaceId interface, const IpAddress& next_hop, Instant now);

  // An ARP packet arrived, from the Ethernet source `link_source`. RFC 826's order as in Linux's arp_process:
  // entries that exist are updated (by replies not within locktime of the last change); a request for one of
  // our addresses is answered and makes a STALE entry; nothing else makes entries. Returns why it was
  // dropped, if it was. Two rules are stricter than Linux's, against forged packets (docs/departures.md):
  // - the sender's MAC address must be the Ethernet source (tapip's "ARP cheating" check; RFC 826 would allow
  // a proxy to differ);
  // - a new address for a REACHABLE neighbour is not believed at once: the old one is probed first (RFC 4861
  // §7.2.5's override flag clear), and
  //   only when it is silent is everybody asked again.
  std::optional<trace::DropReason> on_arp(InterfaceId interface, const wire::ArpPacket& packet,
                                          const MacAddress& link_source, LinkDestination link_destination,
                                          Instant now);

  Instant next_timeout() const;
  void on_timeout(Instant now);

  // The next three have nothing to tell.
  bool quiet() const { return arp_count_ == 0 && released_.empty() && failed_.empty(); }
  std::optional<ArpToSend> poll_arp();
  std::optional<Released> poll_released();
  // A packet that waited for a neighbour who did not answer: kHostUnreachable with the tuple (and TCP's
  // sequence number) that it had.
  std::optional<DeliveryError> poll_failure();

  // ---- `ip neigh` ----
  // A permanent entry; false when the table is full.
  bool set_permanent(InterfaceId interface, const IpAddress& address, const MacAddress& mac, Instant now);
  bool remove(InterfaceId interface, const IpAddress& address);
  // Removes all entries (of one interface, when given) but permanent ones.
  void flush(InterfaceId interface = kNoInterface);
  // The interface is gone or down: nothing of it stays, permanent or not.
  void remove_interface(InterfaceId interface);
  std::vector<NeighborInfo> list() const;
  std::optional<NeighborInfo> find(InterfaceId interface, const IpAddress& address) const;
  std::size_t size() const { return entries_.size(); }
  std::size_t parked_bytes() const { return parked_bytes_; }

 private:
  struct Entry : ListLink<> {
    IpAddress address;
    InterfaceId interface = kNoInterface;
    NeighborState state = NeighborState::kIncomplete;
    bool passive = false;  // learnt from a request of theirs, never used by us
    MacAddress mac{};
    std::uint64_t hash = 0;
    std::uint32_t probes = 0;  // requests sent in this state
    Instant used_at{};
    Instant confirmed_at{};
    Instant updated_at{};
    IpAddress request_source;  // what our requests name as sender
    TimerEntry timer;
    FrameQueue parked;  // each frame: a ParkedHeader, then the packet
  };
  std::uint64_t hash_of(InterfaceId interface, const IpAddress& address) const;
  Entry* lookup(InterfaceId interface, const IpAddress& address) const;
  std::optional<MacAddress> group_mac(const Interface& interface, const IpAddress& next_hop) const;
  Entry* create(InterfaceId interface, const IpAddress& address, bool passive, Instant now);
  bool evict_one(bool for_passive);
  void answer(const Interface& interface, const wire::ArpPacket& request);
  void send_arp(const ArpToSend& arp);
  void erase(Entry& entry);
  void enter(Entry& entry, NeighborState state, Instant now);
  void unlist(Entry& entry);
  void enlist(Entry& entry);
  void begin_resolution(Entry& entry, Instant now);
  void solicit(Entry& entry, Instant now);
  bool park(Entry& entry, const OutgoingFrame& packet);
  void learn(Entry& entry, const MacAddress& mac, NeighborState state, bool override_address, Instant now);
  void drop_parked(Entry& entry, trace::DropReason reason);
  void release_parked(Entry& entry);
  void fail(Entry& entry, Instant now);
  void on_timer(Entry& entry, Instant now);
  void collect(Instant now);
  void erase_if_on(InterfaceId interface, bool permanent_too);
  NeighborInfo describe(const Entry& entry) const;

  const Interfaces& interfaces_;
  FramePool& pool_;
  SipKey key_;
  Rng rng_;
  const Knobs& knobs_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
  TimerWheel wheel_;
  mutable Slab<Entry> entries_;
  KeyedTable<> table_;
  mutable Handle<Entry> last_;    // found last: most lookups repeat
  IntrusiveList<Entry> passive_;  // STALE, never used by us: first to go
  IntrusiveList<Entry> idle_;     // STALE and FAILED: next to go
  FrameQueue released_;  // parked packets whose neighbour answered; each with its address in its ParkedHeader
  FrameQueue failed_;    // and those whose neighbour did not
  std::vector<ArpToSend> arp_;  // a ring of kArpQueueMax, made when first needed
  std::size_t arp_head_ = 0;
  std::size_t arp_count_ = 0;
  std::size_t parked_bytes_ = 0;
  Duration reachable_time_{};    // base_reachable_time times 0.5–1.5
  Instant redraw_at_;            // when to draw reachable_time_ again
  Instant collect_at_ = kNever;  // when to look for entries unused for long; armed above gc_thresh1
};

}  // namespace tapir::ip
