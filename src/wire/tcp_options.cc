// SPDX-License-Identifier: Apache-2.0
#include "wire/tcp_options.h"

#include <algorithm>

namespace tapir::wire {

namespace {

constexpr std::size_t round_up_4(std::size_t n) { return (n + 3) / 4 * 4; }

// Linux writes timestamps behind two NOPs so that the values are aligned; receivers test for exactly this
// word.
constexpr std::uint32_t kAlignedTimestamps =
    kTcpOptionNop << 24 | kTcpOptionNop << 16 | kTcpOptionTimestamps << 8 | 10;
constexpr std::size_t kAlignedTimestampsLength = 12;

std::size_t fast_open_length(const FastOpenOption& option) {
  return static_cast<std::size_t>(option.experimental ? 4 : 2) + option.length;
}

// Linux's tcp_parse_fastopen_option: of several the last counts, and a cookie of a wrong size is as good as
// none; an odd one says nothing.
void take_fast_open(Bytes cookie, bool experimental, TcpOptions& options) {
  if (cookie.size() % 2 != 0) return;
  options.fast_open.reset();
  if (!cookie.empty() && (cookie.size() < kFastOpenCookieMin || cookie.size() > kFastOpenCookieMax)) return;
  FastOpenOption& option = options.fast_open.emplace();
  option.length = static_cast<std::uint8_t>(cookie.size());
  option.experimental = experimental;
  std::copy(cookie.begin(), cookie.end(), option.cookie.begin());
}

void take_syn_option(const TcpOptionItem& item, TcpOptions& options) {
  switch (item.kind) {
    case kTcpOptionMss:
      if (item.data.size() == 2 && load_be<std::uint16_t>(item.data, 0) != 0)
        options.mss = load_be<std::uint16_t>(item.data, 0);
      break;
    case kTcpOptionWindowScale:
      if (item.data.size() == 1) options.window_scale = std::min(item.data[0], kWindowScaleMax);
      break;
    case kTcpOptionSackPermitted:
      if (item.data.empty()) options.sack_permitted = true;
      break;
    case kTcpOptionFastOpen:
      take_fast_open(item.data, false, options);
      break;
    case kTcpOptionExperimental:
      if (item.data.size() >= 2 && load_be<std::uint16_t>(item.data, 0) == kFastOpenExperiment)
        take_fast_open(item.data.subspan(2), true, options);
      break;
    default:
      break;
  }
}

void take_option(const TcpOptionItem& item, TcpOptions& options) {
  switch (item.kind) {
    case kTcpOptionTimestamps:
      if (item.data.size() == 8)
        options.timestamps =
            TcpTimestamps{load_be<std::uint32_t>(item.data, 0), load_be<std::uint32_t>(item.data, 4)};
      break;
    case kTcpOptionSack:
      if (item.data.size() < 8 || item.data.size() % 8 != 0) break;
      options.sack_count = static_cast<std::uint8_t>(std::min(item.data.size() / 8, kSackBlocksMax));
      for (std::size_t i = 0; i < options.sack_count; ++i)
        options.sack[i] = {SeqNum(load_be<std::uint32_t>(item.data, i * 8)),
                           SeqNum(load_be<std::uint32_t>(item.data, i * 8 + 4))};
      break;
    case kTcpOptionMd5:
      if (item.data.size() == 16) std::copy_n(item.data.begin(), 16, options.md5.emplace().begin());
      break;
    default:
      break;
  }
}

// Writes forward through space that the caller has measured.
class Cursor {
 public:
  explicit Cursor(MutableBytes out) : out_(out) {}
  std::size_t position() const { return at_; }
  void byte(std::uint8_t value) { out_[at_++] = value; }
  void word(std::uint32_t value) {
    store_be(out_, at_, value);
    at_ += 4;
  }
  // Four bytes: most options with their padding in front.
  void quad(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    byte(a);
    byte(b);
    byte(c);
    byte(d);
  }
  void bytes(Bytes from) {
    std::copy(from.begin(), from.end(), out_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ += from.size();
  }
  void pad_with_nops() {
    while (at_ % 4 != 0) byte(kTcpOptionNop);
  }

 private:
  MutableBytes out_;
  std::size_t at_ = 0;
};

void emit_fast_open(const FastOpenOption& option, Cursor& cursor) {
  const auto length = static_cast<std::uint8_t>(fast_open_length(option));
  if (option.experimental)
    cursor.quad(kTcpOptionExperimental, length, kFastOpenExperiment >> 8, kFastOpenExperiment & 0xff);
  else {
    cursor.byte(kTcpOptionFastOpen);
    cursor.byte(length);
  }
  cursor.bytes(option.bytes());
  cursor.pad_with_nops();
}

}  // namespace

TcpOptions parse_tcp_options(Bytes option_bytes, bool syn) {
  TcpOptions options;
  // Nearly every segment of a connection has just these (Linux's tcp_parse_aligned_timestamp).
  if (option_bytes.size() == kAlignedTimestampsLength &&
      load_be<std::uint32_t>(option_bytes, 0) == kAlignedTimestamps) {
    options.timestamps =
        TcpTimestamps{load_be<std::uint32_t>(option_bytes, 4), load_be<std::uint32_t>(option_bytes, 8)};
    return options;
  }
  TcpOptionReader reader(option_bytes);
  while (const auto item = reader.next()) {
    if (item->kind == kTcpOptionEol) break;
    take_option(*item, options);
    if (syn) take_syn_option(*item, options);
  }
  return options;
}

std::size_t tcp_options_length(const TcpOptions& options, bool syn) {
  std::size_t length = 0;
  if (options.md5) length += 20;
  if (syn && options.mss) length += 4;
  if (options.timestamps) length += kAlignedTimestampsLength;
  if (syn && options.sack_permitted && !options.timestamps) length += 4;
  if (syn && options.window_scale) length += 4;
  if (options.sack_count != 0) length += 4 + std::size_t{8} * options.sack_count;
  if (syn && options.fast_open) length += round_up_4(fast_open_length(*options.fast_open));
  return length;
}

std::size_t emit_tcp_options(const TcpOptions& options, bool syn, MutableBytes out) {
  const std::size_t length = tcp_options_length(options, syn);
  TAPIR_INVARIANT(length <= kTcpOptionBytesMax && length <= out.size(), "TCP options fit");
  Cursor cursor(out);
  if (options.md5) {
    cursor.quad(kTcpOptionNop, kTcpOptionNop, kTcpOptionMd5, 18);
    cursor.bytes(*options.md5);
  }
  if (syn && options.mss)
    cursor.quad(kTcpOptionMss, 4, static_cast<std::uint8_t>(*options.mss >> 8),
                static_cast<std::uint8_t>(*options.mss));
  const bool announce_sack = syn && options.sack_permitted;
  if (options.timestamps) {
    // SACK-permitted takes the place of the two NOPs.
    if (announce_sack)
      cursor.quad(kTcpOptionSackPermitted, 2, kTcpOptionTimestamps, 10);
    else
      cursor.word(kAlignedTimestamps);
    cursor.word(options.timestamps->value);
    cursor.word(options.timestamps->echo);
  } else if (announce_sack) {
    cursor.quad(kTcpOptionNop, kTcpOptionNop, kTcpOptionSackPermitted, 2);
  }
  if (syn && options.window_scale)
    cursor.quad(kTcpOptionNop, kTcpOptionWindowScale, 3, *options.window_scale);
  if (options.sack_count != 0) {
    cursor.quad(kTcpOptionNop, kTcpOptionNop, kTcpOptionSack,
                static_cast<std::uint8_t>(2 + 8 * options.sack_count));
    for (std::size_t i = 0; i < options.sack_count; ++i) {
      cursor.word(options.sack[i].begin.value());
      cursor.word(options.sack[i].end.value());
    }
  }
  if (syn && options.fast_open) emit_fast_open(*options.fast_open, cursor);
  TAPIR_INVARIANT(cursor.position() == length, "tcp_options_length foretells what is written");
  return length;
}

std::size_t sack_blocks_that_fit(const TcpOptions& options) {
  TcpOptions rest = options;
  rest.sack_count = 0;
  const std::size_t used = tcp_options_length(rest, false);
  if (used + 4 + 8 > kTcpOptionBytesMax) return 0;
  return std::min((kTcpOptionBytesMax - used - 4) / 8, kSackBlocksMax);
}

std::optional<TcpOptionItem> TcpOptionReader::next() {
  if (malformed_ || at_ >= bytes_.size()) return std::nullopt;
  const std::uint8_t kind = bytes_[at_];
  if (kind == kTcpOptionNop || kind == kTcpOptionEol) return TcpOptionItem{kind, {}, at_++};
  const std::size_t left = bytes_.size() - at_;
  const std::size_t length = left < 2 ? 0 : bytes_[at_ + 1];
  if (length < 2 || length > left) {
    malformed_ = true;
    return std::nullopt;
  }
  const TcpOptionItem item{kind, bytes_.subspan(at_ + 2, length - 2), at_};
  at_ += length;
  return item;
}

bool TcpOptionWriter::add(std::uint8_t kind, Bytes data) {
  const bool single = kind == kTcpOptionNop || kind == kTcpOptionEol;
  const std::size_t length = single ? 1 : 2 + data.size();
  if (length > kTcpOptionBytesMax - size_) return false;
  storage_[size_] = kind;
  if (!single) {
    storage_[size_ + 1] = static_cast<std::uint8_t>(length);
    std::copy(data.begin(), data.end(), storage_.begin() + static_cast<std::ptrdiff_t>(size_ + 2));
  }
  size_ += length;
  return true;
}

bool TcpOptionWriter::mss(std::uint16_t value) {
  std::array<std::uint8_t, 2> data;
  store_be<std::uint16_t>(data, 0, value);
  return add(kTcpOptionMss, data);
}

bool TcpOptionWriter::window_scale(std::uint8_t shift) {
  return add(kTcpOptionWindowScale, Bytes{&shift, 1});
}

bool TcpOptionWriter::timestamps(const TcpTimestamps& timestamps) {
  std::array<std::uint8_t, 8> data;
  store_be<std::uint32_t>(data, 0, timestamps.value);
  store_be<std::uint32_t>(data, 4, timestamps.echo);
  return add(kTcpOptionTimestamps, data);
}

bool TcpOptionWriter::sack(std::span<const SackBlock> blocks) {
  if (blocks.size() > kSackBlocksMax) return false;
  std::array<std::uint8_t, 8 * kSackBlocksMax> data;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    store_be<std::uint32_t>(data, i * 8, blocks[i].begin.value());
    store_be<std::uint32_t>(data, i * 8 + 4, blocks[i].end.value());
  }
  return add(kTcpOptionSack, Bytes(data).first(blocks.size() * 8));
}

bool TcpOptionWriter::fast_open(Bytes cookie, bool experimental) {
  if (!experimental) return add(kTcpOptionFastOpen, cookie);
  std::array<std::uint8_t, kTcpOptionBytesMax> data;
  if (cookie.size() > data.size() - 2) return false;
  store_be<std::uint16_t>(data, 0, kFastOpenExperiment);
  std::copy(cookie.begin(), cookie.end(), data.begin() + 2);
  return add(kTcpOptionExperimental, Bytes(data).first(2 + cookie.size()));
}

}  // namespace tapir::wire
