// SPDX-License-Identifier: Apache-2.0
#include "wire/ethernet.h"

#include <algorithm>

#include "base/ascii.h"

namespace tapir::wire {

std::string to_string(const MacAddress& mac) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : mac) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  std::size_t at = 0;
  for (std::size_t group = 0; group < mac.size(); ++group) {
    if (group > 0 && (at >= text.size() || text[at++] != ':')) return std::nullopt;
    int value = -1;
    for (int digits = 0; digits < 2 && at < text.size() && hex_digit(text[at]) >= 0; ++digits)
      value = (value < 0 ? 0 : value * 16) + hex_digit(text[at++]);
    if (value < 0) return std::nullopt;
    mac[group] = static_cast<std::uint8_t>(value);
  }
  if (at != text.size()) return std::nullopt;
  return mac;
}

std::optional<EthernetHeader> parse_ethernet(Bytes frame) {
  if (frame.size() < kEthernetHeaderLength) return std::nullopt;
  EthernetHeader header;
  std::copy_n(frame.begin(), 6, header.dst.begin());
  std::copy_n(frame.begin() + 6, 6, header.src.begin());
  header.ethertype = load_be<std::uint16_t>(frame, 12);
  return header;
}

std::size_t emit_ethernet(const EthernetHeader& header, MutableBytes out) {
  TAPIR_INVARIANT(out.size() >= kEthernetHeaderLength, "an Ethernet header fits");
  std::copy_n(header.dst.begin(), 6, out.begin());
  std::copy_n(header.src.begin(), 6, out.begin() + 6);
  store_be<std::uint16_t>(out, 12, header.ethertype);
  return kEthernetHeaderLength;
}

}  // namespace tapir::wire
