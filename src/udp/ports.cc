// SPDX-License-Identifier: Apache-2.0
#include "udp/ports.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "inet/flow_hash.h"
#include "udp/events.h"
#include "wire/checksum.h"
#include "wire/udp.h"

namespace tapir::udp {

using trace::Counter;
using trace::DropReason;

namespace {

Bytes bytes_of(const FrameHeader& header) {
  return {reinterpret_cast<const std::uint8_t*>(&header + 1) + header.begin, header.end - header.begin};
}

// What a stored datagram says to its reader, without the frame.
Received read_stored(Bytes stored, Instant received_at) {
  StoredHeader header;
  std::memcpy(&header, stored.data(), sizeof header);
  Received received;
  received.from = header.from;
  received.to = header.to;
  received.interface = header.interface;
  received.tos = header.tos;
  received.hop_limit = header.hop_limit;
  received.received_at = received_at;
  received.payload = stored.subspan(sizeof header);
  return received;
}

// Errors that make a connected socket fail (Linux's icmp_err_convert[].fatal and __udp4_lib_err); the others
// only reach those who asked for all.
bool is_hard(const DeliveryError& error, const DatagramPort& port) {
  switch (error.kind) {
    case DeliveryErrorKind::kProtocolUnreachable:
    case DeliveryErrorKind::kPortUnreachable:
    case DeliveryErrorKind::kParameterProblem:
      return true;
    case DeliveryErrorKind::kAdminProhibited:
      return true;
    case DeliveryErrorKind::kFragmentationNeeded:
      return port.path_mtu_discovery;
    case DeliveryErrorKind::kNetUnreachable:
      return error.from_icmp && error.icmp_code == 6;
    case DeliveryErrorKind::kHostUnreachable:
      return error.from_icmp &&
             (error.icmp_code == 7 || error.icmp_code == 8 || error.icmp_code == 14 || error.icmp_code == 15);
    case DeliveryErrorKind::kSourceRouteFailed:
    case DeliveryErrorKind::kTimeExceeded:
      return false;
  }
  return false;
}

}  // namespace

std::size_t DatagramPort::first_size() const {
  const FrameHeader* first = queue_.front();
  return first == nullptr ? 0 : bytes_of(*first).size() - sizeof(StoredHeader);
}

std::optional<Received> DatagramPort::peek() const {
  const FrameHeader* first = queue_.front();
  if (first == nullptr) return std::nullopt;
  return read_stored(bytes_of(*first), first->received_at);
}

std::optional<Received> DatagramPort::peek_at(std::size_t& offset) {
  for (FrameHeader* at = queue_.front(); at != nullptr; at = at->next) {
    std::uint8_t* stored = reinterpret_cast<std::uint8_t*>(at + 1) + at->begin;
    StoredHeader header;
    std::memcpy(&header, stored, sizeof header);
    const std::size_t size = bytes_of(*at).size() - sizeof header;
    if (offset >= size && (offset != 0 || header.peeked)) {
      offset -= size;
      continue;
    }
    if (size == 0) {
      header.peeked = true;
      std::memcpy(stored, &header, sizeof header);
    }
    return read_stored(bytes_of(*at), at->received_at);
  }
  return std::nullopt;
}

std::optional<DeliveryError> DatagramPort::take_error() { return std::exchange(error_, std::nullopt); }

UdpPorts::UdpPorts(FramePool& pool, SipKey key, trace::Counters& counters, trace::Tracer& tracer)
    : pool_(pool), key_(key), counters_(counters), tracer_(tracer) {
  static_assert(std::is_trivially_copyable_v<StoredHeader> && sizeof(StoredHeader) <= kFrameHeadroom,
                "it fits every frame's headroom");
}

UdpPorts::~UdpPorts() = default;

PortHandle UdpPorts::open() { return ports_.emplace(); }

void UdpPorts::close(PortHandle handle) {
  DatagramPort* port = get(handle);
  if (port == nullptr) return;
  counters_.drop(DropReason::kSocketClosed, port->queue_.count());
  unlist(*port);
  ports_.erase(*port);
}

std::uint64_t UdpPorts::hash_of(const IpAddress& local, std::uint16_t port) const {
  return endpoint_hash(key_, Endpoint{local, port});
}

void UdpPorts::list(DatagramPort& port) {
  if (port.tuple_.local.port == 0) return;
  port.hash_ = hash_of(port.tuple_.local.address, port.tuple_.local.port);
  port.listed_ = table_.insert(port.hash_, ports_.handle_of(port).index);
}

void UdpPorts::unlist(DatagramPort& port) {
  if (port.listed_) table_.erase(port.hash_, ports_.handle_of(port).index);
  port.listed_ = false;
}

void UdpPorts::bind(PortHandle handle, const Endpoint& local) {
  DatagramPort& port = *get(handle);
  unlist(port);
  port.tuple_ = {local, {}};
  port.connected_ = false;
  port.order_ = next_order_++;
  list(port);
}

void UdpPorts::connect(PortHandle handle, const FourTuple& tuple) {
  DatagramPort& port = *get(handle);
  const bool moves = port.tuple_.local != tuple.local || !port.listed_;
  if (moves) unlist(port);
  port.tuple_ = tuple;
  port.connected_ = true;
  if (port.order_ == 0) port.order_ = next_order_++;
  if (moves) list(port);
}

void UdpPorts::disconnect(PortHandle handle, const Endpoint& local) {
  DatagramPort& port = *get(handle);
  port.error_.reset();
  connect(handle, {local, {}});
  port.connected_ = false;
}

void UdpPorts::unbind(PortHandle handle) {
  DatagramPort& port = *get(handle);
  unlist(port);
  port.tuple_ = {};
  port.connected_ = false;
  port.order_ = 0;
}

void UdpPorts::bind_interface(PortHandle handle, InterfaceId interface) {
  get(handle)->bound_interface_ = interface;
}

// Linux's compute_score; the local address and port agree already.
int UdpPorts::score(const DatagramPort& port, const Endpoint& remote, InterfaceId interface) {
  int score = 0;
  if (port.connected()) {
    if (port.tuple_.remote.address != remote.address) return -1;
    if (port.tuple_.remote.port != 0 && port.tuple_.remote.port != remote.port) return -1;
    score += 8;
  }
  if (port.bound_interface_ != kNoInterface) {
    if (port.bound_interface_ != interface) return -1;
    score += 4;
  }
  return score;
}

PortHandle UdpPorts::best_of(const IpAddress& address, const Endpoint& local, const Endpoint& remote,
                             InterfaceId interface) const {
  const DatagramPort* best = nullptr;
  int best_score = -1;
  const std::uint64_t hash = hash_of(address, local.port);
  // How two that score the same compare: sharers by a hash of who sends and of which they are, others by age.
  const auto draw = [&](const DatagramPort& port) {
    return siphash_1_3(key_,
                       std::array<std::uint64_t, 2>{four_tuple_hash(key_, {local, remote}), port.order_});
  };
  table_.find(hash, [&](std::uint32_t index) {
    const DatagramPort& port = *ports_.at(index);
    if (port.tuple_.local.port != local.port || port.tuple_.local.address != address) return false;
    const int points = score(port, remote, interface);
    if (points < 0 || points < best_score) return false;
    bool better = points > best_score;
    if (!better) {
      const bool share = port.reuse_port && best->reuse_port && !port.connected();
      better = share ? draw(port) > draw(*best) : port.order_ > best->order_;
    }
    if (better) {
      best = &port;
      best_score = points;
    }
    return false;  // look at all
  });
  return best != nullptr ? ports_.handle_of(*best) : PortHandle{};
}

PortHandle UdpPorts::lookup(const Endpoint& local, const Endpoint& remote, InterfaceId interface) const {
  if (table_.empty()) return {};
  if (const PortHandle exact = best_of(local.address, local, remote, interface)) return exact;
  const IpAddress any = local.address.is_v4() ? IpAddress::any_v4() : IpAddress();
  return best_of(any, local, remote, interface);
}

bool UdpPorts::checksum_holds(const Arrival& arrival, const Frame& frame, std::uint16_t field) {
  if (frame.meta().checksum != ChecksumState::kNone) return true;
  if (field == 0 && arrival.source.is_v4()) return true;  // the sender computed none
  return wire::transport_checksum(arrival.source, arrival.destination, IpProtocol::kUdp, frame.bytes()) == 0;
}

Outcome UdpPorts::drop(DropReason reason, Instant now) {
  counters_.drop(reason);
  tracer_.emit(now, Event::kDropped, 0, static_cast<std::uint64_t>(reason));
  Outcome outcome;
  outcome.dropped = reason;
  return outcome;
}

Outcome UdpPorts::input(const Arrival& arrival, Frame frame, Instant now) {
  const auto datagram = wire::parse_udp(frame.bytes());
  if (!datagram) {
    counters_.add(Counter::kUdpInErrors);
    return drop(DropReason::kUdpLength, now);
  }
  frame.trim_back(frame.size() - datagram->length);
  const bool sound = checksum_holds(arrival, frame, datagram->checksum);
  StoredHeader header;
  header.from = {arrival.source, datagram->src_port};
  header.to = {arrival.destination, datagram->dst_port};
  header.interface = arrival.interface;
  header.tos = arrival.tos;
  header.hop_limit = arrival.hop_limit;
  if (!sound) {
    counters_.add(Counter::kUdpInCsumErrors);
    counters_.add(Counter::kUdpInErrors);
    return drop(DropReason::kUdpCsum, now);
  }
  if (arrival.group) {
    frame.trim_front(wire::kUdpHeaderLength);
    return deliver_to_group(header, std::move(frame), now);
  }

  const PortHandle handle = lookup(header.to, header.from, arrival.interface);
  DatagramPort* port = get(handle);
  if (port == nullptr) {
    counters_.add(Counter::kUdpNoPorts);
    Outcome outcome = drop(DropReason::kNoSocket, now);
    outcome.port_unreachable = true;
    outcome.rejected = std::move(frame);
    return outcome;
  }
  frame.trim_front(wire::kUdpHeaderLength);
  if (const auto refused = deliver(*port, header, std::move(frame))) return drop(*refused, now);
  tracer_.emit(now, Event::kDelivered, handle.packed(), port->first_size(), header.from.port, header.to.port,
               port->queue_.count());
  Outcome outcome;
  touched_[0] = handle;
  outcome.touched = {touched_.data(), 1};
  return outcome;
}

// The parts of a super-datagram become datagrams of their own (Linux's udp_rcv_segment).
std::optional<DropReason> UdpPorts::deliver(DatagramPort& port, const StoredHeader& header, Frame payload) {
  const std::size_t part = payload.meta().gso.type == GsoType::kUdp ? payload.meta().gso.size : 0;
  if (part == 0 || payload.size() <= part) return enqueue(port, header, std::move(payload));
  std::optional<DropReason> refused = DropReason::kMemory;
  Bytes rest = payload.bytes();
  while (!rest.empty()) {
    const Bytes taken = rest.first(std::min(part, rest.size()));
    rest = rest.subspan(taken.size());
    Frame copy = pool_.copy(taken);
    if (!copy) {
      counters_.add(Counter::kUdpMemErrors);
      counters_.add(Counter::kUdpInErrors);
      break;
    }
    copy.meta().received_at = payload.meta().received_at;
    copy.meta().interface = payload.meta().interface;
    if (!enqueue(port, header, std::move(copy))) refused.reset();
  }
  return refused;
}

std::optional<DropReason> UdpPorts::enqueue(DatagramPort& port, const StoredHeader& header, Frame payload) {
  // A small payload in a large buffer would fill the receive buffer with air.
  const auto fits = std::lower_bound(kFrameClasses.begin(), kFrameClasses.end(), payload.size());
  const bool smaller_fits = fits != kFrameClasses.end() && kFrameHeadroom + *fits < payload.meta().capacity;
  const bool sparse = payload.meta().true_size > 2 * payload.size() + 512;
  const bool no_headroom = payload.headroom() < sizeof header;
  if ((sparse && smaller_fits) || no_headroom) {
    Frame copy = pool_.copy(payload);
    if (!copy && no_headroom) {
      counters_.add(Counter::kUdpMemErrors);
      counters_.add(Counter::kUdpInErrors);
      return DropReason::kMemory;
    }
    if (copy) payload = std::move(copy);
  }
  // Linux's __udp_enqueue_schedule_skb: an empty queue takes one of any size.
  if (!port.queue_.empty() && port.queue_.true_size() + payload.meta().true_size > port.receive_buffer) {
    counters_.add(Counter::kUdpRcvbufErrors);
    counters_.add(Counter::kUdpInErrors);
    ++port.drops_;
    return DropReason::kSocketRcvbuff;
  }
  std::memcpy(payload.push_front(sizeof header).data(), &header, sizeof header);
  port.queue_.push_back(std::move(payload));
  return std::nullopt;
}

// Everyone it is for gets a copy (Linux's __udp4_lib_mcast_deliver).
Outcome UdpPorts::deliver_to_group(const StoredHeader& header, Frame payload, Instant now) {
  std::size_t count = 0;
  const auto gather = [&](const IpAddress& address) {
    table_.find(hash_of(address, header.to.port), [&](std::uint32_t index) {
      const DatagramPort& port = *ports_.at(index);
      if (port.tuple_.local.port == header.to.port && port.tuple_.local.address == address &&
          score(port, header.from, header.interface) >= 0 &&
          port.groups.allow(header.interface, header.to.address, header.from.address) && count < kCopiesMax)
        touched_[count++] = ports_.handle_of(port);
      return false;
    });
  };
  gather(header.to.address);
  gather(header.to.address.is_v4() ? IpAddress::any_v4() : IpAddress());
  // The table's order is nobody's business: by the order of binding.
  std::sort(touched_.begin(), touched_.begin() + static_cast<std::ptrdiff_t>(count),
            [&](PortHandle a, PortHandle b) { return get(a)->order_ < get(b)->order_; });
  if (count == 0) {
    counters_.add(Counter::kUdpIgnoredMulti);
    return drop(DropReason::kNoSocket, now);
  }
  std::optional<DropReason> refused;
  std::size_t reached = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Frame copy = i + 1 == count ? std::move(payload) : pool_.copy(payload);
    DatagramPort& port = *get(touched_[i]);
    if (!copy) {
      counters_.add(Counter::kUdpInErrors);
      refused = DropReason::kMemory;
      continue;
    }
    if (const auto reason = deliver(port, header, std::move(copy))) {
      refused = reason;
      continue;
    }
    tracer_.emit(now, Event::kDelivered, touched_[i].packed(), port.first_size(), header.from.port,
                 header.to.port, port.queue_.count());
    touched_[reached++] = touched_[i];
  }
  Outcome outcome;
  if (reached == 0) outcome = drop(*refused, now);
  outcome.touched = {touched_.data(), reached};
  return outcome;
}

std::optional<Received> UdpPorts::take(PortHandle handle) {
  DatagramPort* port = get(handle);
  if (port == nullptr || port->queue_.empty()) return std::nullopt;
  Frame frame = port->queue_.pop_front();
  Received received = read_stored(frame.bytes(), frame.meta().received_at);
  frame.trim_front(sizeof(StoredHeader));
  received.frame = std::move(frame);
  counters_.add(Counter::kUdpInDatagrams);
  return received;
}

PortHandle UdpPorts::on_error(const DeliveryError& error, InterfaceId arrived_on, Instant now) {
  const PortHandle handle = lookup(error.quoted.local, error.quoted.remote, arrived_on);
  DatagramPort* port = get(handle);
  if (port == nullptr) {
    drop(DropReason::kIcmpNoFlow, now);
    return {};
  }
  if (error.kind == DeliveryErrorKind::kFragmentationNeeded && !port->path_mtu_discovery) return {};
  if (!port->receive_errors && (!port->connected() || !is_hard(error, *port))) return {};
  port->error_ = error;
  if (port->receive_errors) port->errors.push(error, error.payload, pool_);
  tracer_.emit(now, Event::kError, handle.packed(), static_cast<std::uint64_t>(error.kind), error.icmp_type,
               error.icmp_code);
  return handle;
}

}  // namespace tapir::udp
