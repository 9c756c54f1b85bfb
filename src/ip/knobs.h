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

// net.ipv4.conf.INTERFACE.*; net.ipv4.conf.all.* are Knobs' own, and net.ipv4.conf.default.* what new
// interfaces begin with.
struct InterfaceKnobs {
  bool forwarding = false;  // what arrives there for others goes on
  bool send_redirects = true;
  bool accept_redirects = false;  // Linux: 1
  std::uint8_t rp_filter = 0;     // 1 strict, 2 loose (RFC 3704)
  bool proxy_arp = false;
  bool arp_notify = false;              // announce addresses on up
  std::uint8_t force_igmp_version = 0;  // 0 = as routers speak
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
  std::uint32_t icmp_ratemask = 6168;   // net.ipv4.icmp_ratemask: bit n limits ICMP type n (3, 4, 11, 12)
  bool ip_forward = false;              // net.ipv4.ip_forward: set, it sets every interface's forwarding
  bool send_redirects = true;           // net.ipv4.conf.all.send_redirects
  bool accept_redirects = false;        // net.ipv4.conf.all.accept_redirects (Linux: 1)
  std::uint8_t rp_filter = 0;           // net.ipv4.conf.all.rp_filter: 1 strict, 2 loose (RFC 3704)
  bool proxy_arp = false;               // net.ipv4.conf.all.proxy_arp
  bool arp_notify = false;              // net.ipv4.conf.all.arp_notify: announce addresses on up
  std::uint8_t force_igmp_version = 0;  // net.ipv4.conf.all.force_igmp_version; 0 = as routers speak
  bool igmp_link_local_mcast_reports = true;  // net.ipv4.igmp_link_local_mcast_reports: also of 224.0.0.x
  std::uint32_t igmp_max_memberships = 20;    // net.ipv4.igmp_max_memberships, per socket
  std::uint32_t igmp_max_msf = 10;            // net.ipv4.igmp_max_msf: sources per filter
  std::uint8_t igmp_qrv = 2;                  // net.ipv4.igmp_qrv: times a change is reported
  std::array<std::uint32_t, 2> ping_group_range = {1, 0};  // net.ipv4.ping_group_range: nobody
  InterfaceKnobs conf_default;                             // net.ipv4.conf.default.*
  NeighborKnobs neighbor;
};

// ---- what holds on an interface: Linux's IN_DEV_ORCONF, IN_DEV_MAXCONF ----

inline bool sends_redirects(const Knobs& all, const InterfaceKnobs& on) {
  return all.send_redirects || on.send_redirects;
}
// Of a host; a router takes no redirects here (Linux: with both knobs it does).
inline bool accepts_redirects(const Knobs& all, const InterfaceKnobs& on) {
  return !on.forwarding && (all.accept_redirects || on.accept_redirects);
}
inline std::uint8_t rp_filter(const Knobs& all, const InterfaceKnobs& on) {
  return all.rp_filter > on.rp_filter ? all.rp_filter : on.rp_filter;
}
inline bool proxies_arp(const Knobs& all, const InterfaceKnobs& on) {
  return on.forwarding && (all.proxy_arp || on.proxy_arp);
}
inline bool notifies_by_arp(const Knobs& all, const InterfaceKnobs& on) {
  return all.arp_notify || on.arp_notify;
}
inline std::uint8_t forced_igmp_version(const Knobs& all, const InterfaceKnobs& on) {
  return all.force_igmp_version != 0 ? all.force_igmp_version : on.force_igmp_version;
}

}  // namespace tapir::ip
