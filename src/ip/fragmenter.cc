// SPDX-License-Identifier: Apache-2.0
#include "ip/fragmenter.h"

#include <algorithm>

#include "base/assert.h"

namespace tapir::ip {
namespace {

constexpr std::uint8_t kCopiedFlag = 0x80;

// The options with every one that is not to be copied replaced by NOPs; malformed options end there.
void keep_copied(MutableBytes options) {
  wire::Ipv4OptionReader reader{Bytes(options)};
  while (const auto option = reader.next()) {
    if ((static_cast<std::uint8_t>(option->kind) & kCopiedFlag) != 0 ||
        option->kind == wire::Ipv4OptionKind::kNop)
      continue;
    const auto whole = options.subspan(option->offset, option->data.size() + 2);
    std::fill(whole.begin(), whole.end(), static_cast<std::uint8_t>(wire::Ipv4OptionKind::kNop));
  }
}

}  // namespace

Fragmenter::Fragmenter(const OutgoingFrame& packet, std::uint32_t mtu) : packet_(packet) {
  TAPIR_INVARIANT(packet.network_offset == 0, "fragments are cut before the link header is there");
  const auto header = wire::parse_ipv4(packet.header());
  TAPIR_INVARIANT(header.has_value(), "our own packet has an IPv4 header");
  header_ = *header;
  header_.dont_fragment = false;
  std::copy(header_.options.begin(), header_.options.end(), later_options_.begin());
  keep_copied(MutableBytes(later_options_).first(header_.options.size()));
  payload_size_ = static_cast<std::uint32_t>(packet.size()) - header_.header_length;
  step_ = mtu > header_.header_length ? (mtu - header_.header_length) & ~7U : 0;
}

bool Fragmenter::next(OutgoingFrame& out) {
  if (step_ == 0 || at_ >= payload_size_) return false;
  // The last one may fill the MTU to the byte only when that is a multiple of eight; a step more costs
  // nothing.
  const std::uint32_t size = std::min(step_, payload_size_ - at_);
  out.clear();
  out.interface = packet_.interface;
  out.ecn = packet_.ecn;

  // The payload is what follows the IP header: first in the header bytes, then in the spans.
  std::uint32_t skip = at_;
  std::uint32_t left = size;
  const Bytes headers = packet_.header().subspan(header_.header_length);
  if (skip < headers.size()) {
    const Bytes part = headers.subspan(skip, std::min<std::size_t>(left, headers.size() - skip));
    std::copy(part.begin(), part.end(), out.append_header(part.size()).begin());
    left -= static_cast<std::uint32_t>(part.size());
    skip = 0;
  } else {
    skip -= static_cast<std::uint32_t>(headers.size());
  }
  for (Bytes span : packet_.payload()) {
    if (left == 0) break;
    if (skip >= span.size()) {
      skip -= static_cast<std::uint32_t>(span.size());
      continue;
    }
    const Bytes part = span.subspan(skip, std::min<std::size_t>(left, span.size() - skip));
    out.add_payload(part);
    left -= static_cast<std::uint32_t>(part.size());
    skip = 0;
  }

  wire::Ipv4Header header = header_;
  if (at_ != 0) header.options = Bytes(later_options_).first(header_.options.size());
  header.total_length = static_cast<std::uint16_t>(header_.header_length + size);
  header.fragment_offset = static_cast<std::uint16_t>(header_.fragment_offset + at_);
  header.more_fragments = header_.more_fragments || at_ + size < payload_size_;
  wire::emit_ipv4(header, out.push_header(header_.header_length));
  out.network_offset = 0;
  out.transport_offset = header_.header_length;
  at_ += size;
  return true;
}

}  // namespace tapir::ip
