// SPDX-License-Identifier: Apache-2.0
#include "wire/ipv4.h"

#include <algorithm>

#include "wire/checksum.h"

namespace tapir::wire {

namespace {

constexpr std::uint16_t kReservedFlag = 0x8000;
constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;

}  // namespace

std::optional<Ipv4Header> parse_ipv4(Bytes packet) {
  if (packet.size() < kIpv4HeaderMin || packet[0] >> 4 != 4) return std::nullopt;
  const std::size_t length = static_cast<std::size_t>(packet[0] & 15) * 4;
  if (length < kIpv4HeaderMin || length > packet.size()) return std::nullopt;
  Ipv4Header header;
  header.header_length = static_cast<std::uint8_t>(length);
  header.tos = packet[1];
  header.total_length = load_be<std::uint16_t>(packet, 2);
  if (header.total_length < length) return std::nullopt;
  header.id = load_be<std::uint16_t>(packet, 4);
  const auto fragment = load_be<std::uint16_t>(packet, 6);
  header.reserved_flag = (fragment & kReservedFlag) != 0;
  header.dont_fragment = (fragment & kDontFragment) != 0;
  header.more_fragments = (fragment & kMoreFragments) != 0;
  header.fragment_offset = static_cast<std::uint16_t>((fragment & kOffsetMask) * 8);
  header.ttl = packet[8];
  header.protocol = static_cast<IpProtocol>(packet[9]);
  header.checksum = load_be<std::uint16_t>(packet, 10);
  header.src = IpAddress::v4(load_be<std::uint32_t>(packet, 12));
  header.dst = IpAddress::v4(load_be<std::uint32_t>(packet, 16));
  header.options = packet.subspan(kIpv4HeaderMin, length - kIpv4HeaderMin);
  return header;
}

bool verify_ipv4_checksum(Bytes header) { return internet_checksum(header) == 0; }

std::size_t ipv4_header_length(const Ipv4Header& header) {
  return kIpv4HeaderMin + (header.options.size() + 3) / 4 * 4;
}

std::size_t emit_ipv4(const Ipv4Header& header, MutableBytes out) {
  const std::size_t length = ipv4_header_length(header);
  TAPIR_INVARIANT(length <= kIpv4HeaderMax && length <= out.size(), "an IPv4 header fits");
  out[0] = static_cast<std::uint8_t>(0x40 | length / 4);
  out[1] = header.tos;
  store_be<std::uint16_t>(out, 2, header.total_length);
  store_be<std::uint16_t>(out, 4, header.id);
  const unsigned fragment = (header.reserved_flag ? kReservedFlag : 0U) |
                            (header.dont_fragment ? kDontFragment : 0U) |
                            (header.more_fragments ? kMoreFragments : 0U) | header.fragment_offset / 8U;
  store_be<std::uint16_t>(out, 6, static_cast<std::uint16_t>(fragment));
  out[8] = header.ttl;
  out[9] = static_cast<std::uint8_t>(header.protocol);
  store_be<std::uint32_t>(out, 12, header.src.v4_bits());
  store_be<std::uint32_t>(out, 16, header.dst.v4_bits());
  const auto options = out.subspan(kIpv4HeaderMin, length - kIpv4HeaderMin);
  std::fill(std::copy(header.options.begin(), header.options.end(), options.begin()), options.end(),
            std::uint8_t{0});
  refresh_ipv4_checksum(out.first(length));
  return length;
}

void refresh_ipv4_checksum(MutableBytes header) {
  store_be<std::uint16_t>(header, 10, 0);
  store_be<std::uint16_t>(header, 10, internet_checksum(header));
}

std::optional<Ipv4Option> Ipv4OptionReader::next() {
  if (malformed_ || at_ >= options_.size()) return std::nullopt;
  const auto kind = static_cast<Ipv4OptionKind>(options_[at_]);
  if (kind == Ipv4OptionKind::kEnd) {
    at_ = options_.size();
    return std::nullopt;
  }
  if (kind == Ipv4OptionKind::kNop) return Ipv4Option{kind, {}, at_++};
  const std::size_t left = options_.size() - at_;
  const std::size_t length = left < 2 ? 0 : options_[at_ + 1];
  if (length < 2 || length > left) {
    malformed_ = true;
    return std::nullopt;
  }
  const Ipv4Option option{kind, options_.subspan(at_ + 2, length - 2), at_};
  at_ += length;
  return option;
}

}  // namespace tapir::wire
