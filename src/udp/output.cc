// SPDX-License-Identifier: Apache-2.0
#include "udp/output.h"

#include "udp/ports.h"
#include "wire/udp.h"

namespace tapir::udp {

SendVerdict build_datagram(OutgoingFrame& out, const FourTuple& tuple, std::span<const Bytes> payload,
                           const SendOptions& options, trace::Counters& counters) {
  std::size_t size = 0;
  for (Bytes span : payload) size += span.size();
  if (size > kPayloadMax) return SendVerdict::kTooLong;
  const bool super = options.segment_size != 0 && size > options.segment_size;
  const std::size_t segments = super ? (size + options.segment_size - 1) / options.segment_size : 1;
  if (segments > kSegmentsMax) return SendVerdict::kTooLong;

  out.clear();
  wire::UdpDatagram header;
  header.src_port = tuple.local.port;
  header.dst_port = tuple.remote.port;
  header.length = static_cast<std::uint16_t>(wire::kUdpHeaderLength + size);
  wire::emit_udp(header, out.append_header(wire::kUdpHeaderLength));
  for (Bytes span : payload) {
    if (span.empty()) continue;
    if (out.payload_full()) return SendVerdict::kTooManySpans;
    out.add_payload(span);
  }
  // The pieces of a super-datagram each need a sum of their own: there is no leaving it out.
  if (options.checksum || super) out.checksum = {true, 0, wire::kUdpChecksumOffset};
  if (super) out.gso = {GsoType::kUdp, options.segment_size, false};
  out.ecn = options.ecn;
  counters.add(trace::Counter::kUdpOutDatagrams, segments);
  return SendVerdict::kBuilt;
}

}  // namespace tapir::udp
