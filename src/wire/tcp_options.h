// SPDX-License-Identifier: Apache-2.0
// TCP options: what a stack makes of them, the order Linux writes them in, and the raw list for those who
// look closer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/seq_num.h"

namespace tapir::wire {

// Kinds (IANA) and whole lengths of the options that have a fixed one.
inline constexpr std::uint8_t kTcpOptionEol = 0;
inline constexpr std::uint8_t kTcpOptionNop = 1;
inline constexpr std::uint8_t kTcpOptionMss = 2;            // length 4, RFC 9293 §3.7.1
inline constexpr std::uint8_t kTcpOptionWindowScale = 3;    // length 3, RFC 7323 §2
inline constexpr std::uint8_t kTcpOptionSackPermitted = 4;  // length 2, RFC 2018 §2
inline constexpr std::uint8_t kTcpOptionSack = 5;           // length 2 + 8 per block, RFC 2018 §3
inline constexpr std::uint8_t kTcpOptionTimestamps = 8;     // length 10, RFC 7323 §3
inline constexpr std::uint8_t kTcpOptionMd5 = 19;           // length 18, RFC 2385
inline constexpr std::uint8_t kTcpOptionFastOpen = 34;      // length 2 + cookie, RFC 7413 §4.1.1
inline constexpr std::uint8_t kTcpOptionExperimental =
    254;  // length 4 + …, the first two bytes name the experiment, RFC 6994
inline constexpr std::uint16_t kFastOpenExperiment = 0xf989;  // Linux's TCPOPT_FASTOPEN_MAGIC

// A header's length is 4 bits of 32-bit words: 60 bytes, 20 of them fixed.
inline constexpr std::size_t kTcpOptionBytesMax = 40;
// RFC 7323 §2.3: a larger shift is taken as this one.
inline constexpr std::uint8_t kWindowScaleMax = 14;
// Four blocks of 8 bytes are all that 40 bytes hold (three beside timestamps).
inline constexpr std::size_t kSackBlocksMax = 4;
// RFC 7413 §4.1.1: a cookie has 4 to 16 bytes, an even number.
inline constexpr std::size_t kFastOpenCookieMin = 4;
inline constexpr std::size_t kFastOpenCookieMax = 16;

struct SackBlock {
  SeqNum begin;
  SeqNum end;  // one past the last byte
  friend bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct TcpTimestamps {
  std::uint32_t value = 0;  // TSval
  std::uint32_t echo = 0;   // TSecr
  friend bool operator==(const TcpTimestamps&, const TcpTimestamps&) = default;
};

struct FastOpenOption {
  std::uint8_t length = 0;    // bytes of cookie; 0 asks for one
  bool experimental = false;  // kind 254 with Linux's magic, not kind 34
  std::array<std::uint8_t, kFastOpenCookieMax> cookie{};
  Bytes bytes() const { return {cookie.data(), length}; }
  friend bool operator==(const FastOpenOption&, const FastOpenOption&) = default;
};

// The options of one segment in host order.
struct TcpOptions {
  std::optional<std::uint16_t> mss;          // SYN only; never 0
  std::optional<std::uint8_t> window_scale;  // SYN only; ≤ kWindowScaleMax
  bool sack_permitted = false;               // SYN only
  std::uint8_t sack_count = 0;               // of `sack` in use
  std::optional<TcpTimestamps> timestamps;
  std::array<SackBlock, kSackBlocksMax> sack{};
  std::optional<FastOpenOption> fast_open;          // SYN only
  std::optional<std::array<std::uint8_t, 16>> md5;  // the digest
  friend bool operator==(const TcpOptions&, const TcpOptions&) = default;
};

// Reads options as Linux's tcp_parse_options does: a wrong length ends the reading and keeps what came
// before, an option of the wrong size for its kind is skipped, the last of several wins, those of a SYN count
// on a SYN only.
TcpOptions parse_tcp_options(Bytes option_bytes, bool syn);

// How many bytes emit_tcp_options will write, a multiple of 4.
std::size_t tcp_options_length(const TcpOptions& options, bool syn);
// Writes the options in the order and with the padding of Linux's tcp_options_write; returns their length,
// which must be within kTcpOptionBytesMax (ask tcp_options_length before adding SACK blocks or a cookie).
// Without `syn`, the options that belong to a SYN are left out.
std::size_t emit_tcp_options(const TcpOptions& options, bool syn, MutableBytes out);
// How many SACK blocks fit beside the rest of `options` on a segment without SYN.
std::size_t sack_blocks_that_fit(const TcpOptions& options);

// One option as it stands in the header.
struct TcpOptionItem {
  std::uint8_t kind = kTcpOptionNop;
  Bytes data;              // after kind and length; empty for no-operation and end-of-list
  std::size_t offset = 0;  // of the kind, from the first option byte
};

// Walks the raw list, a byte at least a step, past end-of-list too (what follows it is padding that a
// comparison wants to see). Ends early with malformed() set when a length is wrong; rest() is then what could
// not be read.
class TcpOptionReader {
 public:
  explicit TcpOptionReader(Bytes option_bytes) : bytes_(option_bytes) {}
  std::optional<TcpOptionItem> next();
  bool malformed() const { return malformed_; }
  Bytes rest() const { return bytes_.subspan(at_); }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
  bool malformed_ = false;
};

// Builds a raw list in any order. A call that does not fit in kTcpOptionBytesMax changes nothing and answers
// false.
class TcpOptionWriter {
 public:
  bool add(std::uint8_t kind, Bytes data);  // kind, length, data; kNop and kEol are written as their one byte
  bool nop() { return add(kTcpOptionNop, {}); }
  bool eol() { return add(kTcpOptionEol, {}); }
  bool mss(std::uint16_t value);
  bool window_scale(std::uint8_t shift);
  bool sack_permitted() { return add(kTcpOptionSackPermitted, {}); }
  bool timestamps(const TcpTimestamps& timestamps);
  bool sack(std::span<const SackBlock> blocks);
  bool fast_open(Bytes cookie, bool experimental);
  bool md5(Bytes digest) { return digest.size() == 16 && add(kTcpOptionMd5, digest); }

  Bytes bytes() const { return {storage_.data(), size_}; }
  MutableBytes mutable_bytes() { return {storage_.data(), size_}; }

 private:
  std::array<std::uint8_t, kTcpOptionBytesMax> storage_{};
  std::size_t size_ = 0;
};

}  // namespace tapir::wire
