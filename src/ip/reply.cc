// SPDX-License-Identifier: Apache-2.0
#include "ip/reply.h"

#include <algorithm>

namespace tapir::ip {

void Reply::fill(OutgoingFrame& out) const {
  out.clear();
  const Bytes bytes = frame.bytes();
  const Bytes front = bytes.first(std::min(bytes.size(), kHeaderBytesMax));
  std::copy(front.begin(), front.end(), out.append_header(front.size()).begin());
  out.add_payload(bytes.subspan(front.size()));
  out.checksum = checksum;
  out.ecn = ecn;
  out.interface = layer == Layer::kIp ? path.interface : interface;
}

}  // namespace tapir::ip
