// SPDX-License-Identifier: Apache-2.0
// A received IP datagram on its way to a protocol: what ip/input answers.
#pragma once

#include <cstdint>

#include "frame/frame.h"
#include "inet/ip_address.h"
#include "inet/protocol.h"
#include "ip/interfaces.h"

namespace tapir::ip {

// Whom the link-layer destination named (Linux's pkt_type).
// kLooped: our own group or broadcast packet, given back to us (PACKET_LOOPBACK).
enum class LinkDestination : std::uint8_t { kHost, kBroadcast, kMulticast, kOtherHost, kLooped };

// The header's fields with the payload. `frame` begins at the transport header and ends where the datagram
// does; the IP header's bytes still lie in front of it, so that the whole can be quoted or given to a raw
// socket.
struct Datagram {
  IpAddress source;
  IpAddress destination;
  IpProtocol protocol = IpProtocol::kTcp;              // as received: may be any value
  AddressKind destination_kind = AddressKind::kLocal;  // kLocal, kBroadcast or kMulticast
  LinkDestination link_destination = LinkDestination::kHost;
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;
  std::uint16_t id = 0;
  std::uint8_t header_size = 20;  // bytes of the IP header, options included
  bool dont_fragment = false;
  bool reassembled = false;
  InterfaceId interface = kNoInterface;  // where it (or its last fragment) arrived
  std::uint32_t network_headroom = 0;    // frame.headroom() where the IP header begins
  Frame frame;

  Ecn ecn() const { return static_cast<Ecn>(tos & 3); }
  // The packet from its IP header on, whatever was trimmed from the front since. Valid while nobody wrote
  // into the headroom.
  Bytes packet() const { return packet_of(frame, network_headroom); }

  static Bytes packet_of(const Frame& frame, std::uint32_t network_headroom) {
    const std::size_t before = frame.headroom() - network_headroom;
    return {frame.bytes().data() - before, frame.size() + before};
  }
};

}  // namespace tapir::ip
