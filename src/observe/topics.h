// SPDX-License-Identifier: Apache-2.0
// The subjects of `debug`: tapip's names for what a stack can be heard saying, and those that it lacked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "trace/record.h"

namespace tapir::observe {

// A record belongs to one topic of who reports, and may belong to others: a dropped TCP segment is `tcp` and
// `drop`.
enum class Topic : std::uint16_t {
  kDev = 1 << 0,       // frames that a device took or gave
  kL2 = 1 << 1,        // frames that the link layer or the hub dropped, answers that wait
  kArp = 1 << 2,       // requests, replies, states of neighbours
  kIp = 1 << 3,        // datagrams, fragments
  kIcmp = 1 << 4,      // messages sent and received
  kUdp = 1 << 5,       // datagrams delivered, errors
  kTcp = 1 << 6,       // segments, retransmissions, congestion
  kTcpState = 1 << 7,  // states, births and ends of connections
  kSocket = 1 << 8,    // what programs see: ports bound, connections accepted, queues that are full
  kTimer = 1 << 9,     // armed and fired
  kDrop = 1 << 10,     // every packet that went no further, with its reason
};
using Topics = std::uint16_t;  // bits of Topic
inline constexpr Topics kAllTopics = (1 << 11) - 1;

struct TopicName {
  std::string_view name;
  Topics topics;
};
inline constexpr std::array<TopicName, 12> kTopicNames = {
    {{"dev", static_cast<Topics>(Topic::kDev)},
     {"l2", static_cast<Topics>(Topic::kL2)},
     {"arp", static_cast<Topics>(Topic::kArp)},
     {"ip", static_cast<Topics>(Topic::kIp)},
     {"icmp", static_cast<Topics>(Topic::kIcmp)},
     {"udp", static_cast<Topics>(Topic::kUdp)},
     {"tcp", static_cast<Topics>(Topic::kTcp)},
     {"tcpstate", static_cast<Topics>(Topic::kTcpState)},
     {"socket", static_cast<Topics>(Topic::kSocket)},
     {"timer", static_cast<Topics>(Topic::kTimer)},
     {"drop", static_cast<Topics>(Topic::kDrop)},
     {"all", kAllTopics}}};

// Nothing: no such name.
std::optional<Topics> topics_named(std::string_view name);
Topics topics_of(const trace::Record& record);
// The topic that names the line: the first of who reports, in the order of kTopicNames.
std::string_view topic_name(const trace::Record& record);

}  // namespace tapir::observe
