// SPDX-License-Identifier: Apache-2.0
#include "observe/topics.h"

#include "ip/events.h"
#include "stack/events.h"
#include "tcp/events.h"
#include "udp/events.h"

namespace tapir::observe {
namespace {

constexpr Topics bits(Topic topic) { return static_cast<Topics>(topic); }
constexpr Topics bits(Topic topic, Topic other) { return static_cast<Topics>(bits(topic) | bits(other)); }

Topics of_stack(stack::Event event) {
  switch (event) {
    case stack::Event::kFrameReceived:
    case stack::Event::kFrameSent:
      return bits(Topic::kDev);
    case stack::Event::kFrameRefused:
      return bits(Topic::kDev, Topic::kDrop);
    case stack::Event::kDropped:
      return bits(Topic::kL2, Topic::kDrop);
    case stack::Event::kReplyQueued:
      return bits(Topic::kL2);
    case stack::Event::kAddressClaimed:
      return bits(Topic::kArp);
    case stack::Event::kPortBound:
      return bits(Topic::kSocket);
  }
  return bits(Topic::kL2);
}

Topics of_ip(ip::Event event) {
  switch (event) {
    case ip::Event::kDropped:
      return bits(Topic::kIp, Topic::kDrop);
    case ip::Event::kIcmpReceived:
    case ip::Event::kIcmpSent:
      return bits(Topic::kIcmp);
    case ip::Event::kNeighborState:
    case ip::Event::kArpSent:
    case ip::Event::kArpReceived:
      return bits(Topic::kArp);
    default:
      return bits(Topic::kIp);
  }
}

Topics of_udp(udp::Event event) {
  switch (event) {
    case udp::Event::kDropped:
      return bits(Topic::kUdp, Topic::kDrop);
    case udp::Event::kDelivered:
      return bits(Topic::kUdp, Topic::kSocket);
    default:
      return bits(Topic::kUdp);
  }
}

Topics of_tcp(tcp::Event event) {
  switch (event) {
    case tcp::Event::kState:
    case tcp::Event::kHalfOpenBorn:
    case tcp::Event::kHalfOpenGone:
    case tcp::Event::kConnectionBorn:
    case tcp::Event::kConnectionGone:
    case tcp::Event::kTimeWaitBorn:
    case tcp::Event::kTimeWaitGone:
      return bits(Topic::kTcpState);
    case tcp::Event::kTimerArmed:
    case tcp::Event::kTimerFired:
      return bits(Topic::kTimer);
    case tcp::Event::kDrop:
      return bits(Topic::kTcp, Topic::kDrop);
    case tcp::Event::kListenOverflow:
    case tcp::Event::kSynQueueFull:
    case tcp::Event::kAccepted:
      return bits(Topic::kTcp, Topic::kSocket);
    default:
      return bits(Topic::kTcp);
  }
}

}  // namespace

std::optional<Topics> topics_named(std::string_view name) {
  for (const TopicName& each : kTopicNames)
    if (each.name == name) return each.topics;
  return std::nullopt;
}

Topics topics_of(const trace::Record& record) {
  switch (static_cast<trace::EventBase>(record.event & 0xff00)) {
    case trace::EventBase::kFrame:
    case trace::EventBase::kStack:
      return of_stack(static_cast<stack::Event>(record.event));
    case trace::EventBase::kIp:
      return of_ip(static_cast<ip::Event>(record.event));
    case trace::EventBase::kUdp:
      return of_udp(static_cast<udp::Event>(record.event));
    case trace::EventBase::kTcp:
      return of_tcp(static_cast<tcp::Event>(record.event));
    case trace::EventBase::kLink:
      return bits(Topic::kL2);
    case trace::EventBase::kSocket:
      return bits(Topic::kSocket);
    case trace::EventBase::kRaw:
      return bits(Topic::kIp, Topic::kSocket);
  }
  return kAllTopics;
}

std::string_view topic_name(const trace::Record& record) {
  const Topics topics = topics_of(record);
  for (const TopicName& each : kTopicNames)
    if ((each.topics & topics) != 0) return each.name;
  return "?";
}

}  // namespace tapir::observe
