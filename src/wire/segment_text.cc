// SPDX-License-Identifier: Apache-2.0
#include "wire/segment_text.h"

#include <array>
#include <charconv>
#include <concepts>

#include "base/ascii.h"

namespace tapir::wire {

namespace {

struct FlagLetter {
  TcpFlag flag;
  char letter;
};
// In the order that packetdrill's own scripts write them: "SF.", "FP.", "SEW".
constexpr FlagLetter kFlagLetters[] = {{kSyn, 'S'}, {kFin, 'F'}, {kRst, 'R'}, {kPsh, 'P'}, {kEce, 'E'},
                                       {kCwr, 'W'}, {kAe, 'A'},  {kUrg, 'U'}, {kAck, '.'}};

// --- writing
// --------------------------------------------------------------------------------------------------------

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// "name", or "name HEX" when there are bytes.
std::string with_hex(std::string name, Bytes bytes) {
  if (!bytes.empty()) name += ' ' + hex(bytes);
  return name;
}

std::string sack_text(Bytes blocks, SeqNum base) {
  std::string text = "sack";
  for (std::size_t at = 0; at + 8 <= blocks.size(); at += 8)
    text += ' ' + std::to_string(SeqNum(load_be<std::uint32_t>(blocks, at)) - base) + ':' +
            std::to_string(SeqNum(load_be<std::uint32_t>(blocks, at + 4)) - base);
  return text;
}

std::string timestamps_text(Bytes data, const SegmentTextBases& bases) {
  const auto echo = load_be<std::uint32_t>(data, 4);
  return "TS val " + std::to_string(load_be<std::uint32_t>(data, 0) - bases.ts_value) + " ecr " +
         std::to_string(echo == 0 ? 0 : echo - bases.ts_echo);
}

std::string option_text(const TcpOptionItem& item, const SegmentTextBases& bases) {
  const std::size_t size = item.data.size();
  switch (item.kind) {
    case kTcpOptionEol:
      return "eol";
    case kTcpOptionNop:
      return "nop";
    case kTcpOptionMss:
      if (size == 2) return "mss " + std::to_string(load_be<std::uint16_t>(item.data, 0));
      break;
    case kTcpOptionWindowScale:
      if (size == 1) return "wscale " + std::to_string(item.data[0]);
      break;
    case kTcpOptionSackPermitted:
      if (size == 0) return "sackOK";
      break;
    case kTcpOptionSack:
      if (size != 0 && size % 8 == 0) return sack_text(item.data, bases.ack);
      break;
    case kTcpOptionTimestamps:
      if (size == 8) return timestamps_text(item.data, bases);
      break;
    case kTcpOptionMd5:
      if (size == 16) return with_hex("md5", item.data);
      break;
    case kTcpOptionFastOpen:
      return with_hex("FO", item.data);
    case kTcpOptionExperimental:
      if (size >= 2 && load_be<std::uint16_t>(item.data, 0) == kFastOpenExperiment)
        return with_hex("FOEXP", item.data.subspan(2));
      break;
    default:
      break;
  }
  return with_hex("kind " + std::to_string(item.kind), item.data);
}

// --- reading
// --------------------------------------------------------------------------------------------------------

// A cursor over the text; every take_* skips spaces first and takes nothing when it answers no.
class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : text_(text) {}

  bool at_end() {
    skip_spaces();
    return text_.empty();
  }
  bool take(char c) {
    skip_spaces();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  // The word `word`, not as the beginning of a longer one.
  bool take_word(std::string_view word) {
    skip_spaces();
    if (peek_word() != word) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  std::string_view take_any_word() {
    const std::string_view word = peek_word();
    text_.remove_prefix(word.size());
    return word;
  }
  // Characters up to the next space; empty at the end.
  std::string_view take_until_space() {
    skip_spaces();
    std::size_t n = 0;
    while (n < text_.size() && !is_space(text_[n])) ++n;
    const std::string_view taken = text_.substr(0, n);
    text_.remove_prefix(n);
    return taken;
  }
  // Characters before `c`, which is taken too.
  std::optional<std::string_view> take_up_to(char c) {
    const std::size_t n = text_.find(c);
    if (n == std::string_view::npos) return std::nullopt;
    const std::string_view taken = text_.substr(0, n);
    text_.remove_prefix(n + 1);
    return taken;
  }
  template <std::unsigned_integral T>
  std::optional<T> take_number() {
    skip_spaces();
    T value = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return value;
  }
  // What is still to be read, for error messages.
  std::string found() {
    skip_spaces();
    return text_.empty() ? std::string("the end") : '\'' + std::string(text_.substr(0, 24)) + '\'';
  }

 private:
  void skip_spaces() {
    while (!text_.empty() && is_space(text_.front())) text_.remove_prefix(1);
  }
  std::string_view peek_word() {
    skip_spaces();
    std::size_t n = 0;
    while (n < text_.size() && is_word(text_[n])) ++n;
    return text_.substr(0, n);
  }

  std::string_view text_;
};

std::unexpected<std::string> expected_but(std::string_view what, TextCursor& cursor) {
  return std::unexpected("expected " + std::string(what) + ", found " + cursor.found());
}

// Bytes written as hex, at most what an option can hold.
struct HexBytes {
  std::array<std::uint8_t, kTcpOptionBytesMax> storage{};
  std::size_t size = 0;
  Bytes bytes() const { return {storage.data(), size}; }
};

std::optional<HexBytes> parse_hex(std::string_view text) {
  HexBytes out;
  if (text.starts_with("0x")) text.remove_prefix(2);
  if (text.size() % 2 != 0 || text.size() / 2 > out.storage.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.storage[out.size++] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return out;
}

using Verdict = std::expected<void, std::string>;

Verdict fits(bool added) {
  if (added) return {};
  return std::unexpected("TCP options take more than 40 bytes");
}

Verdict read_hex(TextCursor& cursor, std::string_view name, HexBytes& out) {
  const std::string_view word = cursor.take_any_word();
  const auto bytes = parse_hex(word);
  if (!bytes)
    return std::unexpected(std::string(name) + ": '" + std::string(word) +
                           "' is not an even number of hex digits (at most 80)");
  out = *bytes;
  return {};
}

Verdict read_timestamps(TextCursor& cursor, TcpOptionWriter& out) {
  if (!cursor.take_word("val")) return expected_but("'val' after TS", cursor);
  const auto value = cursor.take_number<std::uint32_t>();
  if (!value) return expected_but("a number of 32 bits after 'TS val'", cursor);
  if (!cursor.take_word("ecr")) return expected_but("'ecr' after the value", cursor);
  const auto echo = cursor.take_number<std::uint32_t>();
  if (!echo) return expected_but("a number of 32 bits after 'ecr'", cursor);
  return fits(out.timestamps({*value, *echo}));
}

Verdict read_sack(TextCursor& cursor, TcpOptionWriter& out) {
  std::array<SackBlock, kSackBlocksMax> blocks;
  std::size_t count = 0;
  do {
    if (count == blocks.size()) return std::unexpected("a sack option holds at most 4 blocks");
    const auto begin = cursor.take_number<std::uint32_t>();
    if (!begin || !cursor.take(':')) return expected_but("a SACK block BEGIN:END", cursor);
    const auto end = cursor.take_number<std::uint32_t>();
    if (!end) return expected_but("the end of a SACK block", cursor);
    blocks[count++] = {SeqNum(*begin), SeqNum(*end)};
  } while (!cursor.at_end());
  return fits(out.sack(std::span(blocks).first(count)));
}

Verdict read_named_option(std::string_view name, TextCursor& cursor, TcpOptionWriter& out) {
  if (name == "nop") return fits(out.nop());
  if (name == "eol") return fits(out.eol());
  if (name == "sackOK") return fits(out.sack_permitted());
  if (name == "TS") return read_timestamps(cursor, out);
  if (name == "sack") return read_sack(cursor, out);
  if (name == "mss") {
    const auto value = cursor.take_number<std::uint16_t>();
    return value ? fits(out.mss(*value)) : expected_but("a number of 16 bits after mss", cursor);
  }
  if (name == "wscale") {
    const auto shift = cursor.take_number<std::uint8_t>();
    return shift ? fits(out.window_scale(*shift)) : expected_but("a number of 8 bits after wscale", cursor);
  }
  HexBytes bytes;
  if (name == "FO" || name == "FOEXP") {
    if (auto read = read_hex(cursor, name, bytes); !read) return read;
    return fits(out.fast_open(bytes.bytes(), name == "FOEXP"));
  }
  if (name == "md5") {
    if (auto read = read_hex(cursor, name, bytes); !read) return read;
    return bytes.size == 16 ? fits(out.md5(bytes.bytes()))
                            : std::unexpected(std::string("md5 wants a digest of 16 bytes"));
  }
  if (name == "kind") {
    const auto kind = cursor.take_number<std::uint8_t>();
    if (!kind || *kind == kTcpOptionEol || *kind == kTcpOptionNop)
      return expected_but("a number from 2 to 255 after kind", cursor);
    if (auto read = read_hex(cursor, name, bytes); !read) return read;
    return fits(out.add(*kind, bytes.bytes()));
  }
  return std::unexpected("'" + std::string(name) + "' is no TCP option");
}

Verdict read_option(std::string_view text, TcpOptionWriter& out) {
  TextCursor cursor(text);
  const std::string_view name = cursor.take_any_word();
  if (auto read = read_named_option(name, cursor, out); !read) return read;
  if (!cursor.at_end()) return expected_but("',' after option " + std::string(name), cursor);
  return {};
}

Verdict read_sequence(TextCursor& cursor, SegmentText& out) {
  const auto seq = cursor.take_number<std::uint32_t>();
  if (!seq || !cursor.take(':')) return expected_but("SEQ:END(LENGTH)", cursor);
  const auto end = cursor.take_number<std::uint32_t>();
  if (!end || !cursor.take('(')) return expected_but("END(LENGTH) after the sequence number", cursor);
  const auto length = cursor.take_number<std::uint32_t>();
  if (!length || !cursor.take(')')) return expected_but("a length in parentheses", cursor);
  if (*seq + *length != *end)
    return std::unexpected("inconsistent segment " + std::to_string(*seq) + ':' + std::to_string(*end) + '(' +
                           std::to_string(*length) + ')');
  out.seq = *seq;
  out.end = *end;
  out.length = *length;
  return {};
}

Verdict read_numbers(TextCursor& cursor, SegmentText& out) {
  if (cursor.take_word("ack")) {
    out.ack = cursor.take_number<std::uint32_t>();
    if (!out.ack) return expected_but("a number after ack", cursor);
  }
  if (cursor.take_word("win")) {
    out.window = cursor.take_number<std::uint16_t>();
    if (!out.window) return expected_but("a number of 16 bits after win", cursor);
  }
  if (cursor.take_word("urg")) {
    out.urgent = cursor.take_number<std::uint16_t>();
    if (!out.urgent) return expected_but("a number of 16 bits after urg", cursor);
  }
  return {};
}

Verdict read_options(TextCursor& cursor, SegmentText& out) {
  if (!cursor.take('<')) return {};
  const auto list = cursor.take_up_to('>');
  if (!list) return std::unexpected("the options' '<' has no '>'");
  if (TextCursor inside(*list); inside.take('.') && inside.take('.') && inside.take('.') && inside.at_end()) {
    out.any_options = true;
    return {};
  }
  auto options = parse_tcp_option_list(*list);
  if (!options) return std::unexpected(options.error());
  out.options = *options;
  return {};
}

}  // namespace

std::string format_tcp_flags(std::uint16_t flags) {
  std::string text;
  for (const auto& [flag, letter] : kFlagLetters)
    if ((flags & flag) != 0) text += letter;
  return text.empty() ? "-" : text;
}

std::string format_tcp_options(Bytes option_bytes, const SegmentTextBases& bases) {
  std::string text;
  const auto add = [&text](const std::string& option) {
    if (!text.empty()) text += ',';
    text += option;
  };
  TcpOptionReader reader(option_bytes);
  while (const auto item = reader.next()) add(option_text(*item, bases));
  if (reader.malformed()) add(with_hex("malformed", reader.rest()));
  return text;
}

std::string format_segment(const TcpSegment& segment, const SegmentTextBases& bases, bool window) {
  const std::uint32_t seq = segment.seq - bases.seq;
  const auto length = static_cast<std::uint32_t>(segment.payload.size());
  std::string text = format_tcp_flags(segment.flags) + ' ' + std::to_string(seq) + ':' +
                     std::to_string(seq + length) + '(' + std::to_string(length) + ')';
  if (segment.has(kAck)) text += " ack " + std::to_string(segment.ack - bases.ack);
  if (window) text += " win " + std::to_string(segment.window);
  if (segment.has(kUrg) || segment.urgent != 0) text += " urg " + std::to_string(segment.urgent);
  if (!segment.option_bytes.empty()) text += " <" + format_tcp_options(segment.option_bytes, bases) + '>';
  return text;
}

bool parse_tcp_flags(std::string_view text, SegmentText& out) {
  out.flags = 0;
  out.has_ace = false;
  if (text == "-") return true;
  for (const char c : text) {
    if (c >= '0' && c <= '7') {
      const auto count = static_cast<unsigned>(c - '0');
      out.has_ace = true;
      if ((count & 4) != 0) out.flags |= kAe;
      if ((count & 2) != 0) out.flags |= kCwr;
      if ((count & 1) != 0) out.flags |= kEce;
      continue;
    }
    std::uint16_t found = 0;
    for (const auto& [flag, letter] : kFlagLetters)
      if (letter == c) found = flag;
    if (found == 0) return false;
    out.flags |= found;
  }
  return !text.empty();
}

std::expected<TcpOptionWriter, std::string> parse_tcp_option_list(std::string_view text) {
  TcpOptionWriter options;
  if (TextCursor(text).at_end()) return options;
  for (;;) {
    const std::size_t comma = text.find(',');
    if (auto read = read_option(text.substr(0, comma), options); !read) return std::unexpected(read.error());
    if (comma == std::string_view::npos) return options;
    text.remove_prefix(comma + 1);
  }
}

std::expected<SegmentText, std::string> parse_segment_text(std::string_view text) {
  TextCursor cursor(text);
  SegmentText out;
  const std::string_view flags = cursor.take_until_space();
  if (!parse_tcp_flags(flags, out)) return std::unexpected("'" + std::string(flags) + "' are no TCP flags");
  if (auto read = read_sequence(cursor, out); !read) return std::unexpected(read.error());
  if (auto read = read_numbers(cursor, out); !read) return std::unexpected(read.error());
  if (auto read = read_options(cursor, out); !read) return std::unexpected(read.error());
  if (!cursor.at_end()) return expected_but("the end of the segment", cursor);
  return out;
}

}  // namespace tapir::wire
