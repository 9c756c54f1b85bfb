// SPDX-License-Identifier: Apache-2.0
// A socket that listens: its queue of half-open connections and its queue of finished ones, with Linux's
// rules of who is turned away.
//
//   SYN --on_syn()--> half-open (or a cookie) --ACK--> accept queue --accept()--> the program
#pragma once

#include <cstdint>
#include <optional>

#include "base/slab.h"
#include "base/time.h"
#include "inet/endpoint.h"
#include "tcp/fastopen_key.h"
#include "tcp/knobs.h"
#include "tcp/options.h"
#include "tcp/touched.h"
#include "trace/counters.h"

namespace tapir::tcp {

class Connection;

// A connection begun with data that a RST ended: it counts as pending on, or whoever forges addresses could
// have any number begun (RFC 7413 §5.1; Linux: rskq_rst_head).
struct ResetEntry {
  Instant expires{};
  std::uint32_t next = 0;  // index + 1
};
using ResetPool = Slab<ResetEntry>;
inline constexpr Duration kFastOpenResetTime = 60s;

// A place in an accept queue.
struct AcceptEntry {
  Handle<Connection> connection;
  std::uint32_t next = 0;  // index + 1
};
using AcceptPool = Slab<AcceptEntry>;

class Listener : public TouchedLink {
 public:
  Listener(const Endpoint& where, InterfaceId interface, std::uint32_t backlog_length, bool shares_port,
           std::uint64_t began, const SocketOptions& socket_options)
      : TouchedLink(true),
        local(where),
        bound(interface),
        reuse_port(shares_port),
        backlog(backlog_length),
        order(began),
        options(socket_options) {}

  // What becomes of a SYN (Linux: the beginning of tcp_conn_request). Counts what is dropped.
  struct SynVerdict {
    enum class Kind : std::uint8_t { kHalfOpen, kCookie, kDrop } kind = Kind::kHalfOpen;
    trace::DropReason reason = trace::DropReason::kNone;
  };
  // `proven`: it reopens a connection in TIME-WAIT, so the queue's limit does not apply.
  SynVerdict on_syn(bool proven, const Knobs& knobs, trace::Counters& counters) const;

  // One more than `backlog` fits, as in Linux (sk_acceptq_is_full).
  bool accept_queue_full() const { return queued_ > backlog; }
  // Likewise (inet_csk_reqsk_queue_is_full since Linux 6.15).
  bool syn_queue_full() const { return half_open > backlog; }

  // First in, first out. False: no memory.
  bool enqueue(Handle<Connection> connection, AcceptPool& pool);
  Handle<Connection> dequeue(AcceptPool& pool);  // null when empty
  std::uint32_t queued() const { return queued_; }

  // A cookie was sent: for a while ACKs may bring cookies back (Linux: tcp_synq_overflow).
  void note_cookie_sent(Instant now) { last_cookie_at_ = now; }
  bool cookies_expected(Instant now) const;

  // How often a half-open connection's SYN-ACK is sent again, now that the queue is as full as it is (Linux:
  // reqsk_timer_handler).
  int syn_ack_retries(const Knobs& knobs) const;

  Endpoint local;
  InterfaceId bound = kNoInterface;
  bool reuse_port = false;
  std::uint32_t backlog = 0;          // of both queues
  std::uint32_t half_open = 0;        // half-open connections of ours
  std::uint32_t young = 0;            // of these: those whose SYN-ACK was never sent again by the timer
  std::uint32_t first_half_open = 0;  // index + 1: their list
  std::uint64_t order = 0;            // counts listeners of the stack: who began first
  SocketOptions options;              // inherited by what is accepted
  std::uint32_t fast_open_pending =
      0;  // connections whose SYN brought a cookie and whose handshake is not finished
  std::uint32_t first_reset =
      0;  // index + 1: those a RST ended after accept(), the oldest first; they count for a while
  std::uint32_t last_reset = 0;
  std::optional<FastOpenKeys> fast_open_keys;  // TCP_FASTOPEN_KEY; none: the stack's
  std::uint32_t md5_keys = 0;                  // TCP_MD5SIG: a list of the engine's Md5Keys

 private:
  std::uint32_t head_ = 0;  // index + 1
  std::uint32_t tail_ = 0;
  std::uint32_t queued_ = 0;
  Instant last_cookie_at_ = kNever;  // kNever: none
};

}  // namespace tapir::tcp
