// SPDX-License-Identifier: Apache-2.0
#include "cli/base64.h"

#include <algorithm>
#include <array>

namespace tapir::cli {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string to_base64(Bytes bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (j < have ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j) text += j <= have ? kBase64[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::vector<std::uint8_t> from_base64(std::string_view text) {
  static constexpr std::array<std::uint8_t, 256> kValues = [] {
    std::array<std::uint8_t, 256> values{};
    for (std::size_t i = 0; i < kBase64.size(); ++i)
      values[static_cast<unsigned char>(kBase64[i])] = static_cast<std::uint8_t>(i);
    return values;
  }();
  while (text.ends_with('=')) text.remove_suffix(1);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    group = group << 6 | kValues[static_cast<unsigned char>(text[i])];
    const std::size_t in_group = i % 4;
    if (in_group != 0) bytes.push_back(static_cast<std::uint8_t>(group >> (6 - 2 * in_group)));
  }
  return bytes;
}

}  // namespace tapir::cli
