// SPDX-License-Identifier: Apache-2.0
#include "observe/socket_filter.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace tapir::observe {
namespace {

// ss's words for states, and what its column says of each.
struct StateName {
  std::string_view word;
  std::string_view shown;
};
constexpr std::array<StateName, 11> kStates = {{{"established", "ESTAB"},
                                                {"syn-sent", "SYN-SENT"},
                                                {"syn-recv", "SYN-RECV"},
                                                {"fin-wait-1", "FIN-WAIT-1"},
                                                {"fin-wait-2", "FIN-WAIT-2"},
                                                {"time-wait", "TIME-WAIT"},
                                                {"closed", "UNCONN"},
                                                {"close-wait", "CLOSE-WAIT"},
                                                {"last-ack", "LAST-ACK"},
                                                {"listening", "LISTEN"},
                                                {"closing", "CLOSING"}}};
constexpr std::uint32_t bit(std::string_view word) {
  for (std::size_t i = 0; i < kStates.size(); ++i)
    if (kStates[i].word == word || kStates[i].shown == word) return 1u << i;
  return 0;
}

std::optional<std::uint32_t> states_named(std::string_view word, std::uint32_t all) {
  if (word == "all") return all;
  if (word == "connected") return all & ~(bit("listening") | bit("closed"));
  if (word == "synchronized") return all & ~(bit("listening") | bit("closed") | bit("syn-sent"));
  if (word == "bucket") return bit("syn-recv") | bit("time-wait");
  if (word == "big") return all & ~(bit("syn-recv") | bit("time-wait"));
  if (word == "listen") word = "listening";
  const std::uint32_t one = bit(word);
  return one == 0 ? std::nullopt : std::optional(one);
}

// "10.0.0.1:80" of a row; "*" is 0.
Endpoint endpoint_of(const nlohmann::ordered_json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_string()) return {};
  const std::string& text = found->get_ref<const std::string&>();
  const std::size_t colon = text.rfind(':');
  Endpoint end;
  end.address = IpAddress::parse(text.substr(0, colon)).value_or(IpAddress{});
  if (colon != std::string::npos)
    std::from_chars(text.data() + colon + 1, text.data() + text.size(), end.port);
  return end;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  if (text.starts_with(':')) text.remove_prefix(1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

// Words and signs of an expression.
std::vector<std::string> tokens_of(std::span<const std::string> words) {
  std::vector<std::string> tokens;
  static constexpr std::string_view kSigns = "()!=<>&|";
  for (const std::string& text : words) {
    std::string word;
    const auto end_word = [&] {
      if (!word.empty()) tokens.push_back(std::exchange(word, {}));
    };
    for (std::size_t at = 0; at < text.size(); ++at) {
      const char c = text[at];
      if (c == ' ' || c == '\t') {
        end_word();
      } else if (kSigns.find(c) != std::string_view::npos) {
        end_word();
        std::string sign(1, c);
        const bool two = at + 1 < text.size() && ((c != '(' && c != ')' && text[at + 1] == '=') ||
                                                  ((c == '&' || c == '|') && text[at + 1] == c));
        if (two) sign += text[++at];
        tokens.push_back(std::move(sign));
      } else {
        word += c;
      }
    }
    end_word();
  }
  return tokens;
}

}  // namespace

// Recursive descent; an error is kept, and everything ends.
class FilterParser {
 public:
  explicit FilterParser(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}

  std::expected<SocketFilter, std::string> parse() {
    SocketFilter filter;
    std::uint32_t named = 0;
    while (peek() == "state" || peek() == "exclude") {
      const bool exclude = next() == "exclude";
      const std::string word = next();
      const auto states = states_named(word, SocketFilter::kAllStates);
      if (!states)
        return std::unexpected(fmt::format(
            "'{}' is no state: established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, closed, "
            "close-wait, last-ack, listening, closing, or a group: all, connected, synchronized, bucket, big",
            word));
      if (exclude)
        filter.states_ &= ~*states;
      else
        named |= *states;
    }
    if (named != 0) filter.states_ &= named;
    if (at_ < tokens_.size()) filter.test_ = any_of(0);
    if (error_.empty() && at_ < tokens_.size()) fail(fmt::format("'{}' means nothing here", peek()));
    if (!error_.empty()) return std::unexpected(error_);
    return filter;
  }

 private:
  using Test = SocketFilter::Test;
  using Ends = SocketFilter::Ends;

  std::string peek() const { return at_ < tokens_.size() ? tokens_[at_] : std::string(); }
  std::string next() { return at_ < tokens_.size() ? tokens_[at_++] : std::string(); }
  bool take(std::initializer_list<std::string_view> words) {
    for (const std::string_view word : words)
      if (peek() == word) {
        ++at_;
        return true;
      }
    return false;
  }
  Test fail(std::string sentence) {
    if (error_.empty()) error_ = std::move(sentence);
    at_ = tokens_.size();
    return {};
  }

  Test any_of(int depth) {
    Test left = all_of(depth);
    while (error_.empty() && take({"or", "||", "|"}))
      left = [a = std::move(left), b = all_of(depth)](const Ends& ends) { return a(ends) || b(ends); };
    return left;
  }
  Test all_of(int depth) {
    Test left = one(depth);
    while (error_.empty()) {
      const bool joined = take({"and", "&&", "&"});
      if (!joined && (peek().empty() || peek() == ")" || peek() == "or" || peek() == "||" || peek() == "|"))
        break;
      left = [a = std::move(left), b = one(depth)](const Ends& ends) { return a(ends) && b(ends); };
    }
    return left;
  }
  Test one(int depth) {
    if (depth == SocketFilter::kDepthMax) return fail("the filter is nested too deep");
    if (take({"not", "!"})) return [inner = one(depth + 1)](const Ends& ends) { return !inner(ends); };
    if (take({"("})) {
      Test inner = any_of(depth + 1);
      if (error_.empty() && !take({")"})) return fail("a ( has no )");
      return inner;
    }
    const std::string word = next();
    if (word == "src" || word == "dst") return host(word == "src");
    if (word == "sport" || word == "dport") return port(word == "sport");
    if (word.empty()) return fail("the filter ends too early");
    return fail(fmt::format(
        "'{}' means nothing in a filter: state, src, dst, sport, dport, and, or, not, ( )", word));
  }

  Test host(bool local) {
    take({"=", "==", "eq"});
    const std::string text = next();
    const std::size_t colon = text.rfind(':');
    std::optional<std::uint16_t> port;
    if (colon != std::string::npos && text.substr(colon + 1) != "*") {
      port = port_of(std::string_view(text).substr(colon));
      if (!port) return fail(fmt::format("'{}' has no port after its colon", text));
    }
    const std::string address = text.substr(0, colon);
    std::optional<IpPrefix> prefix;
    if (!address.empty() && address != "*") {
      prefix = IpPrefix::parse(address);
      if (const auto whole = IpAddress::parse(address); !prefix && whole)
        prefix = IpPrefix{*whole, static_cast<std::uint8_t>(whole->is_v4() ? 32 : 128)};
      if (!prefix) return fail(fmt::format("'{}' is no address", address));
    }
    return [=](const Ends& ends) {
      const Endpoint& end = local ? ends.local : ends.peer;
      return (!prefix || prefix->contains(end.address)) && (!port || *port == end.port);
    };
  }

  Test port(bool local) {
    const std::string sign = next();
    const std::string text = next();
    const auto value = port_of(text);
    if (!value) return fail(fmt::format("'{}' is no port, like :80", text));
    const std::uint16_t with = *value;
    const auto test = [local](auto compare) -> Test {
      return [=](const Ends& ends) { return compare(local ? ends.local.port : ends.peer.port); };
    };
    if (sign == "=" || sign == "==" || sign == "eq")
      return test([with](std::uint16_t p) { return p == with; });
    if (sign == "!=" || sign == "ne" || sign == "neq")
      return test([with](std::uint16_t p) { return p != with; });
    if (sign == "<" || sign == "lt") return test([with](std::uint16_t p) { return p < with; });
    if (sign == "<=" || sign == "le") return test([with](std::uint16_t p) { return p <= with; });
    if (sign == ">" || sign == "gt") return test([with](std::uint16_t p) { return p > with; });
    if (sign == ">=" || sign == "ge") return test([with](std::uint16_t p) { return p >= with; });
    return fail(fmt::format("'{}' compares no ports: = != < <= > >=", sign));
  }

  std::vector<std::string> tokens_;
  std::size_t at_ = 0;
  std::string error_;
};

std::expected<SocketFilter, std::string> SocketFilter::parse(std::span<const std::string> words) {
  return FilterParser(tokens_of(words)).parse();
}

bool SocketFilter::wants(const nlohmann::ordered_json& row) const {
  const auto state = row.find("state");
  if (state != row.end() && (bit(state->get<std::string>()) & states_) == 0) return false;
  return !test_ || test_({endpoint_of(row, "local"), endpoint_of(row, "peer")});
}

}  // namespace tapir::observe
