// SPDX-License-Identifier: Apache-2.0
// An answer to a frame that no connection owns: built at once, waits (bounded) in the hub's queue.
#pragma once

#include <cstdint>

#include "frame/frame.h"
#include "frame/outgoing_frame.h"
#include "inet/path.h"
#include "ip/output.h"
#include "wire/ethernet.h"

namespace tapir::ip {

struct Reply {
  enum class Layer : std::uint8_t {
    kIp,    // `frame` follows an IP header: goes by `path` through Ipv4Output::push_header(fields)
    kLink,  // `frame` follows a link header: goes out of `interface` to `mac`
  };
  Layer layer = Layer::kIp;
  Frame frame;               // owns the bytes, counted by the memory budget
  ChecksumRequest checksum;  // offsets count from the frame's first byte
  Ecn ecn = Ecn::kNotEct;
  // kIp
  Path path;
  Ipv4Fields fields;  // options: of static lifetime, or empty
  // kLink
  InterfaceId interface = kNoInterface;
  wire::MacAddress mac{};
  std::uint16_t ethertype = 0;

  // Bytes of the transport header that fill() puts into the header part of an OutgoingFrame: TCP with all its
  // options.
  static constexpr std::size_t kHeaderBytesMax = 60;
  // Makes `out` point at this reply (header bytes copied, the rest as a span, checksum request set). Valid
  // while the reply lives.
  void fill(OutgoingFrame& out) const;
};

}  // namespace tapir::ip
