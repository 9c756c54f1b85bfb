// SPDX-License-Identifier: Apache-2.0
#include "tcp/reset.h"

namespace tapir::tcp {

std::optional<wire::TcpSegment> build_reset(const wire::TcpSegment& segment) {
  if (segment.has(wire::kRst)) return std::nullopt;
  wire::TcpSegment reset;
  reset.src_port = segment.dst_port;
  reset.dst_port = segment.src_port;
  if (segment.has(wire::kAck)) {
    // "<SEQ=SEG.ACK><CTL=RST>": the peer can check it against what it sent.
    reset.seq = segment.ack;
    reset.flags = wire::kRst;
  } else {
    reset.ack = segment.end();
    reset.flags = wire::kRst | wire::kAck;
  }
  return reset;
}

}  // namespace tapir::tcp
