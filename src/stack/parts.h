// SPDX-License-Identifier: Apache-2.0
// The protocols of one stack, and how the hub moves packets between them. For stack/ and socket/; observe/
// reads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <vector>

#include "inet/delivery_error.h"
#include "ip/address_claims.h"
#include "ip/fragments.h"
#include "ip/groups.h"
#include "ip/icmp.h"
#include "ip/input.h"
#include "ip/interfaces.h"
#include "ip/neighbors.h"
#include "ip/output.h"
#include "ip/path_mtu.h"
#include "ip/redirects.h"
#include "ip/reply.h"
#include "ip/routes.h"
#include "raw/packet_ports.h"
#include "raw/ping_ports.h"
#include "raw/raw_ports.h"
#include "stack/knobs.h"
#include "stack/path_finder.h"
#include "stack/ping.h"
#include "stack/ports.h"
#include "stack/reply_queue.h"
#include "stack/stack.h"
#include "stack/transmit_batch.h"
#include "tcp/engine.h"
#include "udp/output.h"
#include "udp/ports.h"

namespace tapir::stack {

// Segments that one poll_output() sends at most; the rest make next_timeout() = now. Without it a loopback
// connection with itself could keep the stack busy for ever.
inline constexpr std::size_t kSegmentsPerPollMax = 1024;
// Frames to ourselves that one poll_output() feeds back.
inline constexpr std::size_t kLoopbackFramesPerPoll = link::kTurnFramesMax;
// When to ask again a device that had no room: none tells that it has.
inline constexpr Duration kRoomRetry = 1ms;
// Datagram ports touched between two looks; beyond, all count as touched.
inline constexpr std::size_t kTouchedPortsMax = 256;

// A datagram port that something happened to.
struct TouchedPort {
  udp::PortHandle port;
  std::uint8_t events = 0;  // tcp::Touched bits: readable, error
};

// What ICMP said of connections that were opening and socket/ has not heard of yet; more are lost to their
// error queues alone.
inline constexpr std::size_t kStreamErrorsMax = 16;
// Bytes of the quoted segment that are kept for the error queue: the longest TCP header (RFC 9293 §3.1) and
// four, a power of two. Of a longer quotation the rest is payload, which no program reads there.
inline constexpr std::size_t kStreamErrorQuoteMax = 64;
struct StreamError {
  tcp::ConnectionId connection;
  DeliveryError error;
  std::array<std::uint8_t, kStreamErrorQuoteMax> segment{};  // as far as it was quoted
  std::size_t size = 0;
  Bytes quoted() const { return Bytes(segment).first(size); }
};

// What passed an interface, as `ip -s link` tells it. Super-segments count as one packet.
struct InterfaceCounters {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t tx_refused = 0;  // packets that the device did not take
  std::uint64_t dropped = 0;     // packets that went no further in this stack's link layer and hub
};

struct Stack::Parts {
  // A device and what is asked of it often.
  struct Attached {
    std::unique_ptr<link::Device> device;
    link::LinkType link_type = link::LinkType::kEthernet;
    link::MacAddress mac{};
    InterfaceCounters counters;
    InterfaceId parent = kNoInterface;  // whose device it shares, as
    std::uint16_t vlan = 0;             // that VLAN
    std::size_t room = 0;  // frames it takes for certain; when they are used up it is asked again
  };

  Parts(const StackConfig& with, Instant now);
  ~Parts();
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  // ---- input.cc ----
  void input(InterfaceId interface, Frame frame, Instant now);
  // The interface of VLAN `id` of `parent`, or kNoInterface.
  InterfaceId vlan_of(InterfaceId parent, std::uint16_t id) const;
  // ---- output.cc ----
  void poll_output(Instant now);
  // The same, but what goes to ourselves stays on its way: in Linux, too, a call under way sees no answer to
  // what it sends.
  void send_output(Instant now);
  // Sends a UDP datagram now (the spans need live no longer than the call). Error: what ip/ says of its size,
  // or of the path. False: the device has no room, or no memory: the datagram is lost, as in a full qdisc
  // (Linux: ENOBUFS with IP_RECVERR only).
  std::expected<bool, DeliveryError> send_datagram(const FourTuple& tuple, const Path& path,
                                                   std::span<const Bytes> payload,
                                                   const udp::SendOptions& options,
                                                   const ip::Ipv4Fields& fields, Instant now);
  // ---- raw_output.cc: what programs build themselves; sent now, as send_datagram() ----
  // `payload` as one datagram behind an IP header made of `fields`.
  std::expected<bool, DeliveryError> send_raw(const Path& path, std::span<const Bytes> payload,
                                              const ip::Ipv4Fields& fields, Ecn ecn, Instant now);
  // A packet that brings its own IP header (IP_HDRINCL): `header`, complete but for its checksum. The caller
  // has measured it.
  bool send_with_header(const Path& path, Bytes header, std::span<const Bytes> payload, Instant now);
  // A frame as it stands, link header and all. Ports of packet sockets see it leave, but for `sender`.
  bool send_frame(InterfaceId interface, Bytes header, std::span<const Bytes> payload,
                  raw::PacketHandle sender, Instant now);

  // IP_OPTIONS as they leave now.
  IpOptions written_options(const IpOptions& options, const IpAddress& source, Instant now) const;

  // A reply (or an echo request of our own) to be sent by the next poll_output().
  void queue_reply(ip::Reply reply, Instant now);
  // Hands the batch to its device.
  void flush(Instant now);
  // The device takes another frame besides those of the batch.
  bool has_room(InterfaceId interface);

  // What ICMP, the neighbour table or the MTU says of something we sent, to whom it concerns.
  void deliver_error(const DeliveryError& error, InterfaceId arrived_on, Instant now);
  // When `on_timeout` or another poll_output() is needed.
  Instant next_timeout() const;
  void on_timeout(Instant now);
  bool turn(Instant now);

  void touch(udp::PortHandle port, std::uint8_t events);
  // What was touched since the last call; `all`: more than could be kept. Valid until the next call into the
  // stack.
  struct TouchedPorts {
    std::span<const TouchedPort> ports;
    bool all = false;
  };
  TouchedPorts take_touched_ports();
  // Valid until the next call into the stack.
  std::span<const StreamError> take_stream_errors() {
    return std::span(stream_errors_).first(std::exchange(stream_error_count_, 0));
  }

  // An address is ours from now on: it is added with its route, and announced if `announce`.
  void take_address(InterfaceId interface, const IpPrefix& address, bool announce, Instant now);

  // `now` of a call that does nothing else with it.
  void seen_at(Instant now) { seen_now_ = now; }
  Instant seen_now() const { return seen_now_; }

  Attached* attached(InterfaceId id) {
    return id == kNoInterface || id > devices.size() ? nullptr : &devices[id - 1u];
  }
  const Attached* attached(InterfaceId id) const {
    return id == kNoInterface || id > devices.size() ? nullptr : &devices[id - 1u];
  }

  StackConfig config;
  Rng rng;
  MemoryBudget budget;
  FramePool frames;
  trace::Counters counters;
  trace::Tracer tracer;
  ip::Knobs ip_knobs;
  tcp::Knobs tcp_knobs;
  Knobs knobs;

  ip::Interfaces interfaces;
  ip::PathMtuCache path_mtu;
  ip::Routes routes;
  ip::Neighbors neighbors;
  ip::Fragments fragments;
  ip::Groups groups;
  ip::AddressClaims claims;
  ip::RedirectLimit redirect_limit;
  ip::Ipv4Input ipv4_input;
  ip::Ipv4Output ipv4_output;
  ip::Icmp icmp;
  udp::UdpPorts udp;
  raw::RawPorts raw_ports;
  raw::PingPorts ping_ports;
  raw::PacketPorts packet_ports;
  RoutePathFinder path_finder;
  Rng tcp_rng;
  tcp::Engine tcp;
  Ports ports;
  Pings pings;

  std::vector<Attached> devices;  // index = InterfaceId - 1
  ReplyQueue replies;
  TransmitBatch batch;

 private:
  // input.cc
  void input_ethernet(InterfaceId interface, Frame frame, Instant now);
  void input_arp(InterfaceId interface, const Frame& frame, const wire::EthernetHeader& header,
                 ip::LinkDestination to, Instant now);
  void input_ipv4(Frame frame, ip::LinkDestination to, Instant now);
  void deliver(ip::Datagram datagram, Instant now);
  void deliver_icmp(const ip::Datagram& datagram, Instant now);
  void deliver_udp(ip::Datagram datagram, Instant now);
  void deliver_tcp(ip::Datagram datagram, Instant now);
  void send_icmp_error(const ip::IcmpErrorSpec& spec, Bytes packet, ip::LinkDestination to,
                       InterfaceId arrived_on, Instant now);
  void drop(trace::DropReason reason, InterfaceId interface, std::size_t bytes, Instant now);
  void after_input(Instant now);
  // packet_taps.cc: copies for packet sockets. True when one wanted just this protocol.
  // forward.cc
  void forward(Frame frame, ip::LinkDestination to, Instant now);
  void forward_in_fragments(const Path& path, std::uint32_t mtu, Instant now);
  void send_redirect(const wire::Ipv4Header& header, Bytes packet, const Path& path, InterfaceId arrived_on,
                     Instant now);
  void on_redirect(const ip::RedirectReceived& redirect, InterfaceId arrived_on, Instant now);
  static ip::IcmpErrorSpec unreachable_spec(ip::RouteError error);
  // Did a socket of ours send what `error` quotes?
  bool flow_is_ours(const DeliveryError& error, InterfaceId arrived_on);
  bool tap_received(InterfaceId interface, const Frame& frame, ip::LinkDestination to, Instant now);
  void tap_sent(InterfaceId interface, std::span<const OutgoingFrame> sent, Instant now);
  std::size_t receive_from(InterfaceId id, std::size_t frames_max, Instant now);

  // output.cc
  // The same as has_room() after handing over the batch, where that helps.
  bool make_room(InterfaceId interface, Instant now);
  OutgoingFrame& slot(Instant now);
  // The packet in the slot, which begins at its transport header: IP header, neighbour, link header, batch.
  std::expected<void, DeliveryError> send_slot(const Path& path, const ip::Ipv4Fields& fields, Frame kept,
                                               Instant now);
  void send_packet(InterfaceId interface, const IpAddress& next_hop, const IpAddress& source, Frame kept,
                   Instant now);
  void commit(InterfaceId interface, Frame kept, Instant now);
  void push_ethernet(const link::MacAddress& destination, const link::MacAddress& source,
                     std::uint16_t ethertype);
  void drain_neighbors(Instant now);
  void drain_claims(Instant now);
  void send_arp(const ip::ArpToSend& arp, Instant now);
  void send_group_reports(Instant now);
  // group_loop.cc: the packet in the slot, which begins at its IP header, comes back to whoever joined here.
  void loop_back(const Path& path, const ip::Ipv4Fields& fields, Instant now);
  std::size_t feed_looped(std::size_t frames_max, Instant now);
  void send_replies(Instant now);
  void send_tcp_replies(Instant now);
  void send_segments(bool only_due, Instant now);
  void notice_route_changes(Instant now);
  bool output_waits(Instant now);

  std::uint32_t routes_generation_ = 0;
  raw::PacketHandle sending_port_;          // whose frame leaves just now
  std::unique_ptr<OutgoingFrame> whole_;    // a packet while it is cut to fragments
  std::unique_ptr<OutgoingFrame> segment_;  // a segment of a super-segment while it is cut to fragments
  FrameQueue looped_;                       // group packets on their way back to us; IP packets
  std::array<Frame, link::kTurnFramesMax> received_;
  std::array<TouchedPort, kTouchedPortsMax> touched_ports_{};
  std::size_t touched_port_count_ = 0;
  std::array<StreamError, kStreamErrorsMax> stream_errors_{};
  std::size_t stream_error_count_ = 0;
  bool touched_all_ports_ = false;
  bool touched_ports_taken_ = false;
  Instant seen_now_;                  // the last `now` we were called with
  Instant output_retry_at_ = kNever;  // something waits for room, or for another poll
  bool draining_neighbors_ = false;
};

}  // namespace tapir::stack
