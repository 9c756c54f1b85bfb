// SPDX-License-Identifier: Apache-2.0
#include "ip/options.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "wire/ipv4.h"

namespace tapir::ip {
namespace {

using wire::Ipv4OptionKind;

// Offsets in record route and timestamp (RFC 791 §3.1): the pointer counts from 1, from the option's kind.
constexpr std::size_t kLength = 1;
constexpr std::size_t kPointer = 2;
constexpr std::size_t kTimestampFlags = 3;
constexpr std::uint8_t kFirstRoutePointer = 4;
constexpr std::uint8_t kFirstTimestampPointer = 5;
constexpr std::uint8_t kOverflowMax = 15;

// The timestamp option's flags.
enum : std::uint8_t { kTimesOnly = 0, kTimesAndAddresses = 1, kPrespecified = 3 };

// The CIPSO option (draft-ietf-cipso-ipsecurity): nobody here has a domain of interpretation for it.
constexpr std::uint8_t kCipso = 134;

// The entry that is ours, empty when the option is full.
MutableBytes entry_of(MutableBytes option, std::size_t size) {
  const std::size_t at = option[kPointer];
  if (at > option.size()) return {};
  return option.subspan(at - 1, size);
}

// How many bytes of a timestamp's entry stand in front of the time, and in all.
struct TimestampEntry {
  std::size_t time_at = 0;
  std::size_t size = 4;
};
TimestampEntry timestamp_entry(std::uint8_t flags) {
  if ((flags & 0xf) == kTimesOnly) return {};
  return {4, 8};
}

// False: malformed. What we fill in later is cleared.
bool take_route(MutableBytes option) {
  if (option.size() < 3 || option[kPointer] < kFirstRoutePointer) return false;
  if (option[kPointer] > option.size()) return true;
  if (option[kPointer] + 3u > option.size()) return false;
  std::ranges::fill(entry_of(option, 4), std::uint8_t{0});
  return true;
}

bool take_timestamp(MutableBytes option, bool privileged) {
  if (option.size() < 4 || option[kPointer] < kFirstTimestampPointer) return false;
  const std::uint8_t flags = option[kTimestampFlags] & 0xf;
  if (option[kPointer] > option.size())
    return flags == kPrespecified || option[kTimestampFlags] >> 4 != kOverflowMax;
  if (option[kPointer] + 3u > option.size()) return false;
  if (flags != kTimesOnly && flags != kTimesAndAddresses && flags != kPrespecified) return privileged;
  const TimestampEntry entry = timestamp_entry(flags);
  if (option[kPointer] + entry.size - 1 > option.size()) return false;
  if (flags == kPrespecified)
    std::ranges::fill(entry_of(option, entry.size).subspan(entry.time_at), std::uint8_t{0});
  else
    std::ranges::fill(entry_of(option, entry.size), std::uint8_t{0});
  return true;
}

// Visits each option but padding: visit(kind, option) answers whether to go on. False: a length is wrong, or
// visit said so.
template <typename Visit>
bool each_option(MutableBytes options, Visit&& visit) {
  for (std::size_t at = 0; at < options.size();) {
    const auto kind = static_cast<Ipv4OptionKind>(options[at]);
    if (kind == Ipv4OptionKind::kEnd) return true;
    if (kind == Ipv4OptionKind::kNop) {
      ++at;
      continue;
    }
    const std::size_t left = options.size() - at;
    if (left < 2 || options[at + kLength] < 2 || options[at + kLength] > left) return false;
    const std::size_t length = options[at + kLength];
    if (!visit(kind, options.subspan(at, length))) return false;
    at += length;
  }
  return true;
}

}  // namespace

std::optional<OptionsError> take_options(Bytes given, bool privileged, IpOptions& options) {
  if (given.size() > kIpOptionsMax) return OptionsError::kMalformed;
  IpOptions taken;
  std::ranges::copy(given, taken.bytes.begin());
  taken.size = static_cast<std::uint8_t>((given.size() + 3) / 4 * 4);
  bool routes = false;
  bool has_route = false;
  bool has_timestamp = false;
  std::size_t end = 0;
  const auto visit = [&](Ipv4OptionKind kind, MutableBytes option) {
    end = static_cast<std::size_t>(option.data() - taken.bytes.data()) + option.size();
    switch (kind) {
      case Ipv4OptionKind::kLooseSourceRoute:
      case Ipv4OptionKind::kStrictSourceRoute:
        routes = option.size() >= 7 && option[kPointer] == kFirstRoutePointer && option.size() % 4 == 3;
        return false;
      case Ipv4OptionKind::kRecordRoute:
        return !std::exchange(has_route, true) && take_route(option);
      case Ipv4OptionKind::kTimestamp:
        return !std::exchange(has_timestamp, true) && take_timestamp(option, privileged);
      case Ipv4OptionKind::kRouterAlert:
        return option.size() >= 4;
      default:
        return privileged && static_cast<std::uint8_t>(kind) != kCipso;
    }
  };
  if (!each_option(MutableBytes(taken.bytes).first(taken.size), visit))
    return routes ? OptionsError::kSourceRoute : OptionsError::kMalformed;
  // Behind an end of list there is nothing.
  while (end < taken.size && taken.bytes[end] != static_cast<std::uint8_t>(Ipv4OptionKind::kEnd)) ++end;
  std::fill(taken.bytes.begin() + static_cast<std::ptrdiff_t>(end), taken.bytes.end(), std::uint8_t{0});
  options = taken;
  return std::nullopt;
}

IpOptions written_options(const IpOptions& set, const IpAddress& source, std::uint32_t milliseconds,
                          const Interfaces& interfaces) {
  IpOptions written = set;
  const auto visit = [&](Ipv4OptionKind kind, MutableBytes option) {
    if (kind == Ipv4OptionKind::kRecordRoute) {
      const MutableBytes entry = entry_of(option, 4);
      if (entry.empty()) return true;
      store_be<std::uint32_t>(entry, 0, source.v4_bits());
      option[kPointer] = static_cast<std::uint8_t>(option[kPointer] + 4);
    } else if (kind == Ipv4OptionKind::kTimestamp) {
      const std::uint8_t flags = option[kTimestampFlags] & 0xf;
      const TimestampEntry layout = timestamp_entry(flags);
      if (flags != kTimesOnly && flags != kTimesAndAddresses && flags != kPrespecified) return true;
      const MutableBytes entry = entry_of(option, layout.size);
      if (entry.empty()) return true;
      // Of prespecified addresses, each host answers for its own.
      if (flags == kPrespecified &&
          !interfaces.is_local_address(IpAddress::v4(load_be<std::uint32_t>(entry, 0))))
        return true;
      if (flags == kTimesAndAddresses) store_be<std::uint32_t>(entry, 0, source.v4_bits());
      store_be<std::uint32_t>(entry, layout.time_at, milliseconds);
      option[kPointer] = static_cast<std::uint8_t>(option[kPointer] + layout.size);
    }
    return true;
  };
  (void)each_option(MutableBytes(written.bytes).first(written.size), visit);
  return written;
}

}  // namespace tapir::ip
