// SPDX-License-Identifier: Apache-2.0
// IGMP: queries and reports of versions 1 to 3 (RFC 1112, RFC 2236, RFC 3376 §4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "inet/ip_address.h"

namespace tapir::wire {

enum class IgmpType : std::uint8_t {
  kQuery = 0x11,
  kReportV1 = 0x12,
  kReportV2 = 0x16,
  kLeave = 0x17,
  kReportV3 = 0x22,
};

inline constexpr std::size_t kIgmpLength = 8;          // of versions 1 and 2
inline constexpr std::size_t kIgmpQueryV3Length = 12;  // without sources
inline constexpr std::size_t kIgmpReportV3Length = 8;  // without records
inline constexpr std::size_t kIgmpRecordLength = 8;    // without sources

// Addresses in a row in a message.
class IgmpSources {
 public:
  IgmpSources() = default;
  explicit IgmpSources(Bytes bytes) : bytes_(bytes) {}
  std::size_t size() const { return bytes_.size() / 4; }
  IpAddress operator[](std::size_t i) const { return IpAddress::v4(load_be<std::uint32_t>(bytes_, i * 4)); }

 private:
  Bytes bytes_;
};

// A query of any version, or a report or leave of version 1 or 2.
struct IgmpMessage {
  IgmpType type = IgmpType::kQuery;   // as received it may be any value
  std::uint8_t version = 2;           // of a query: told by its length and its code (RFC 3376 §7.1)
  std::uint32_t max_response_ms = 0;  // of a query
  IpAddress group = IpAddress::any_v4();
  bool suppress = false;               // version 3: S
  std::uint8_t robustness = 0;         // version 3: QRV
  std::uint32_t query_interval_s = 0;  // version 3: QQIC, in seconds
  IgmpSources sources;                 // version 3
};

// The message in `bytes` (an IP packet's payload). Nothing when it is short, a version 3 query says it has
// more sources than there are bytes, or its length is none that a version has. The checksum is checked by
// internet_checksum(bytes) == 0.
std::optional<IgmpMessage> parse_igmp(Bytes bytes);
// Writes the 8 bytes of versions 1 and 2 with the checksum, and returns 8.
std::size_t emit_igmp(IgmpType type, std::uint8_t code, const IpAddress& group, MutableBytes out);
// A version 3 query without sources, for tests and routers: 12 bytes.
std::size_t emit_igmp_query(const IpAddress& group, std::uint32_t max_response_ms, MutableBytes out);

// Kinds of group records of a version 3 report (RFC 3376 §4.2.12).
enum class IgmpRecordKind : std::uint8_t {
  kIsInclude = 1,
  kIsExclude = 2,
  kToInclude = 3,
  kToExclude = 4,
  kAllow = 5,
  kBlock = 6,
};
struct IgmpRecord {
  IgmpRecordKind kind = IgmpRecordKind::kIsExclude;
  IpAddress group;
  IgmpSources sources;
};
// Walks the records of a version 3 report's bytes, at least 8 bytes a step, never past the end.
class IgmpRecordReader {
 public:
  explicit IgmpRecordReader(Bytes report);
  std::optional<IgmpRecord> next();
  bool malformed() const { return malformed_; }

 private:
  Bytes bytes_;
  std::size_t at_ = kIgmpReportV3Length;
  std::uint16_t left_ = 0;
  bool malformed_ = false;
};

// 8-bit codes of response times and intervals (RFC 3376 §4.1.1): below 128 the number itself, else a small
// floating-point number.
std::uint32_t igmp_code_value(std::uint8_t code);

}  // namespace tapir::wire
