// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/shell.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "stack/parts.h"
#include "tcp/fastopen.h"

namespace tapir::sim::drill {

namespace {

// ../common/defaults.sh at any depth (Google's gtests/net/common/defaults.sh).
struct DefaultSetting {
  std::string_view name;
  std::string_view value;
};
constexpr DefaultSetting kDefaults[] = {
    {"net.ipv4.tcp_rmem", "4096 540000 15728640"},
    {"net.ipv4.tcp_wmem", "4096 262144 4194304"},
    {"net.ipv4.tcp_timestamps", "1"},
    {"net.ipv4.tcp_syn_retries", "5"},
    {"net.ipv4.tcp_synack_retries", "5"},
    {"net.ipv4.tcp_frto", "2"},
    {"net.ipv4.tcp_sack", "1"},
    {"net.ipv4.tcp_dsack", "1"},
    {"net.ipv4.tcp_fack", "0"},
    {"net.ipv4.tcp_reordering", "3"},
    {"net.ipv4.tcp_congestion_control", "cubic"},
    {"net.ipv4.tcp_slow_start_after_idle", "0"},
    {"net.ipv4.tcp_early_retrans", "4"},
    {"net.ipv4.tcp_recovery", "1"},
    {"net.ipv4.tcp_tso_win_divisor", "3"},
    {"net.ipv4.tcp_ecn", "0"},
    {"net.ipv4.tcp_ecn_option", "2"},
    {"net.ipv4.tcp_pacing_ss_ratio", "200"},
    {"net.ipv4.tcp_pacing_ca_ratio", "120"},
    {"net.ipv4.tcp_notsent_lowat", "4294967295"},
    {"net.ipv4.tcp_fastopen", "0x70403"},
    {"net.ipv4.tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"},
    {"net.ipv4.tcp_syncookies", "1"},
    // Knobs of tapir's own. The suite's scripts see where each write's super-segments end, as they did before
    // Linux 6.10, and how much a send buffer takes, as it did when a record cost more; reordered timestamps
    // and gathering small windows are what they are to Linux.
    {"net.ipv4.tcp_grow_segments", "0"},
    {"net.ipv4.tcp_record_charge", "1280"},
    {"net.ipv4.tcp_paws_window", "1"},
    {"net.ipv4.tcp_tso_defer_cwnd", "0"},
};

// Settings of defaults.sh that a stack without the feature may lack or refuse: then they change nothing, and
// the scripts that need the feature fail by themselves. A script that sets one of them on its own account is
// skipped instead.
constexpr std::string_view kMayBeAbsent[] = {
    "net.ipv4.tcp_frto",
    "net.ipv4.tcp_dsack",
    "net.ipv4.tcp_fack",
    "net.ipv4.tcp_reordering",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_early_retrans",
    "net.ipv4.tcp_recovery",
    "net.ipv4.tcp_tso_win_divisor",
    "net.ipv4.tcp_ecn",
    "net.ipv4.tcp_ecn_option",
    "net.ipv4.tcp_pacing_ss_ratio",
    "net.ipv4.tcp_pacing_ca_ratio",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_fastopen_key",
    "net.ipv4.tcp_syncookies",
};

// "0x70403" as the decimal that sysctl files take.
std::string decimal(std::string_view value) {
  if (!value.starts_with("0x") && !value.starts_with("0X")) return std::string(value);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data() + 2, value.data() + value.size(), number, 16);
  return error == std::errc{} && end == value.data() + value.size() ? std::to_string(number)
                                                                    : std::string(value);
}

// "/proc/sys/net/ipv4/tcp_ecn", "net/ipv4/tcp_ecn" -> "net.ipv4.tcp_ecn".
std::string dotted(std::string_view name) {
  constexpr std::string_view kRoot = "/proc/sys/";
  if (name.starts_with(kRoot)) name.remove_prefix(kRoot.size());
  std::string text(name);
  std::replace(text.begin(), text.end(), '/', '.');
  return text;
}

// What stands between two commands.
enum class Separator { kEnd, kSequence, kAnd, kOr, kPipe };

struct Command {
  std::vector<std::string> words;
  std::string output;  // the file that its output goes to ("> FILE"); empty: none named
  Separator after = Separator::kEnd;
};

// Splits a text as sh does, as far as the scripts go: quotes, comments, line continuation, redirections.
std::vector<Command> split(std::string_view text) {
  std::vector<Command> commands(1);
  std::string word;
  bool in_word = false;
  bool drop_next = false;  // the target of a redirection
  const auto end_word = [&] {
    if (in_word && !drop_next) commands.back().words.push_back(word);
    if (in_word && drop_next) commands.back().output = word;
    if (in_word) drop_next = false;
    word.clear();
    in_word = false;
  };
  const auto end_command = [&](Separator separator) {
    end_word();
    if (commands.back().words.empty()) return;
    commands.back().after = separator;
    commands.emplace_back();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (c == '\\' && next == '\n') {
      end_word();
      ++i;
    } else if (c == '\\' && next != '\0') {
      word += next;
      in_word = true;
      ++i;
    } else if (c == '\'' || c == '"') {
      in_word = true;
      for (++i; i < text.size() && text[i] != c; ++i) word += text[i];
    } else if (c == '#' && !in_word) {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      end_word();
    } else if (c == '\n' || c == ';') {
      end_command(Separator::kSequence);
    } else if (c == '|' || (c == '&' && next != '>')) {
      const bool twice = next == c;
      end_command(c == '&' ? (twice ? Separator::kAnd : Separator::kSequence)
                           : (twice ? Separator::kOr : Separator::kPipe));
      if (twice) ++i;
    } else if (c == '>' || c == '<' || (c == '&' && next == '>')) {
      // "2>/dev/null", "> file", "&> file", "2>&1": a number just before it belongs to it.
      if (in_word && word.size() == 1 && word[0] >= '0' && word[0] <= '9') {
        word.clear();
        in_word = false;
      }
      end_word();
      if (c == '&') ++i;
      while (i + 1 < text.size() && (text[i + 1] == '>' || text[i + 1] == '&')) ++i;
      drop_next = true;
    } else {
      word += c;
      in_word = true;
    }
  }
  end_command(Separator::kEnd);
  commands.pop_back();  // the one opened after the last
  return commands;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

ShellOutcome skip(std::string why) { return {std::move(why), std::nullopt}; }
ShellOutcome fail(std::string why) { return {std::nullopt, std::move(why)}; }

}  // namespace

ShellOutcome Shell::run(std::string_view text) {
  Separator before = Separator::kSequence;
  ShellOutcome last;
  for (const Command& next : split(text)) {
    // As in sh: '&&' goes on after success, '||' after failure, and a pipe is worth its last command; a
    // command whose failure nothing catches ends the script.
    const bool runs = before == Separator::kSequence || (before == Separator::kAnd && last.ok()) ||
                      (before == Separator::kOr && !last.ok()) || (before == Separator::kPipe && !last.skip);
    if (before == Separator::kSequence && !last.ok()) return last;
    if (runs) {
      input_ = before == Separator::kPipe ? std::optional(std::exchange(output_, {})) : std::nullopt;
      output_.clear();
      last = command(next.words, next.output);
    }
    before = next.after;
  }
  return last;
}

ShellOutcome Shell::command(const Words& words, const std::string& output) {
  const std::string_view path = words[0];
  const std::string_view name =
      path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
  if (name == "defaults.sh") return defaults();
  if (name == "set_sysctls.py") return set_sysctls(words);
  if (name.starts_with("sysctl_restore_")) {
    for (const auto& [knob, value] : std::exchange(saved_, {}))
      if (ShellOutcome outcome = set(knob, value, Origin::kScript); !outcome.ok()) return outcome;
    return {};
  }
  if (name == "sysctl") return sysctl(words);
  if (name == "ethtool") return ethtool(words);
  if (name == "tc") return traffic_control(words);
  if (name == "true" || name == ":") return {};
  if (name == "nstat") return nstat();
  if (name == "grep") return grep(words);
  if (name == "echo") return echo(words, output);
  if (name == "rm" || name == "dd") return file(name, words);
  if (name == "ip") return ip(words);
  return skip(fmt::format("no such command here: '{}'", joined(words)));
}

ShellOutcome Shell::defaults() {
  for (const DefaultSetting& setting : kDefaults)
    if (ShellOutcome outcome = set(std::string(setting.name), setting.value, Origin::kDefaults);
        !outcome.ok())
      return outcome;
  machine_.stack().parts().tcp.fast_open().cache.clear();
  // Its last act puts a pfifo on the device, which means that no queue paces: so it is here.
  return {};
}

ShellOutcome Shell::set(std::string name, std::string_view value, Origin origin) {
  const auto names = machine_.stack().sysctl_names();
  const bool known = std::find(names.begin(), names.end(), name) != names.end();
  const std::string plain = decimal(value);
  std::string problem = "not a knob of this stack";
  if (known) {
    const auto done = machine_.stack().sysctl_set(name, plain, machine_.now());
    if (done) return {};
    problem = done.error();
  }
  const std::string what = fmt::format("{}={}: {}", name, plain, problem);
  const bool may_be_absent =
      std::find(std::begin(kMayBeAbsent), std::end(kMayBeAbsent), name) != std::end(kMayBeAbsent);
  if (origin == Origin::kDefaults && may_be_absent) {
    notes_.push_back("defaults.sh: " + what);
    return {};
  }
  return known ? fail(what) : skip(what);
}

ShellOutcome Shell::sysctl(const Words& words) {
  bool ignore_unknown = false;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.starts_with("-")) {
      ignore_unknown = ignore_unknown || word.find('e') != std::string::npos;
      continue;
    }
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) continue;  // reading one
    const std::string name = dotted(std::string_view(word).substr(0, equals));
    if (ignore_unknown && !machine_.stack().sysctl_get(name)) continue;
    if (ShellOutcome outcome = set(name, std::string_view(word).substr(equals + 1), Origin::kScript);
        !outcome.ok())
      return outcome;
  }
  return {};
}

ShellOutcome Shell::set_sysctls(const Words& words) {
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    if (equals == std::string::npos)
      return fail(fmt::format("set_sysctls.py: expected PATH=VALUE, found '{}'", words[i]));
    const std::string name = dotted(std::string_view(words[i]).substr(0, equals));
    if (const auto now = machine_.stack().sysctl_get(name))
      saved_.emplace(name, *now);  // the first value it had stays
    if (ShellOutcome outcome = set(name, std::string_view(words[i]).substr(equals + 1), Origin::kScript);
        !outcome.ok())
      return outcome;
  }
  return {};
}

ShellOutcome Shell::ip(const Words& words) {
  if (words.size() > 2 && (words[1] == "tcp_metrics" || words[1] == "tcpmetrics")) {
    if (words[2] == "flush" || words[2] == "f") machine_.stack().parts().tcp.fast_open().cache.clear();
    return {};
  }
  if (words.size() > 3 && words[1] == "route" &&
      (words[2] == "change" || words[2] == "replace" || words[2] == "add"))
    return route(words);
  return skip(fmt::format("'{}' is about something that this stack does not have", joined(words)));
}

// ip route change 192.0.2.1 via 192.168.0.2 dev tun0 advmss 600 mtu lock 640 initcwnd 11
ShellOutcome Shell::route(const Words& words) {
  if (!machine_.started()) machine_.start();
  ip::Route route;
  route.interface = machine_.interface();
  const auto bad = [&] { return fail(fmt::format("ip route: cannot read '{}'", joined(words))); };
  const std::string_view destination = words[3];
  if (destination == "default") {
    route.destination = {IpAddress::any_v4(), 0};
  } else {
    const std::size_t slash = destination.find('/');
    const auto address = IpAddress::parse(destination.substr(0, slash));
    const auto length = slash == std::string_view::npos ? std::optional<std::uint32_t>(32)
                                                        : number(destination.substr(slash + 1));
    if (!address || !address->is_v4()) return skip("ip route: only IPv4");
    if (!length || *length > 32) return bad();
    route.destination = {*address, static_cast<std::uint8_t>(*length)};
  }
  for (std::size_t i = 4; i < words.size(); ++i) {
    const std::string& key = words[i];
    if (i + 1 == words.size()) return bad();
    const bool locked = words[i + 1] == "lock" && i + 2 < words.size();
    const std::string& value = words[locked ? i + 2 : i + 1];
    i += locked ? 2 : 1;
    if (key == "via") {
      const auto gateway = IpAddress::parse(value);
      if (!gateway) return bad();
      route.gateway = *gateway;
      continue;
    }
    if (key == "dev" || key == "proto" || key == "scope") continue;  // there is one device
    if (key == "src" || key == "congctl") {
      if (key == "congctl")
        route.attributes.congctl = value;
      else
        route.preferred_source = IpAddress::parse(value);
      continue;
    }
    const auto metric = number(value);
    if (!metric) return bad();
    if (key == "mtu") {
      route.attributes.mtu = *metric;
      route.attributes.mtu_locked = locked;
    } else if (key == "advmss") {
      route.attributes.advmss = static_cast<std::uint16_t>(*metric);
    } else if (key == "initcwnd") {
      route.attributes.initcwnd = static_cast<std::uint16_t>(*metric);
    } else if (key == "initrwnd") {
      route.attributes.initrwnd = static_cast<std::uint16_t>(*metric);
    } else if (key == "hoplimit") {
      route.attributes.hop_limit = static_cast<std::uint8_t>(*metric);
    } else if (key == "metric") {
      route.metric = *metric;
    } else {
      return skip(fmt::format("ip route: no attribute '{}' here", key));
    }
  }
  if (!machine_.stack().parts().routes.replace(route))
    return fail(fmt::format("ip route: refused '{}'", joined(words)));
  machine_.stack().parts().tcp.on_routes_changed(machine_.now());
  machine_.settle();
  return {};
}

// What has been counted since the last look, "NAME VALUE 0.0" a line.
ShellOutcome Shell::nstat() {
  for (std::size_t i = 0; i < trace::kCounters; ++i) {
    const auto counter = static_cast<trace::Counter>(i);
    const std::uint64_t value = machine_.stack().counters().get(counter);
    std::uint64_t& before = counted_[i];
    if (value != before) output_ += fmt::format("{} {} 0.0\n", trace::to_string(counter), value - before);
    before = value;
  }
  return {};
}

// /proc/net/tcp as the kernel lays it out, up to the state.
std::string Shell::proc_net_tcp() const {
  std::string text = "  sl  local_address rem_address   st\n";
  struct Lines {
    std::string& text;
    int count = 0;
  } lines{text};
  machine_.stack().parts().tcp.for_each(
      [](void* context, const tcp::Engine::Row& row) {
        auto& all = *static_cast<Lines*>(context);
        const auto end = [](const Endpoint& endpoint) {
          const std::uint32_t bits = endpoint.address.is_v4() ? endpoint.address.v4_bits() : 0;
          return fmt::format("{:08X}:{:04X}", std::byteswap(bits), endpoint.port);
        };
        all.text += fmt::format("{:4}: {} {} {:02X} \n", all.count++, end(row.tuple.local),
                                end(row.tuple.remote), static_cast<int>(row.state));
      },
      &lines, machine_.now());
  return text;
}

// grep [-q] TEXT [/proc/net/tcp …]: fails when no line has it.
ShellOutcome Shell::grep(const Words& words) {
  std::size_t at = 1;
  while (at < words.size() && words[at].starts_with("-")) ++at;
  if (at == words.size()) return fail("grep: no pattern");
  const std::string& pattern = words[at++];
  std::string text = input_.value_or("");
  for (; at < words.size(); ++at) {
    if (words[at] == "/proc/net/tcp")
      text += proc_net_tcp();
    else if (words[at] != "/proc/net/tcp6")
      return skip(fmt::format("no such file here: {}", words[at]));
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.find(pattern) != std::string::npos) output_ += line + "\n";
    begin = end + 1;
  }
  return output_.empty() ? fail(fmt::format("grep: nothing has '{}'", pattern)) : ShellOutcome{};
}

// echo N > /sys/module/tcp_cubic/parameters/NAME is a knob of this stack.
ShellOutcome Shell::echo(const Words& words, const std::string& output) {
  constexpr std::string_view kModules = "/sys/module/";
  constexpr std::string_view kParameters = "/parameters/";
  const std::size_t parameters = output.find(kParameters);
  if (!output.starts_with(kModules) || parameters == std::string::npos || words.size() != 2) return {};
  const std::string module = output.substr(kModules.size(), parameters - kModules.size());
  return set(module + "." + output.substr(parameters + kParameters.size()), words[1], Origin::kScript);
}

// rm -f FILE; dd bs=1 count=5 if=/dev/zero of=FILE.
ShellOutcome Shell::file(std::string_view name, const Words& words) {
  if (name == "rm") {
    for (std::size_t i = 1; i < words.size(); ++i) machine_.files().erase(words[i]);
    return {};
  }
  std::uint32_t size = 512;
  std::uint32_t count = 0;
  std::string to;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : words[i].substr(equals + 1);
    if (key == "bs")
      size = number(value).value_or(0);
    else if (key == "count")
      count = number(value).value_or(0);
    else if (key == "of")
      to = value;
    else if (key == "if" && value != "/dev/zero")
      return skip(fmt::format("no such file here: {}", value));
  }
  if (to.empty() || size == 0) return skip(fmt::format("no such command here: '{}'", joined(words)));
  machine_.files()[to] = std::size_t{size} * count;
  return {};
}

// ethtool -K tun0 gso off tso off
ShellOutcome Shell::ethtool(const Words& words) {
  if (words.size() < 3 || words[1] != "-K")
    return skip(fmt::format("no such command here: '{}'", joined(words)));
  bool on = true;
  for (std::size_t i = 3; i + 1 < words.size(); i += 2) {
    if (words[i] != "gso" && words[i] != "tso" && words[i] != "gro")
      return skip(fmt::format("no such offload here: '{}'", joined(words)));
    if (words[i] != "gro" && words[i + 1] == "off") on = false;
  }
  machine_.set_segmentation_offload(on);
  return {};
}

ShellOutcome Shell::traffic_control(const Words& words) {
  // tc qdisc (add | replace | del) dev tun0 root [pfifo [limit N]]: what is sent leaves at once, or, with no
  // room at all, never.
  const bool root = words.size() >= 5 && words[1] == "qdisc" &&
                    std::find(words.begin(), words.end(), "root") != words.end();
  if (!root) return skip(fmt::format("no such command here: '{}'", joined(words)));
  const std::string kind = words.back() == "root" ? "" : *(std::find(words.begin(), words.end(), "root") + 1);
  if (words[2].starts_with("del") || kind.empty()) {
    machine_.set_full(false);
    return {};
  }
  // A fair queue paces.
  if (kind == "fq") return set("net.core.default_qdisc", "fq", Origin::kScript);
  if (kind != "pfifo" && kind != "bfifo" && kind != "pfifo_fast" && kind != "noqueue")
    return skip(fmt::format("'{}': there is no such queue on the device", joined(words)));
  const auto limit = std::find(words.begin(), words.end(), "limit");
  machine_.set_full(limit != words.end() && limit + 1 != words.end() && *(limit + 1) == "0");
  return {};
}

}  // namespace tapir::sim::drill
