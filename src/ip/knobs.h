// SPDX-License-Identifier: Apache-2.0
// The settings of ip/, under Linux's sysctl names and with Linux's defaults. The hub owns one and maps names
// to members; a change takes effect at the next use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace tapir::ip {

// net.ipv4.neigh.default.*
struct NeighborKnobs {
  Duration base_reachable_time = 30s;       // an answer is trusted for 0.5–1.5 times this (RFC 4861 §6.3.2)
  Duration delay_first_probe_time = 5s;     // DELAY: upper layers may confirm before we ask
  Duration retrans_time = 1s;               // between two requests
  std::uint32_t mcast_solicit = 3;          // broadcast requests before a resolution fails
  std::uint32_t ucast_solicit = 3;          // unicast requests before a known neighbour counts as gone
  std::uint32_t gc_thresh1 = 128;           // entries below which nothing is collected
  std::uint32_t gc_thresh2 = 512;           // kept for its name: eviction here begins at gc_thresh3
  std::uint32_t gc_thresh3 = 1024;          // most entries
  Duration gc_stale_time = 60s;             // unused for so long, an entry may be collected
  Duration locktime = 1s;                   // a learnt address stays at least so long (against flapping)
  std::uint32_t unres_qlen_bytes = 212992;  // true size of the packets parked at one entry
};

struct Knobs {
  std::uint8_t ip_default_ttl = 64;             // net.ipv4.ip_default_ttl
  bool ip_no_pmtu_disc = false;                 // net.ipv4.ip_no_pmtu_disc (1: never set DF)
  std::uint32_t min_pmtu = 552;                 // net.ipv4.route.min_pmtu, bytes
  Duration mtu_expires = 600s;                  // net.ipv4.route.mtu_expires
  std::uint32_t min_adv_mss = 256;              // net.ipv4.route.min_adv_mss, bytes
  std::size_t ipfrag_high_thresh = 4194304;     // net.ipv4.ipfrag_high_thresh, bytes of true size
  Duration ipfrag_time = 30s;                   // net.ipv4.ipfrag_time (RFC 1122 §3.3.2 would have 60–120 s)
  bool icmp_echo_ignore_all = false;            // net.ipv4.icmp_echo_ignore_all
  bool icmp_echo_ignore_broadcasts = true;      // net.ipv4.icmp_echo_ignore_broadcasts
  bool icmp_errors_use_inbound_ifaddr = false;  // net.ipv4.icmp_errors_use_inbound_ifaddr
  std::uint32_t icmp_msgs_per_sec = 1000;       // net.ipv4.icmp_msgs_per_sec, over all destinations
  std::uint32_t icmp_msgs_burst = 50;           // net.ipv4.icmp_msgs_burst
  std::uint32_t icmp_ratelimit_ms =
      1000;  // net.ipv4.icmp_ratelimit: one per so many ms and destination; 0 = no limit
  std::uint32_t icmp_ratemask = 6168;  // net.ipv4.icmp_ratemask: bit n limits ICMP type n (3, 4, 11, 12)
  std::array<std::uint32_t, 2> ping_group_range = {1, 0};  // net.ipv4.ping_group_range: nobody
  NeighborKnobs neighbor;
};

}  // namespace tapir::ip
