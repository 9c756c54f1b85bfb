// SPDX-License-Identifier: Apache-2.0
#include "stack/stack.h"

#include <algorithm>
#include <utility>

#include "link/loopback.h"
#include "link/offload.h"
#include "link/vlan.h"
#include "stack/parts.h"

namespace tapir::stack {
namespace {

// Streams of Rng::fork: one per consumer, so that adding one does not change what the others draw.
enum class Stream : std::uint64_t {
  kPathMtuKey = 1,
  kNeighborsKey,
  kNeighbors,
  kFragmentsKey,
  kOutputKey,
  kOutput,
  kIcmpKey,
  kIcmp,
  kUdpKey,
  kPortsKey,
  kPorts,
  kTcp,
  kPingKey,
  kPing,
  kGroupsKey,
  kGroups,
  kRedirectsKey,
  kClaims,
};

Rng stream(const Rng& rng, Stream which) { return rng.fork(static_cast<std::uint64_t>(which)); }

SipKey key(const Rng& rng, Stream which) {
  Rng own = stream(rng, which);
  const std::uint64_t k0 = own.next_u64();
  return {k0, own.next_u64()};
}

ip::LinkKind link_kind(link::LinkType type) {
  return type == link::LinkType::kEthernet ? ip::LinkKind::kEthernet : ip::LinkKind::kRawIp;
}

PathOffloads path_offloads(const link::Offloads& device) {
  PathOffloads offloads;
  offloads.checksum = device.tx_checksum;
  offloads.tcp_segmentation = device.tso;
  offloads.gso_max_size = device.tso ? device.gso_max_size : 0;
  offloads.gso_max_segs = device.tso ? device.gso_max_segs : std::uint16_t{0};
  return offloads;
}

// tcp_mem as tcp_init_mem sets it: an eighth of the memory, in pages.
std::array<std::int64_t, 3> tcp_mem(std::size_t memory_limit) {
  const auto limit = std::max<std::int64_t>(static_cast<std::int64_t>(memory_limit / 4096 / 8), 128);
  return {limit / 4 * 3, limit, limit / 4 * 3 * 2};
}

}  // namespace

Stack::Parts::Parts(const StackConfig& with, Instant now)
    : config(with),
      rng(with.seed),
      budget(with.memory_limit),
      frames(budget),
      path_mtu(key(rng, Stream::kPathMtuKey), ip_knobs),
      routes(interfaces, path_mtu, ip_knobs, key(rng, Stream::kRedirectsKey)),
      neighbors(interfaces, frames, key(rng, Stream::kNeighborsKey), stream(rng, Stream::kNeighbors),
                ip_knobs, counters, tracer, now),
      fragments(frames, key(rng, Stream::kFragmentsKey), ip_knobs, counters),
      groups(interfaces, frames, key(rng, Stream::kGroupsKey), stream(rng, Stream::kGroups), ip_knobs,
             budget.hook()),
      claims(stream(rng, Stream::kClaims)),
      redirect_limit(key(rng, Stream::kRedirectsKey)),
      ipv4_input(interfaces, routes, groups, fragments, ip_knobs, counters, tracer),
      ipv4_output(key(rng, Stream::kOutputKey), stream(rng, Stream::kOutput), ip_knobs, counters),
      icmp(interfaces, routes, frames, key(rng, Stream::kIcmpKey), stream(rng, Stream::kIcmp), ip_knobs,
           counters, tracer),
      udp(frames, key(rng, Stream::kUdpKey), counters, tracer),
      raw_ports(frames, budget.hook(), counters, tracer),
      ping_ports(frames, key(rng, Stream::kPingKey), stream(rng, Stream::kPing), budget.hook(), counters,
                 tracer),
      packet_ports(frames, budget.hook(), counters, tracer),
      path_finder(routes),
      tcp_rng(stream(rng, Stream::kTcp)),
      tcp(tcp_knobs, counters, tracer, tcp_rng, frames, budget, path_finder),
      ports(key(rng, Stream::kPortsKey), stream(rng, Stream::kPorts), tcp_knobs, budget.hook()),
      pings(routes, frames, counters),
      seen_now_(now) {
  tcp_knobs.tcp_mem = tcp_mem(with.memory_limit);
  path_finder.ask_room_of(*this);
}

Stack::Parts::~Parts() = default;

void Stack::Parts::touch(udp::PortHandle port, std::uint8_t events) {
  if (touched_ports_taken_) {
    touched_ports_taken_ = touched_all_ports_ = false;
    touched_port_count_ = 0;
  }
  // Datagrams come in runs: the last one touched is likely the one.
  if (touched_port_count_ != 0 && touched_ports_[touched_port_count_ - 1].port == port) {
    touched_ports_[touched_port_count_ - 1].events |= events;
    return;
  }
  if (touched_port_count_ == kTouchedPortsMax) {
    touched_all_ports_ = true;
    return;
  }
  touched_ports_[touched_port_count_++] = {port, events};
}

Stack::Parts::TouchedPorts Stack::Parts::take_touched_ports() {
  if (touched_ports_taken_) return {};
  touched_ports_taken_ = true;
  return {{touched_ports_.data(), touched_port_count_}, touched_all_ports_};
}

Instant Stack::Parts::next_timeout() const {
  if (!replies.empty() && output_retry_at_ == kNever) return seen_now_;
  if (!looped_.empty()) return seen_now_;
  // Asked after every call of a program.
  Instant next = output_retry_at_;
  const auto consider = [&next](Instant at) {
    if (at < next) next = at;
  };
  consider(neighbors.next_timeout());
  consider(fragments.next_timeout());
  consider(path_mtu.next_timeout());
  consider(tcp.next_timeout());
  consider(ports.next_timeout());
  consider(pings.next_timeout());
  consider(groups.next_timeout());
  consider(claims.next_timeout());
  for (const Attached& each : devices) consider(each.device->next_timeout());
  return next;
}

void Stack::Parts::on_timeout(Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  if (batch.borrows()) flush(now);
  neighbors.on_timeout(now);
  drain_neighbors(now);
  while (const auto expired = fragments.poll_expired(now)) {
    drop(trace::DropReason::kFragReasmTimeout, kNoInterface, 0, now);
    if (expired->first)
      send_icmp_error(ip::IcmpErrorSpec::reassembly_time_exceeded(), expired->first.bytes(),
                      ip::LinkDestination::kHost, expired->first.meta().interface, now);
  }
  path_mtu.on_timeout(now);
  groups.on_timeout(now);
  claims.on_timeout(now);
  if (batch.borrows()) flush(now);
  tcp.on_timeout(now);
  ports.on_timeout(tcp, now);
  pings.on_timeout(now);
}

bool Stack::Parts::turn(Instant now) {
  // What has arrived first: a program that did not run for a while finds the answers to what its timers would
  // send again.
  bool more = false;
  for (InterfaceId id = 1; id <= devices.size(); ++id) {
    if (id == interfaces.loopback()) continue;  // poll_output() feeds it
    more = receive_from(id, received_.size(), now) == received_.size() || more;
  }
  on_timeout(now);
  poll_output(now);
  return more;
}

Stack::Stack(StackConfig config, Instant now) : parts_(std::make_unique<Parts>(config, now)) {
  add_interface({.name = "lo", .addresses = {{IpAddress::v4(127, 0, 0, 1), 8}}, .up = true},
                std::make_unique<link::Loopback>(), now);
}

Stack::~Stack() = default;

InterfaceId Stack::add_interface(InterfaceConfig config, std::unique_ptr<link::Device> device, Instant now) {
  const link::Offloads own = device->offloads();
  if (config.vlan != 0)
    device = std::make_unique<link::VlanDevice>(std::move(device), config.vlan, &parts_->counters);
  if (!own.tx_checksum || !own.tso) device = std::make_unique<link::Offload>(std::move(device));
  return attach(config, std::move(device), kNoInterface, now);
}

InterfaceId Stack::add_vlan(InterfaceConfig config, InterfaceId parent, Instant now) {
  const Parts::Attached* trunk = parts_->attached(parent);
  if (trunk == nullptr || trunk->link_type != link::LinkType::kEthernet || trunk->parent != kNoInterface ||
      config.vlan == 0 || parts_->vlan_of(parent, config.vlan) != kNoInterface)
    return kNoInterface;
  return attach(config, std::make_unique<link::VlanPort>(*trunk->device, config.vlan), parent, now);
}

InterfaceId Stack::attach(const InterfaceConfig& config, std::unique_ptr<link::Device> device,
                          InterfaceId parent, Instant now) {
  ip::Interface interface;
  interface.name = config.name;
  const bool loopback = parts_->devices.empty();
  interface.kind = loopback ? ip::LinkKind::kLoopback : link_kind(device->link_type());
  interface.mac = device->mac();
  interface.mtu = device->mtu();
  interface.up = config.up;
  interface.offloads = path_offloads(device->offloads());
  interface.conf = parts_->ip_knobs.conf_default;
  const InterfaceId id = parts_->interfaces.add(std::move(interface));
  if (id == kNoInterface) return id;
  Parts::Attached& attached = parts_->devices.emplace_back();
  attached.device = std::move(device);
  attached.parent = parent;
  attached.vlan = parent != kNoInterface ? config.vlan : std::uint16_t{0};
  attached.link_type = attached.device->link_type();
  attached.mac = attached.device->mac();
  parts_->seen_at(now);
  const bool ethernet = attached.link_type == link::LinkType::kEthernet;
  for (const IpPrefix& address : config.addresses) {
    const bool probing = config.detect_conflicts && ethernet && config.up &&
                         parts_->claims.claim(id, attached.mac, address, true, true, now);
    if (!probing) parts_->take_address(id, address, config.announce, now);
  }
  return id;
}

void Stack::Parts::take_address(InterfaceId id, const IpPrefix& address, bool announce, Instant now) {
  if (!interfaces.add_address(id, address)) return;
  (void)routes.add_connected(id, address);
  const ip::Interface* interface = interfaces.find(id);
  const bool announces =
      interface->kind == ip::LinkKind::kEthernet && interface->up && address.address.is_v4();
  if ((announce || ip::notifies_by_arp(ip_knobs, interface->conf)) && announces)
    claims.claim(id, interface->mac, address, false, announce, now);
  groups.announce(id, now);
}

bool Stack::add_route(IpPrefix destination, IpAddress gateway, InterfaceId interface, std::uint32_t metric,
                      Instant now) {
  ip::Route route;
  route.destination = destination;
  route.gateway = gateway;
  route.interface = interface;
  route.metric = metric;
  parts_->seen_at(now);
  return parts_->routes.add(std::move(route)).has_value();
}

void Stack::input(InterfaceId interface, Frame frame, Instant now) {
  parts_->input(interface, std::move(frame), now);
}
void Stack::poll_output(Instant now) { parts_->poll_output(now); }
Instant Stack::next_timeout() const { return parts_->next_timeout(); }
void Stack::on_timeout(Instant now) { parts_->on_timeout(now); }
bool Stack::turn(Instant now) { return parts_->turn(now); }

trace::Counters& Stack::counters() { return parts_->counters; }
const trace::Counters& Stack::counters() const { return parts_->counters; }
trace::Tracer& Stack::tracer() { return parts_->tracer; }
FramePool& Stack::frames() { return parts_->frames; }
MemoryBudget& Stack::budget() { return parts_->budget; }
Rng& Stack::rng() { return parts_->rng; }

}  // namespace tapir::stack
