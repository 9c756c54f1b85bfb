// SPDX-License-Identifier: Apache-2.0
// UDP (RFC 768, RFC 1122 §4.1): the endpoints, who gets which datagram, and their receive queues.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/keyed_table.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/time.h"
#include "frame/error_queue.h"
#include "frame/frame.h"
#include "frame/frame_pool.h"
#include "frame/outgoing_frame.h"
#include "inet/delivery_error.h"
#include "inet/endpoint.h"
#include "inet/multicast.h"
#include "inet/protocol.h"
#include "trace/counters.h"
#include "trace/drop_reason.h"
#include "trace/record.h"

namespace tapir::udp {

// net.core.rmem_default: true size of what one receive queue holds.
inline constexpr std::size_t kReceiveBufferDefault = 212992;
// Payload bytes of the largest datagram over IPv4: 65535 − 20 − 8.
inline constexpr std::size_t kPayloadMax = 65507;
// Segments one super-datagram is split to (Linux's UDP_MAX_SEGMENTS).
inline constexpr std::size_t kSegmentsMax = 128;
// Endpoints of one stack.
inline constexpr std::uint32_t kPortsMax = 262144;
// Endpoints that get a copy of one multicast or broadcast datagram; each costs a copy.
inline constexpr std::size_t kCopiesMax = 64;

// What IP says of an arriving datagram.
struct Arrival {
  IpAddress source;
  IpAddress destination;
  InterfaceId interface = kNoInterface;
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;
  bool group = false;  // the destination is a multicast or broadcast address
};

// One received datagram as the reader sees it. The payload is `frame`'s bytes; received_at is in its meta().
struct Received {
  Endpoint from;
  Endpoint to;  // what the sender addressed (IP_PKTINFO)
  InterfaceId interface = kNoInterface;
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;
  Instant received_at{};
  Bytes payload;  // peek(): valid until the next call for this port; take(): of `frame`
  Frame frame;    // take() only
};

// What stands in front of every queued payload, in the same buffer (where the headers were).
struct StoredHeader {
  Endpoint from;
  Endpoint to;
  InterfaceId interface = kNoInterface;
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;
  bool peeked = false;  // an empty one, by a peek with an offset
};

// An endpoint: bound, perhaps connected. UdpPorts changes what demultiplexing depends on; options are the
// owner's to set.
class DatagramPort {
 public:
  // ---- options ----
  bool reuse_port = false;         // SO_REUSEPORT: equals share the datagrams by a hash of the tuple
  bool receive_errors = false;     // IP_RECVERR: soft errors count too, and unconnected
  bool path_mtu_discovery = true;  // false (IP_PMTUDISC_DONT): "fragmentation needed" is no error
  bool receive_shut = false;       // shutdown(SHUT_RD)
  std::size_t receive_buffer = kReceiveBufferDefault;  // SO_RCVBUF as Linux counts: true size
  GroupMemberships groups;                             // IP_ADD_MEMBERSHIP …

  const Endpoint& local() const { return tuple_.local; }
  // Port 0: not connected.
  const Endpoint& remote() const { return tuple_.remote; }
  const FourTuple& tuple() const { return tuple_; }
  bool bound() const { return tuple_.local.port != 0; }
  bool connected() const { return connected_; }
  ErrorQueue errors;  // that wait to be read one by one (IP_RECVERR, recvmsg(MSG_ERRQUEUE))
  InterfaceId bound_interface() const { return bound_interface_; }

  bool readable() const { return !queue_.empty(); }
  std::size_t queued() const { return queue_.count(); }
  std::size_t queued_true_size() const { return queue_.true_size(); }
  // Payload bytes of the first datagram (FIONREAD), 0 without one.
  std::size_t first_size() const;
  std::uint64_t drops() const { return drops_; }  // datagrams that found the queue full

  // The first datagram, without taking it.
  std::optional<Received> peek() const;
  // The datagram that byte `offset` of all that waits is in, and `offset` becomes that of the datagram's:
  // SO_PEEK_OFF's place. An empty one has its place once (Linux: __skb_try_recv_from_queue).
  std::optional<Received> peek_at(std::size_t& offset);

  // The pending error (SO_ERROR), taken.
  std::optional<DeliveryError> take_error();
  bool has_error() const { return error_.has_value(); }

 private:
  friend class UdpPorts;

  FourTuple tuple_;
  InterfaceId bound_interface_ = kNoInterface;
  bool connected_ = false;
  bool listed_ = false;  // in the table under hash_
  std::uint64_t hash_ = 0;
  std::uint64_t order_ = 0;  // when it was bound: the later of equals wins, as in Linux's lists
  std::uint64_t drops_ = 0;
  std::optional<DeliveryError> error_;
  FrameQueue queue_;  // each frame: a StoredHeader, then the payload
};
using PortHandle = Handle<DatagramPort>;

// What became of an arriving datagram.
struct Outcome {
  std::optional<trace::DropReason> dropped;
  bool port_unreachable = false;        // nobody there: the hub answers with the ICMP error, quoting …
  Frame rejected;                       // … this frame (its IP header still lies in front); empty otherwise
  std::span<const PortHandle> touched;  // who has something to read now; valid until the next input()
};

class UdpPorts {
 public:
  UdpPorts(FramePool& pool, SipKey key, trace::Counters& counters, trace::Tracer& tracer);
  ~UdpPorts();
  UdpPorts(const UdpPorts&) = delete;
  UdpPorts& operator=(const UdpPorts&) = delete;

  // A new, unbound endpoint; null when there are kPortsMax.
  PortHandle open();
  // Ends it; what was queued is freed.
  void close(PortHandle port);
  DatagramPort* get(PortHandle port) { return ports_.get(port); }
  const DatagramPort* get(PortHandle port) const { return ports_.get(port); }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    ports_.for_each([&](const DatagramPort& port) { visit(ports_.handle_of(port), port); });
  }
  std::uint32_t size() const { return ports_.size(); }

  // Sets the local end (unspecified address = any) and forgets a peer. That the port is free (or may be
  // shared) is the hub's to decide.
  void bind(PortHandle port, const Endpoint& local);
  // Only datagrams from `tuple.remote` arrive from now on; queued ones stay, as in Linux.
  void connect(PortHandle port, const FourTuple& tuple);
  // connect(AF_UNSPEC): any peer again, at `local` (Linux resets an address that bind() did not set).
  void disconnect(PortHandle port, const Endpoint& local);
  // Takes the local end back too: port 0, nothing arrives.
  void unbind(PortHandle port);
  // SO_BINDTODEVICE.
  void bind_interface(PortHandle port, InterfaceId interface);

  // Whom a datagram to `local` from `remote`, arriving on `interface`, goes to: Linux's udp4_lib_lookup and
  // compute_score: the exact local address before any, connected before not, bound to the interface before
  // not, and the last bound of equals (or, when they share the port, one by hash).
  PortHandle lookup(const Endpoint& local, const Endpoint& remote, InterfaceId interface) const;

  // A datagram arrived; `frame` begins at the UDP header. Checks lengths and checksum, finds the endpoint,
  // queues. A payload much smaller than its buffer is copied to a smaller one. A super-datagram (meta().gso)
  // is split.
  Outcome input(const Arrival& arrival, Frame frame, Instant now);

  // Takes the first datagram; nothing when there is none. Counts UdpInDatagrams.
  std::optional<Received> take(PortHandle port);

  // An error about a datagram of ours (by ICMP, or our own): sets the pending error of the endpoint concerned
  // when Linux's __udp4_lib_err would. Answers whom it touched.
  PortHandle on_error(const DeliveryError& error, InterfaceId arrived_on, Instant now);

 private:
  std::uint64_t hash_of(const IpAddress& local, std::uint16_t port) const;
  void list(DatagramPort& port);
  void unlist(DatagramPort& port);
  // −1: not for it.
  static int score(const DatagramPort& port, const Endpoint& remote, InterfaceId interface);
  PortHandle best_of(const IpAddress& address, const Endpoint& local, const Endpoint& remote,
                     InterfaceId interface) const;
  static bool checksum_holds(const Arrival& arrival, const Frame& frame, std::uint16_t field);
  // Appends the payload to the port's queue; why not, if it could not.
  std::optional<trace::DropReason> enqueue(DatagramPort& port, const StoredHeader& header, Frame payload);
  std::optional<trace::DropReason> deliver(DatagramPort& port, const StoredHeader& header, Frame payload);
  Outcome deliver_to_group(const StoredHeader& header, Frame payload, Instant now);
  Outcome drop(trace::DropReason reason, Instant now);

  FramePool& pool_;
  SipKey key_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
  Slab<DatagramPort> ports_{kPortsMax};
  KeyedTable<> table_{kPortsMax};  // by local address and port
  std::uint64_t next_order_ = 1;
  std::array<PortHandle, kCopiesMax> touched_{};
};

}  // namespace tapir::udp
