// SPDX-License-Identifier: Apache-2.0
#include "link/impair_config.h"

#include <array>
#include <charconv>
#include <span>

#include "base/ascii.h"

namespace tapir::link {

namespace {

using Verdict = std::expected<void, std::string>;

constexpr std::size_t kWordsMax = 6;

std::string quoted(std::string_view text) { return '\'' + std::string(text) + '\''; }

// An unsigned decimal number as units of 1/scale, exactly: no floating point. Takes it off the front of
// `text`; nothing when there is none, when it has more decimals than the scale, or when it overflows.
std::optional<std::uint64_t> take_scaled(std::string_view& text, std::uint64_t scale) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || __builtin_mul_overflow(value, scale, &value)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.empty() || text.front() != '.') return value;
  text.remove_prefix(1);
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1)) {
    if (scale % 10 != 0) return std::nullopt;
    scale /= 10;
    const auto digit = static_cast<std::uint64_t>(text.front() - '0');
    if (__builtin_add_overflow(value, digit * scale, &value)) return std::nullopt;
  }
  return value;
}

Verdict read_chance(std::string_view word, std::uint32_t& out) {
  std::string_view rest = word;
  const auto ppm = take_scaled(rest, kPpmAlways / 100);
  if (!ppm || rest != "%" || *ppm > kPpmAlways)
    return std::unexpected(quoted(word) + " is no chance: say for example 1% or 0.01% (at most 4 decimals)");
  out = static_cast<std::uint32_t>(*ppm);
  return {};
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// A number with one of the units, in the smallest unit.
std::optional<std::uint64_t> read_with_unit(std::string_view word, std::span<const Unit> units) {
  const std::size_t digits = word.find_first_not_of("0123456789.");
  if (digits == std::string_view::npos) return std::nullopt;
  for (const Unit& unit : units) {
    if (word.substr(digits) != unit.name) continue;
    std::string_view number = word.substr(0, digits);
    const auto value = take_scaled(number, unit.factor);
    return number.empty() ? value : std::nullopt;
  }
  return std::nullopt;
}

// An hour: longer than any outage that is worth a wait.
constexpr std::uint64_t kDurationMaxNsec = 3'600'000'000'000;

Verdict read_duration(std::string_view word, Duration& out) {
  static constexpr Unit kUnits[] = {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
  const auto nsec = read_with_unit(word, kUnits);
  if (!nsec || *nsec > kDurationMaxNsec)
    return std::unexpected(quoted(word) +
                           " is no time: say for example 10ms, 1.5s or 200us (at most an hour)");
  out = Duration(static_cast<Duration::rep>(*nsec));
  return {};
}

Verdict read_rate(std::string_view word, std::uint64_t& out) {
  static constexpr Unit kUnits[] = {
      {"bit", 1}, {"kbit", 1'000}, {"mbit", 1'000'000}, {"gbit", 1'000'000'000}};
  const auto bps = read_with_unit(word, kUnits);
  if (!bps || *bps == 0)
    return std::unexpected(quoted(word) + " is no rate: say for example 100mbit, 1gbit or 64kbit");
  out = *bps;
  return {};
}

template <typename T>
Verdict read_count(std::string_view name, std::string_view word, std::uint64_t least, std::uint64_t most,
                   T& out) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || value < least || value > most)
    return std::unexpected(std::string(name) + ' ' + quoted(word) + " is no number from " +
                           std::to_string(least) + " to " + std::to_string(most));
  out = static_cast<T>(value);
  return {};
}

// "burst P N": bad frames are always lost, and the bad state is left with chance 1/N a frame.
Verdict read_burst(std::span<const std::string_view> words, ImpairBurst& out) {
  ImpairBurst burst;
  std::uint32_t length = 0;
  if (auto read = read_chance(words[0], burst.enter_ppm); !read) return read;
  if (auto read = read_count("burst length", words[1], 1, kPpmAlways, length); !read) return read;
  burst.leave_ppm = kPpmAlways / length;
  out = burst;
  return {};
}

Verdict read_gemodel(std::span<const std::string_view> words, ImpairBurst& out) {
  ImpairBurst burst;
  const std::array<std::uint32_t*, 4> fields = {&burst.enter_ppm, &burst.leave_ppm, &burst.bad_loss_ppm,
                                                &burst.good_loss_ppm};
  for (std::size_t i = 0; i < words.size(); ++i)
    if (auto read = read_chance(words[i], *fields[i]); !read) return read;
  out = burst;
  return {};
}

struct Item {
  std::string_view name;
  std::size_t least;  // words after the name
  std::size_t most;
  std::string_view usage;
};
constexpr Item kItems[] = {
    {"loss", 1, 1, "loss P"},
    {"burst", 2, 2, "burst P N"},
    {"gemodel", 2, 4, "gemodel ENTER LEAVE [BAD-LOSS [GOOD-LOSS]]"},
    {"duplicate", 1, 1, "duplicate P"},
    {"corrupt", 1, 1, "corrupt P"},
    {"truncate", 1, 1, "truncate P"},
    {"reorder", 1, 2, "reorder P [T]"},
    {"delay", 1, 1, "delay T"},
    {"jitter", 1, 1, "jitter T"},
    {"rate", 1, 1, "rate R"},
    {"limit", 1, 1, "limit FRAMES"},
    {"mtu", 1, 2, "mtu BYTES"},
    {"seed", 1, 1, "seed N"},
    {"in", 0, 0, "in"},
    {"out", 0, 0, "out"},
    {"both", 0, 0, "both"},
};

// `words` are those after the name, in the right number.
Verdict apply(std::string_view name, std::span<const std::string_view> words, ImpairConfig& config) {
  if (name == "in" || name == "out" || name == "both") {
    config.in = name != "out";
    config.out = name != "in";
    return {};
  }
  const std::string_view value = words[0];
  if (name == "loss") return read_chance(value, config.loss_ppm);
  if (name == "burst") return read_burst(words, config.burst);
  if (name == "gemodel") return read_gemodel(words, config.burst);
  if (name == "duplicate") return read_chance(value, config.duplicate_ppm);
  if (name == "corrupt") return read_chance(value, config.corrupt_ppm);
  if (name == "truncate") return read_chance(value, config.truncate_ppm);
  if (name == "reorder") {
    if (auto read = read_chance(value, config.reorder_ppm); !read || words.size() == 1) return read;
    return read_duration(words[1], config.reorder_by);
  }
  if (name == "delay") return read_duration(value, config.delay);
  if (name == "jitter") return read_duration(value, config.jitter);
  if (name == "rate") return read_rate(value, config.rate_bps);
  if (name == "limit") return read_count(name, value, 1, kImpairLimitMax, config.limit);
  if (name == "seed") {
    std::uint64_t seed = 0;
    auto read = read_count(name, value, 0, UINT64_MAX, seed);
    if (read) config.seed = seed;
    return read;
  }
  // "mtu 1400 blackhole" reads better in a command line; the second word adds nothing.
  if (words.size() == 2 && words[1] != "blackhole")
    return std::unexpected(quoted(words[1]) + " after mtu is not understood: say mtu 1400 blackhole");
  return read_count(name, value, 68, 65535, config.blackhole_mtu);
}

Verdict read_item(std::string_view text, ImpairConfig& config) {
  std::array<std::string_view, kWordsMax> words;
  std::size_t count = 0;
  while (!text.empty()) {
    std::size_t length = 0;
    while (length < text.size() && !is_space(text[length])) ++length;
    if (length != 0) {
      if (count == words.size())
        return std::unexpected("too many words after " + quoted(words[0]) + ": items are parted by ','");
      words[count++] = text.substr(0, length);
    }
    text.remove_prefix(length == text.size() ? length : length + 1);
  }
  if (count == 0) return std::unexpected("an item is missing beside ','");
  for (const Item& item : kItems) {
    if (item.name != words[0]) continue;
    if (count - 1 < item.least || count - 1 > item.most)
      return std::unexpected(quoted(words[0]) + " is written " + quoted(item.usage));
    return apply(item.name, std::span(words).subspan(1, count - 1), config);
  }
  return std::unexpected(
      quoted(words[0]) +
      " is no impairment: there are loss, burst, gemodel, duplicate, corrupt, truncate, reorder, delay, "
      "jitter, rate, limit, mtu, seed, in, out, both");
}

}  // namespace

std::expected<ImpairConfig, std::string> parse_impair(std::string_view text) {
  ImpairConfig config;
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return config;
  for (;;) {
    const std::size_t comma = text.find(',');
    if (auto read = read_item(text.substr(0, comma), config); !read) return std::unexpected(read.error());
    if (comma == std::string_view::npos) return config;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace tapir::link
