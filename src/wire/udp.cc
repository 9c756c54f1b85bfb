// SPDX-License-Identifier: Apache-2.0
#include "wire/udp.h"

namespace tapir::wire {

std::optional<UdpDatagram> parse_udp(Bytes bytes) {
  if (bytes.size() < kUdpHeaderLength) return std::nullopt;
  UdpDatagram datagram;
  datagram.src_port = load_be<std::uint16_t>(bytes, 0);
  datagram.dst_port = load_be<std::uint16_t>(bytes, 2);
  datagram.length = load_be<std::uint16_t>(bytes, 4);
  datagram.checksum = load_be<std::uint16_t>(bytes, 6);
  if (datagram.length < kUdpHeaderLength || datagram.length > bytes.size()) return std::nullopt;
  datagram.payload = bytes.subspan(kUdpHeaderLength, datagram.length - kUdpHeaderLength);
  return datagram;
}

std::size_t emit_udp(const UdpDatagram& datagram, MutableBytes out) {
  TAPIR_INVARIANT(out.size() >= kUdpHeaderLength, "a UDP header fits");
  store_be<std::uint16_t>(out, 0, datagram.src_port);
  store_be<std::uint16_t>(out, 2, datagram.dst_port);
  store_be<std::uint16_t>(out, 4, datagram.length);
  store_be<std::uint16_t>(out, 6, datagram.checksum);
  return kUdpHeaderLength;
}

}  // namespace tapir::wire
