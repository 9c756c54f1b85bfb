// SPDX-License-Identifier: Apache-2.0
#include "ip/neighbors.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "inet/flow_hash.h"
#include "ip/events.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace tapir::ip {
namespace {

using trace::DropReason;

// In front of every parked packet, in the same buffer.
struct ParkedHeader {
  MacAddress mac{};               // filled in at release
  std::uint16_t header_size = 0;  // how many of the packet's bytes were header bytes
  std::uint16_t transport_offset = 0;
  ChecksumRequest checksum;
};
static_assert(std::is_trivially_copyable_v<ParkedHeader>);

ParkedHeader read_parked(const Frame& frame) {
  ParkedHeader header;
  std::memcpy(&header, frame.bytes().data(), sizeof header);
  return header;
}
void write_parked(Frame& frame, const ParkedHeader& header) {
  std::memcpy(frame.mutable_bytes().data(), &header, sizeof header);
}

bool has_mac(NeighborState state) {
  return state != NeighborState::kIncomplete && state != NeighborState::kFailed;
}

}  // namespace

const char* to_string(NeighborState state) {
  switch (state) {
    case NeighborState::kIncomplete:
      return "INCOMPLETE";
    case NeighborState::kReachable:
      return "REACHABLE";
    case NeighborState::kStale:
      return "STALE";
    case NeighborState::kDelay:
      return "DELAY";
    case NeighborState::kProbe:
      return "PROBE";
    case NeighborState::kFailed:
      return "FAILED";
    case NeighborState::kPermanent:
      return "PERMANENT";
  }
  return "NONE";
}

void Released::fill(OutgoingFrame& out) const {
  out.clear();
  const Bytes bytes = frame.bytes();
  const Bytes front = bytes.first(header_size);
  std::copy(front.begin(), front.end(), out.append_header(front.size()).begin());
  out.add_payload(bytes.subspan(header_size));
  out.checksum = checksum;
  out.gso = gso;
  out.interface = interface;
  out.network_offset = 0;
  out.transport_offset = transport_offset;
}

Neighbors::Neighbors(const Interfaces& interfaces, FramePool& pool, SipKey key, Rng rng, const Knobs& knobs,
                     trace::Counters& counters, trace::Tracer& tracer, Instant now)
    : interfaces_(interfaces),
      pool_(pool),
      key_(key),
      rng_(rng),
      knobs_(knobs),
      counters_(counters),
      tracer_(tracer),
      wheel_(now),
      entries_(kEntriesMax),
      table_(kEntriesMax),
      redraw_at_(now) {}

Neighbors::~Neighbors() {
  entries_.for_each([&](Entry& entry) { erase(entry); });
}

std::uint64_t Neighbors::hash_of(InterfaceId interface, const IpAddress& address) const {
  return endpoint_hash(key_, Endpoint{address, interface});
}

Neighbors::Entry* Neighbors::lookup(InterfaceId interface, const IpAddress& address) const {
  const auto is_it = [&](const Entry& entry) {
    return entry.interface == interface && entry.address == address;
  };
  if (Entry* last = entries_.get(last_); last != nullptr && is_it(*last)) return last;
  const auto index =
      table_.find(hash_of(interface, address), [&](std::uint32_t at) { return is_it(*entries_.at(at)); });
  if (!index) return nullptr;
  Entry* entry = entries_.at(*index);
  last_ = entries_.handle_of(*entry);
  return entry;
}

// What may go: first what others made us learn and we never used, then (only for our own needs) what was not
// used lately.
bool Neighbors::evict_one(bool for_passive) {
  Entry* victim = passive_.front();
  if (victim == nullptr && !for_passive) victim = idle_.front();
  if (victim == nullptr) return false;
  erase(*victim);
  return true;
}

Neighbors::Entry* Neighbors::create(InterfaceId interface, const IpAddress& address, bool passive,
                                    Instant now) {
  while (entries_.size() >= std::min(knobs_.neighbor.gc_thresh3, kEntriesMax))
    if (!evict_one(passive)) return nullptr;
  const Handle<Entry> handle = entries_.emplace();
  Entry* entry = entries_.get(handle);
  if (entry == nullptr) return nullptr;
  entry->hash = hash_of(interface, address);
  if (!table_.insert(entry->hash, handle.index)) {
    entries_.erase(*entry);
    return nullptr;
  }
  entry->address = address;
  entry->interface = interface;
  entry->passive = passive;
  entry->used_at = entry->confirmed_at = entry->updated_at = now;
  entry->timer.owner = handle.index;
  if (collect_at_ == kNever && entries_.size() > knobs_.neighbor.gc_thresh1)
    collect_at_ = later(now, knobs_.neighbor.base_reachable_time / 2);
  return entry;
}

void Neighbors::unlist(Entry& entry) {
  if (!static_cast<ListLink<>&>(entry).linked()) return;
  (entry.passive ? passive_ : idle_).erase(entry);
}

void Neighbors::enlist(Entry& entry) {
  if (entry.state != NeighborState::kStale && entry.state != NeighborState::kFailed) return;
  (entry.passive ? passive_ : idle_).push_back(entry);
}

void Neighbors::erase(Entry& entry) {
  drop_parked(entry, DropReason::kNeighFailed);
  unlist(entry);
  wheel_.cancel(entry.timer);
  table_.erase(entry.hash, entries_.handle_of(entry).index);
  entries_.erase(entry);
}

void Neighbors::enter(Entry& entry, NeighborState state, Instant now) {
  tracer_.emit(now, Event::kNeighborState, entry.interface, trace_word(entry.address),
               static_cast<std::uint64_t>(entry.state), static_cast<std::uint64_t>(state));
  unlist(entry);
  entry.state = state;
  enlist(entry);
  if (now >= redraw_at_) {
    const Duration base = knobs_.neighbor.base_reachable_time;
    reachable_time_ =
        base / 2 + Duration(rng_.below(static_cast<std::uint64_t>(std::max<Duration::rep>(base.count(), 1))));
    redraw_at_ = later(now, kReachableTimeRedraw);
  }
  Instant deadline = kNever;
  switch (state) {
    case NeighborState::kIncomplete:
    case NeighborState::kProbe:
      deadline = later(now, knobs_.neighbor.retrans_time);
      break;
    case NeighborState::kReachable:
      deadline = later(entry.confirmed_at, reachable_time_);
      break;
    case NeighborState::kDelay:
      deadline = later(now, knobs_.neighbor.delay_first_probe_time);
      break;
    case NeighborState::kStale:
    case NeighborState::kFailed:
    case NeighborState::kPermanent:
      break;
  }
  wheel_.arm(entry.timer, deadline);
}

std::optional<MacAddress> Neighbors::group_mac(const Interface& interface, const IpAddress& next_hop) const {
  if (next_hop.is_multicast() && next_hop.is_v4()) return wire::multicast_mac_v4(next_hop.v4_bits());
  if (interfaces_.is_broadcast_on(next_hop, interface)) return wire::kBroadcastMac;
  return std::nullopt;
}

Resolution Neighbors::resolve(InterfaceId id, const IpAddress& next_hop, const IpAddress& path_source,
                              const OutgoingFrame& packet, Instant now) {
  Entry* entry = lookup(id, next_hop);
  if (entry == nullptr) {
    const Interface* interface = interfaces_.find(id);
    if (interface == nullptr) return {};
    if (const auto mac = group_mac(*interface, next_hop)) return {ResolveStatus::kResolved, *mac};
    entry = create(id, next_hop, false, now);
    if (entry == nullptr) {
      counters_.drop(DropReason::kNeighTableFull);
      return {};
    }
    entry->request_source = path_source;
    begin_resolution(*entry, now);
  }
  entry->used_at = now;
  switch (entry->state) {
    case NeighborState::kStale:
      unlist(*entry);
      entry->passive = false;
      entry->updated_at = now;
      entry->request_source = path_source;
      enter(*entry, NeighborState::kDelay, now);
      break;
    case NeighborState::kFailed:
      entry->request_source = path_source;
      begin_resolution(*entry, now);
      break;
    case NeighborState::kIncomplete:
    case NeighborState::kReachable:
    case NeighborState::kDelay:
    case NeighborState::kProbe:
    case NeighborState::kPermanent:
      break;
  }
  if (has_mac(entry->state)) return {ResolveStatus::kResolved, entry->mac};
  return {park(*entry, packet) ? ResolveStatus::kParked : ResolveStatus::kFull, {}};
}

void Neighbors::begin_resolution(Entry& entry, Instant now) {
  entry.probes = 0;
  entry.mac = {};
  entry.updated_at = now;
  enter(entry, NeighborState::kIncomplete, now);
  solicit(entry, now);
}

void Neighbors::solicit(Entry& entry, Instant now) {
  ++entry.probes;
  const Interface* interface = interfaces_.find(entry.interface);
  if (interface == nullptr || !interface->up) return;
  IpAddress source = entry.request_source;
  // The source of what we forward or were told to use may not be ours to claim.
  if (source.is_loopback() || !interfaces_.is_local_address(source))
    source = interfaces_.source_for(*interface, entry.address).value_or(IpAddress::any_v4());
  ArpToSend arp;
  arp.interface = entry.interface;
  arp.destination = entry.state == NeighborState::kProbe ? entry.mac : wire::kBroadcastMac;
  arp.packet = {wire::ArpOperation::kRequest, interface->mac, source, {}, entry.address};
  tracer_.emit(now, Event::kArpSent, entry.interface, trace_word(entry.address),
               static_cast<std::uint64_t>(arp.packet.operation));
  send_arp(arp);
}

void Neighbors::send_arp(const ArpToSend& arp) {
  if (arp_.empty()) arp_.resize(kArpQueueMax);
  if (arp_count_ == kArpQueueMax) {
    counters_.drop(DropReason::kReplyQueueFull);
    return;
  }
  arp_[(arp_head_ + arp_count_++) % kArpQueueMax] = arp;
}

bool Neighbors::park(Entry& entry, const OutgoingFrame& packet) {
  Frame frame = pool_.allocate(sizeof(ParkedHeader) + packet.size());
  if (!frame) {
    counters_.drop(DropReason::kMemory);
    return false;
  }
  // The oldest make room (Linux's __neigh_event_send).
  while (!entry.parked.empty() &&
         entry.parked.true_size() + frame.meta().true_size > knobs_.neighbor.unres_qlen_bytes) {
    parked_bytes_ -= entry.parked.front()->true_size;
    entry.parked.pop_front();
    counters_.drop(DropReason::kNeighQueueFull);
  }
  ParkedHeader header;
  header.header_size = static_cast<std::uint16_t>(packet.header().size());
  header.transport_offset = packet.transport_offset;
  header.checksum = packet.checksum;
  write_parked(frame, header);
  packet.copy_to(frame.mutable_bytes().subspan(sizeof header));
  frame.meta().gso = packet.gso;
  frame.meta().interface = entry.interface;
  parked_bytes_ += frame.meta().true_size;
  entry.parked.push_back(std::move(frame));
  return true;
}

void Neighbors::drop_parked(Entry& entry, DropReason reason) {
  counters_.drop(reason, entry.parked.count());
  parked_bytes_ -= entry.parked.true_size();
  entry.parked.clear();
}

void Neighbors::release_parked(Entry& entry) {
  while (Frame frame = entry.parked.pop_front()) {
    ParkedHeader header = read_parked(frame);
    header.mac = entry.mac;
    write_parked(frame, header);
    released_.push_back(std::move(frame));
  }
}

void Neighbors::fail(Entry& entry, Instant now) {
  while (Frame frame = entry.parked.pop_front()) failed_.push_back(std::move(frame));
  entry.updated_at = now;
  enter(entry, NeighborState::kFailed, now);
}

void Neighbors::confirm(InterfaceId interface, const IpAddress& next_hop, Instant now) {
  Entry* entry = lookup(interface, next_hop);
  if (entry == nullptr || !has_mac(entry->state)) return;
  entry->confirmed_at = now;
  // REACHABLE looks at confirmed_at when its time is up.
  if (entry->state == NeighborState::kDelay || entry->state == NeighborState::kProbe)
    enter(*entry, NeighborState::kReachable, now);
}

// Linux's neigh_update.
void Neighbors::learn(Entry& entry, const MacAddress& mac, NeighborState state, bool override_address,
                      Instant now) {
  const NeighborState before = entry.state;
  if (before == NeighborState::kPermanent) return;
  const bool same_mac = has_mac(before) && entry.mac == mac;
  if (state == NeighborState::kReachable && (same_mac || !has_mac(before))) entry.confirmed_at = now;
  if (has_mac(before)) {
    if (!same_mac) {
      if (!override_address) return;
      if (before == NeighborState::kProbe) return;  // the one we know has the word
      if (before == NeighborState::kReachable) {
        // Somebody claims the address of a neighbour that was there just now: ask the one we know first.
        entry.probes = 0;
        entry.updated_at = now;
        enter(entry, NeighborState::kProbe, now);
        solicit(entry, now);
        return;
      }
    } else if (state == NeighborState::kStale) {
      return;  // nothing new
    }
  }
  if (state == before && same_mac) return;
  if (state == NeighborState::kReachable) entry.confirmed_at = now;
  entry.updated_at = now;
  entry.mac = mac;
  enter(entry, state, now);
  if (!has_mac(before)) release_parked(entry);
}

void Neighbors::answer(const Interface& interface, const wire::ArpPacket& request) {
  ArpToSend arp;
  arp.interface = interface.id;
  arp.destination = request.sender_mac;
  arp.packet = {wire::ArpOperation::kReply, interface.mac, request.target_ip, request.sender_mac,
                request.sender_ip};
  send_arp(arp);
}

std::optional<DropReason> Neighbors::on_arp(InterfaceId id, const wire::ArpPacket& packet,
                                            const MacAddress& link_source, LinkDestination link_destination,
                                            Instant now, bool proxied) {
  const auto dropped = [&](DropReason reason) {
    counters_.drop(reason);
    tracer_.emit(now, Event::kDropped, id, static_cast<std::uint64_t>(reason), trace_word(packet.sender_ip),
                 trace_word(packet.target_ip));
    return reason;
  };
  const Interface* interface = interfaces_.find(id);
  if (interface == nullptr || !interface->up || interface->kind != LinkKind::kEthernet)
    return dropped(DropReason::kDevReady);
  if (link_destination == LinkDestination::kOtherHost) return dropped(DropReason::kOtherHost);
  const bool request = packet.operation == wire::ArpOperation::kRequest;
  if (!request && packet.operation != wire::ArpOperation::kReply) return dropped(DropReason::kArpInvalid);
  if (packet.sender_mac != link_source || wire::is_multicast(packet.sender_mac) ||
      wire::is_zero(packet.sender_mac))
    return dropped(DropReason::kArpInvalid);
  if (packet.target_ip.is_multicast() || packet.target_ip.is_loopback())
    return dropped(DropReason::kArpMartian);
  const AddressKind sender = interfaces_.classify(packet.sender_ip);
  if (sender != AddressKind::kElsewhere && sender != AddressKind::kUnspecified)
    return dropped(DropReason::kArpMartian);
  tracer_.emit(now, Event::kArpReceived, id, trace_word(packet.sender_ip),
               static_cast<std::uint64_t>(packet.operation));

  const bool for_us = interfaces_.is_local_address(packet.target_ip) || proxied;
  if (sender == AddressKind::kUnspecified) {
    // Duplicate address detection (RFC 5227): defend what is ours, learn nothing.
    if (!request || !for_us) return dropped(DropReason::kArpNotOurs);
    answer(*interface, packet);
    return std::nullopt;
  }

  Entry* entry = lookup(id, packet.sender_ip);
  if (request && for_us) {
    if (entry == nullptr) {
      entry = create(id, packet.sender_ip, true, now);
      if (entry != nullptr) {
        entry->mac = packet.sender_mac;
        entry->state = NeighborState::kStale;
        enlist(*entry);
      }
    } else {
      learn(*entry, packet.sender_mac, NeighborState::kStale, true, now);
    }
    // Answered even when there was no room to remember it: a full table must not make us unreachable.
    answer(*interface, packet);
    return std::nullopt;
  }
  if (entry == nullptr) return dropped(DropReason::kArpNotOurs);
  const bool settled = now > later(entry->updated_at, knobs_.neighbor.locktime);
  const bool gratuitous = packet.sender_ip == packet.target_ip;
  // Only a reply to ourselves proves that packets go both ways.
  const bool proof = !request && link_destination == LinkDestination::kHost;
  learn(*entry, packet.sender_mac, proof ? NeighborState::kReachable : NeighborState::kStale,
        settled || gratuitous, now);
  return std::nullopt;
}

Instant Neighbors::next_timeout() const { return std::min(wheel_.next_deadline(), collect_at_); }

void Neighbors::on_timeout(Instant now) {
  while (TimerEntry* timer = wheel_.pop_expired(now)) on_timer(*entries_.at(timer->owner), now);
  if (now >= collect_at_) collect(now);
}

// Linux's neigh_timer_handler.
void Neighbors::on_timer(Entry& entry, Instant now) {
  const NeighborKnobs& knobs = knobs_.neighbor;
  switch (entry.state) {
    case NeighborState::kReachable:
      if (now < later(entry.confirmed_at, reachable_time_)) {
        wheel_.arm(entry.timer, later(entry.confirmed_at, reachable_time_));
      } else if (now <= later(entry.used_at, knobs.delay_first_probe_time)) {
        entry.updated_at = now;
        enter(entry, NeighborState::kDelay, now);
      } else {
        entry.updated_at = now;
        enter(entry, NeighborState::kStale, now);
      }
      return;
    case NeighborState::kDelay:
      entry.updated_at = now;
      if (now <= later(entry.confirmed_at, knobs.delay_first_probe_time)) {
        enter(entry, NeighborState::kReachable, now);
        return;
      }
      entry.probes = 0;
      enter(entry, NeighborState::kProbe, now);
      solicit(entry, now);
      return;
    case NeighborState::kIncomplete:
    case NeighborState::kProbe:
      if (entry.probes >=
          (entry.state == NeighborState::kProbe ? knobs.ucast_solicit : knobs.mcast_solicit)) {
        fail(entry, now);
        return;
      }
      wheel_.arm(entry.timer, later(now, knobs.retrans_time));
      solicit(entry, now);
      return;
    case NeighborState::kStale:
    case NeighborState::kFailed:
    case NeighborState::kPermanent:
      return;
  }
}

// Linux's neigh_periodic_work: above gc_thresh1, failed entries and those unused for gc_stale_time go.
void Neighbors::collect(Instant now) {
  entries_.for_each([&](Entry& entry) {
    if (entry.state != NeighborState::kFailed && entry.state != NeighborState::kStale) return;
    const Instant used = std::max(entry.used_at, entry.confirmed_at);
    if (entry.state == NeighborState::kFailed || now >= later(used, knobs_.neighbor.gc_stale_time))
      erase(entry);
  });
  collect_at_ = entries_.size() > knobs_.neighbor.gc_thresh1
                    ? later(now, knobs_.neighbor.base_reachable_time / 2)
                    : kNever;
}

std::optional<ArpToSend> Neighbors::poll_arp() {
  if (arp_count_ == 0) return std::nullopt;
  const ArpToSend arp = arp_[arp_head_];
  arp_head_ = (arp_head_ + 1) % kArpQueueMax;
  --arp_count_;
  return arp;
}

std::optional<Released> Neighbors::poll_released() {
  Frame frame = released_.pop_front();
  if (!frame) return std::nullopt;
  parked_bytes_ -= frame.meta().true_size;
  const ParkedHeader header = read_parked(frame);
  frame.trim_front(sizeof header);
  Released released;
  released.interface = frame.meta().interface;
  released.mac = header.mac;
  released.header_size = header.header_size;
  released.transport_offset = header.transport_offset;
  released.checksum = header.checksum;
  released.gso = frame.meta().gso;
  released.frame = std::move(frame);
  return released;
}

std::optional<DeliveryError> Neighbors::poll_failure(Frame* packet) {
  Frame frame;
  std::optional<wire::Ipv4Header> header;
  // A header that a program brought (IP_HDRINCL) may be none: of such a packet there is nothing to tell.
  while (!header) {
    frame = failed_.pop_front();
    if (!frame) return std::nullopt;
    parked_bytes_ -= frame.meta().true_size;
    counters_.drop(DropReason::kNeighFailed);
    frame.trim_front(sizeof(ParkedHeader));
    header = wire::parse_ipv4(frame.bytes());
  }
  DeliveryError error;
  error.kind = DeliveryErrorKind::kHostUnreachable;
  error.reporter = header->src;
  error.protocol = header->protocol;
  error.quoted.local.address = header->src;
  error.quoted.remote.address = header->dst;
  const Bytes transport = frame.bytes().subspan(header->header_length);
  const bool ports_seen = header->fragment_offset == 0 && transport.size() >= 8;
  if (ports_seen && (header->protocol == IpProtocol::kTcp || header->protocol == IpProtocol::kUdp)) {
    error.quoted.local.port = load_be<std::uint16_t>(transport, 0);
    error.quoted.remote.port = load_be<std::uint16_t>(transport, 2);
  }
  // An echo request's identifier stands for its port.
  if (ports_seen && header->protocol == IpProtocol::kIcmp &&
      transport[0] == static_cast<std::uint8_t>(wire::IcmpType::kEcho))
    error.quoted.local.port = load_be<std::uint16_t>(transport, 4);
  if (ports_seen && header->protocol == IpProtocol::kTcp)
    error.quoted_seq = SeqNum(load_be<std::uint32_t>(transport, 4));
  if (packet != nullptr) *packet = std::move(frame);
  return error;
}

bool Neighbors::set_permanent(InterfaceId interface, const IpAddress& address, const MacAddress& mac,
                              Instant now) {
  Entry* entry = lookup(interface, address);
  if (entry == nullptr) entry = create(interface, address, false, now);
  if (entry == nullptr) return false;
  unlist(*entry);
  entry->passive = false;
  entry->mac = mac;
  entry->updated_at = now;
  enter(*entry, NeighborState::kPermanent, now);
  release_parked(*entry);
  return true;
}

bool Neighbors::remove(InterfaceId interface, const IpAddress& address) {
  Entry* entry = lookup(interface, address);
  if (entry == nullptr) return false;
  erase(*entry);
  return true;
}

void Neighbors::erase_if_on(InterfaceId interface, bool permanent_too) {
  entries_.for_each([&](Entry& entry) {
    if (interface != kNoInterface && entry.interface != interface) return;
    if (permanent_too || entry.state != NeighborState::kPermanent) erase(entry);
  });
}

void Neighbors::flush(InterfaceId interface) { erase_if_on(interface, false); }

void Neighbors::remove_interface(InterfaceId interface) { erase_if_on(interface, true); }

NeighborInfo Neighbors::describe(const Entry& entry) const {
  return {entry.interface,    entry.address,    entry.mac,    entry.state,         entry.used_at,
          entry.confirmed_at, entry.updated_at, entry.probes, entry.parked.count()};
}

std::vector<NeighborInfo> Neighbors::list() const {
  std::vector<NeighborInfo> all;
  all.reserve(entries_.size());
  std::as_const(entries_).for_each([&](const Entry& entry) { all.push_back(describe(entry)); });
  return all;
}

std::optional<NeighborInfo> Neighbors::find(InterfaceId interface, const IpAddress& address) const {
  const Entry* entry = lookup(interface, address);
  if (entry == nullptr) return std::nullopt;
  return describe(*entry);
}

}  // namespace tapir::ip
