// SPDX-License-Identifier: Apache-2.0
// Which local ports are taken, by whom, and who may share them: Linux's bind hash (inet_csk_get_port,
// udp_lib_get_port), and the choice of ephemeral ports (RFC 6056).
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/charge_hook.h"
#include "base/intrusive_list.h"
#include "base/keyed_table.h"
#include "base/rng.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/time.h"
#include "inet/endpoint.h"
#include "inet/protocol.h"
#include "tcp/engine.h"
#include "tcp/knobs.h"

namespace tapir::stack {

// Bound sockets of one stack: all ports of both protocols, and sharers.
inline constexpr std::uint32_t kBindingsMax = 1u << 20;

enum class BindError : std::uint8_t {
  kInUse,        // EADDRINUSE
  kNoneLeft,     // the port range is used up: EADDRINUSE from bind, EADDRNOTAVAIL from connect
  kOutOfMemory,  // ENOBUFS
};

// What decides who may share a port.
struct Sharing {
  bool reuse_address = false;  // SO_REUSEADDR
  bool reuse_port = false;     // SO_REUSEPORT
  std::uint32_t user = 0;      // SO_REUSEPORT shares within one user only
};

class Ports {
  struct Bucket;

 public:
  // One socket's hold on a port.
  struct Binding : ListLink<> {
    Bucket* bucket = nullptr;
    IpAddress address;                     // unspecified: all
    InterfaceId interface = kNoInterface;  // SO_BINDTODEVICE
    Sharing sharing;
    bool listening = false;
    bool automatic = false;  // chosen by connect(): others may connect from it elsewhere
  };
  using Id = Handle<Binding>;

  Ports(SipKey key, Rng rng, const tcp::Knobs& knobs, ChargeHook hook);
  ~Ports();
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  // Takes `local` for `protocol` (kTcp or kUdp); port 0: chooses one, which port_of() tells. `tcp`: whose
  // closed connections may still hold the port (Linux keeps them in the bucket).
  std::expected<Id, BindError> bind(IpProtocol protocol, const Endpoint& local, InterfaceId interface,
                                    const Sharing& sharing, const tcp::Engine& tcp);
  // Chooses a port for connect() to `tuple.remote` from `tuple.local.address`, and takes it. Linux's
  // __inet_hash_connect: RFC 6056 §3.3.4 (double hash) over the even ports first, so that they are not those
  // of bind(0).
  std::expected<Id, BindError> bind_to_connect(const FourTuple& tuple, InterfaceId interface,
                                               const Sharing& sharing, const tcp::Engine& tcp, Instant now);
  // The socket begins to listen: it may now share only as a listener may (Linux: inet_csk_listen_start).
  // False: in use.
  bool start_listening(Id id, const tcp::Engine& tcp);
  void stop_listening(Id id);
  // The socket's own address became known (connect), or its options changed.
  void set_address(Id id, const IpAddress& address);
  void set_sharing(Id id, const Sharing& sharing);
  void set_interface(Id id, InterfaceId interface);
  std::uint16_t port_of(Id id) const;

  // The socket lets go. `leaves_connections`: TCP may still hold connections there (orphans, TIME-WAIT,
  // accepted ones), which count against strangers as long as they last.
  void release(Id id, bool leaves_connections, Instant now);
  // A connection was accepted from the listener: it holds the port after the listener is gone.
  void note_accepted(Id id, Instant now);

  // Forgets what closed connections held and hold no more; when there is something, every kSweepInterval.
  Instant next_timeout() const { return sweep_at_; }
  void on_timeout(const tcp::Engine& tcp, Instant now);

  std::size_t bindings() const { return bindings_.size(); }
  std::size_t buckets() const { return buckets_.size(); }

 private:
  // TIME-WAIT's length: less often finds little, more often is work for nothing.
  static constexpr Duration kSweepInterval = 60s;
  // RFC 6056 §3.3.4's table of increments (Linux: 65536; a stack here costs 16 KiB, when first needed).
  static constexpr std::size_t kPerturbSize = 4096;

  struct Bucket {
    IpProtocol protocol = IpProtocol::kTcp;
    std::uint16_t port = 0;
    IntrusiveList<Binding> bindings;
    bool leftovers = false;       // connections without a binding may hold it
    bool leftovers_reuse = true;  // all of them had SO_REUSEADDR
  };

  std::uint64_t hash_of(IpProtocol protocol, std::uint16_t port) const;
  Bucket* find(IpProtocol protocol, std::uint16_t port) const;
  Bucket* find_or_create(IpProtocol protocol, std::uint16_t port);
  void drop_if_unused(Bucket& bucket);
  bool conflicts(const Binding& wanted, const Bucket* bucket, bool port_given, const tcp::Engine& tcp) const;
  static bool conflicts(IpProtocol protocol, const Binding& wanted, const Binding& holder, bool port_given);
  std::expected<Id, BindError> take(IpProtocol protocol, std::uint16_t port, const Binding& wanted);
  std::uint16_t find_open_tcp_port(const Binding& wanted, const tcp::Engine& tcp);
  std::uint16_t find_open_udp_port(const Binding& wanted, const tcp::Engine& tcp);
  static bool engine_holds(const tcp::Engine& tcp, const Endpoint& local);

  SipKey key_;
  SipKey connect_key_;
  Rng rng_;
  const tcp::Knobs& knobs_;
  Slab<Binding> bindings_;
  mutable Slab<Bucket> buckets_;
  KeyedTable<> table_;
  std::vector<std::uint32_t> perturb_;  // empty until the first connect()
  std::size_t leftover_buckets_ = 0;
  Instant sweep_at_ = kNever;
};

}  // namespace tapir::stack
