// SPDX-License-Identifier: Apache-2.0
#include "wire/igmp.h"

#include <algorithm>

#include "wire/checksum.h"

namespace tapir::wire {
namespace {

constexpr std::uint32_t kTenthMs = 100;  // a response time's unit
constexpr std::uint8_t kSuppressFlag = 0x08;
constexpr std::uint8_t kRobustnessMask = 0x07;

void seal(MutableBytes message) {
  store_be<std::uint16_t>(message, 2, 0);
  store_be<std::uint16_t>(message, 2, internet_checksum(message));
}

}  // namespace

std::uint32_t igmp_code_value(std::uint8_t code) {
  if (code < 128) return code;
  const unsigned mantissa = (code & 0x0fU) | 0x10U;
  return mantissa << ((code >> 4 & 7U) + 3);
}

std::optional<IgmpMessage> parse_igmp(Bytes bytes) {
  if (bytes.size() < kIgmpLength) return std::nullopt;
  IgmpMessage message;
  message.type = static_cast<IgmpType>(bytes[0]);
  message.group = IpAddress::v4(load_be<std::uint32_t>(bytes, 4));
  if (message.type != IgmpType::kQuery) return message;
  const std::uint8_t code = bytes[1];
  if (bytes.size() == kIgmpLength) {
    message.version = code == 0 ? 1 : 2;
    // A version 1 router waits ten seconds for answers (RFC 2236 §4).
    message.max_response_ms = code == 0 ? 10000 : code * kTenthMs;
    return message;
  }
  if (bytes.size() < kIgmpQueryV3Length) return std::nullopt;
  message.version = 3;
  message.max_response_ms = igmp_code_value(code) * kTenthMs;
  message.suppress = (bytes[8] & kSuppressFlag) != 0;
  message.robustness = bytes[8] & kRobustnessMask;
  message.query_interval_s = igmp_code_value(bytes[9]);
  const std::size_t count = load_be<std::uint16_t>(bytes, 10);
  if (bytes.size() - kIgmpQueryV3Length < count * 4) return std::nullopt;
  message.sources = IgmpSources(bytes.subspan(kIgmpQueryV3Length, count * 4));
  return message;
}

std::size_t emit_igmp(IgmpType type, std::uint8_t code, const IpAddress& group, MutableBytes out) {
  out[0] = static_cast<std::uint8_t>(type);
  out[1] = code;
  store_be<std::uint32_t>(out, 4, group.v4_bits());
  seal(out.first(kIgmpLength));
  return kIgmpLength;
}

std::size_t emit_igmp_query(const IpAddress& group, std::uint32_t max_response_ms, MutableBytes out) {
  const MutableBytes query = out.first(kIgmpQueryV3Length);
  std::fill(query.begin(), query.end(), std::uint8_t{0});
  query[0] = static_cast<std::uint8_t>(IgmpType::kQuery);
  query[1] = static_cast<std::uint8_t>(std::min<std::uint32_t>(max_response_ms / kTenthMs, 127));
  store_be<std::uint32_t>(query, 4, group.v4_bits());
  query[8] = 2;    // robustness
  query[9] = 125;  // seconds between queries
  seal(query);
  return kIgmpQueryV3Length;
}

IgmpRecordReader::IgmpRecordReader(Bytes report) : bytes_(report) {
  if (bytes_.size() < kIgmpReportV3Length) {
    malformed_ = true;
    return;
  }
  left_ = load_be<std::uint16_t>(bytes_, 6);
}

std::optional<IgmpRecord> IgmpRecordReader::next() {
  if (malformed_ || left_ == 0) return std::nullopt;
  if (bytes_.size() - at_ < kIgmpRecordLength) {
    malformed_ = true;
    return std::nullopt;
  }
  const Bytes front = bytes_.subspan(at_);
  const std::size_t sources = std::size_t{load_be<std::uint16_t>(front, 2)} * 4;
  const std::size_t auxiliary = std::size_t{front[1]} * 4;
  if (front.size() - kIgmpRecordLength < sources + auxiliary) {
    malformed_ = true;
    return std::nullopt;
  }
  IgmpRecord record;
  record.kind = static_cast<IgmpRecordKind>(front[0]);
  record.group = IpAddress::v4(load_be<std::uint32_t>(front, 4));
  record.sources = IgmpSources(front.subspan(kIgmpRecordLength, sources));
  at_ += kIgmpRecordLength + sources + auxiliary;
  --left_;
  return record;
}

}  // namespace tapir::wire
