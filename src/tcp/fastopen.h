// SPDX-License-Identifier: Apache-2.0
// TCP Fast Open (RFC 7413): data on the SYN, for those who show a cookie that proves their address.
//
//   client: SYN + "cookie, please" -> SYN-ACK + cookie, remembered     (FastOpenCache)
//           later: SYN + cookie + data                                 (FastOpenPause: unless such SYNs
//           vanish on the way)
//   server: the cookie is right (FastOpenKeys): the connection begins with the SYN, SYN-RECEIVED as a whole
//   Connection, which the
//           program may accept, read and write before the third segment has come (FastOpenRequest).
#pragma once

#include <cstdint>
#include <optional>

#include "base/keyed_table.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/time.h"
#include "inet/ip_address.h"
#include "tcp/fastopen_key.h"
#include "tcp/half_open.h"
#include "tcp/listener.h"
#include "wire/tcp_options.h"

namespace tapir::tcp {

// Bits of the knob tcp_fastopen (Linux: TFO_*).
inline constexpr int kFastOpenClient = 0x1;            // connect with data, ask for cookies
inline constexpr int kFastOpenServer = 0x2;            // take data on SYNs, hand out cookies
inline constexpr int kFastOpenClientNoCookie = 0x4;    // send data on the first SYN, without a cookie
inline constexpr int kFastOpenServerNoCookie = 0x200;  // take data without a cookie
inline constexpr int kFastOpenAllListeners = 0x400;    // listeners need no TCP_FASTOPEN

// ---- the server's cookies ----

// Linux's derivation, so that machines that share a key share cookies: the first eight bytes of SipHash-2-4
// over the client's and the server's address (Linux: __tcp_fastopen_cookie_gen_cipher).
wire::FastOpenOption fast_open_cookie(SipKey key, const IpAddress& client, const IpAddress& server,
                                      bool experimental);

// Which of the keys `shown` was made with, 1 or 2; 0: none (Linux: tcp_fastopen_cookie_gen_check).
int fast_open_cookie_matches(const FastOpenKeys& keys, const wire::FastOpenOption& shown,
                             const IpAddress& client, const IpAddress& server);

// ---- the server's unfinished connections ----

// What a Connection in SYN-RECEIVED (or already beyond it on its own side) keeps of its handshake until that
// is finished.
struct FastOpenRequest {
  HalfOpen request;           // its rules hold still: who may answer, what is sent again (tcp_check_req)
  Handle<Listener> listener;  // whose limit of pending ones it counts against
  std::optional<wire::FastOpenOption>
      option;             // on the first SYN-ACK alone: a fresh cookie for one of the old key
  bool accepted = false;  // the program has it
  bool sent = false;      // the SYN-ACK, once
};

// ---- the client's memory ----

// Destinations remembered at most (Linux: a hash of metrics bounded by its depth; here the oldest makes
// room). 64 bytes each.
inline constexpr std::uint32_t kFastOpenCacheMax = 4096;

// What is known of one pair of addresses (Linux: struct tcp_fastopen_metrics).
struct FastOpenMetric {
  IpAddress local;
  IpAddress remote;
  wire::FastOpenOption cookie;        // length 0: none
  std::uint16_t mss = 0;              // of the peer's last SYN-ACK; 0: unknown
  std::uint16_t syn_losses = 0;       // SYNs with data in a row that got no answer
  std::uint8_t try_experimental = 0;  // 1: kind 34 was ignored, kind 254 is tried; 2: that too
  Instant last_syn_loss_at{};
  Instant changed_at{};
  std::uint32_t older = 0;  // index + 1: neighbours by age of use
  std::uint32_t newer = 0;
};

class FastOpenCache {
 public:
  FastOpenCache(SipKey key, ChargeHook hook)
      : key_(key), metrics_(kFastOpenCacheMax, hook), table_(kFastOpenCacheMax, hook) {}

  // What is known of the pair; null: nothing.
  const FastOpenMetric* find(const IpAddress& local, const IpAddress& remote) const;
  // What a SYN-ACK taught (Linux: tcp_fastopen_cache_set). `mss` 0 and `cookie` null or empty change nothing
  // of theirs.
  void learn(const IpAddress& local, const IpAddress& remote, std::uint16_t mss,
             const wire::FastOpenOption* cookie, bool syn_lost, std::uint8_t try_experimental, Instant now);
  // `ip tcp_metrics flush`.
  void clear();
  std::size_t size() const { return metrics_.size(); }
  // From the one used longest ago; visit(const FastOpenMetric&).
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (std::uint32_t at = oldest_; at != 0; at = metrics_.at(at - 1)->newer) visit(*metrics_.at(at - 1));
  }

 private:
  std::uint64_t hash(const IpAddress& local, const IpAddress& remote) const;
  FastOpenMetric* make(const IpAddress& local, const IpAddress& remote);
  void unlink(FastOpenMetric& metric);
  void link_newest(FastOpenMetric& metric);
  void drop_oldest();

  SipKey key_;
  Slab<FastOpenMetric> metrics_;
  KeyedTable<> table_;
  std::uint32_t oldest_ = 0;  // index + 1
  std::uint32_t newest_ = 0;
};

// Middleboxes that swallow such connections: Fast Open rests, longer each time (Linux:
// tcp_fastopen_active_disable; tcp_fastopen_blackhole_timeout_sec, 0: it never rests).
class FastOpenPause {
 public:
  void begin(const Knobs& knobs, trace::Counters& counters, Instant now);
  // May a SYN carry data now? `on_trial`: it may again for the first time, and what happens to it is watched.
  struct Answer {
    bool allowed = true;
    bool on_trial = false;
  };
  Answer ask(const Knobs& knobs, Instant now) const;
  // One on trial worked.
  void end() { times_ = 0; }
  bool ever() const { return times_ != 0; }

 private:
  std::uint32_t times_ = 0;  // in a row
  Instant since_{};
};

// All of a stack's Fast Open as a client.
struct FastOpenClient {
  FastOpenClient(SipKey key, ChargeHook hook) : cache(key, hook) {}
  FastOpenCache cache;
  FastOpenPause pause;
};

}  // namespace tapir::tcp
