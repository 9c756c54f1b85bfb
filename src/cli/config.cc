// SPDX-License-Identifier: Apache-2.0
#include "cli/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace tapir::cli {
namespace {

using Outcome = std::expected<void, std::string>;

class Reader {
 public:
  Reader(const std::string& file, Configured& into) : file_(file), into_(into) {}

  Outcome read(const toml::table& table) {
    for (const auto& [key, value] : table)
      if (auto done = option(key.str(), value); !done) return done;
    return {};
  }

 private:
  Outcome option(std::string_view name, const toml::node& value) {
    UpOptions& options = into_.options;
    if (name == "dev") return one(name, value, options.device);
    if (name == "peer") return one(name, value, options.peer);
    if (name == "gateway") return one(name, value, options.gateway);
    if (name == "topology") return one(name, value, options.topology);
    if (name == "uplink") return one(name, value, options.uplink);
    if (name == "also") return many(name, value, options.also, false);
    if (name == "detect-conflicts") {
      const auto wanted = value.value_exact<bool>();
      if (!wanted) return wrong(value, "detect-conflicts is true or false");
      options.detect_conflicts = *wanted;
      return {};
    }
    if (name == "vlan") {
      const auto number = value.value_exact<std::int64_t>();
      if (!number || *number < 1 || *number > 4094) return wrong(value, "vlan is a number from 1 to 4094");
      options.vlan = static_cast<std::uint32_t>(*number);
      note(name, std::to_string(*number), value);
      return {};
    }
    if (name == "pcap") return one(name, value, options.pcap);
    if (name == "impair") return one(name, value, options.impair);
    if (name == "control") return one(name, value, options.control);
    if (name == "addr") return many(name, value, options.addresses, false);
    if (name == "serve") return many(name, value, options.serve, true);
    if (name == "sysctl") return sysctls(name, value);
    if (name == "mtu") {
      const auto number = value.value_exact<std::int64_t>();
      if (!number || *number < 0 || *number > 65535) return wrong(value, "mtu is a number of bytes");
      options.mtu = static_cast<std::uint32_t>(*number);
      note(name, std::to_string(*number), value);
      return {};
    }
    return wrong(value,
                 fmt::format("there is no option '{}' (dev, addr, also, peer, gateway, topology, uplink, "
                             "vlan, detect-conflicts, mtu, serve, pcap, impair, sysctl, control)",
                             name));
  }

  Outcome one(std::string_view name, const toml::node& value, std::optional<std::string>& into) {
    const auto text = value.value_exact<std::string>();
    if (!text) return wrong(value, fmt::format("{} is a string", name));
    into = *text;
    note(name, *text, value);
    return {};
  }

  Outcome many(std::string_view name, const toml::node& value, std::vector<std::string>& into, bool commas) {
    const auto add = [&](const toml::node& element) -> Outcome {
      const auto text = element.value_exact<std::string>();
      if (!text) return wrong(element, fmt::format("{} is a string, or an array of strings", name));
      for (std::string& part : commas ? split_at_commas(*text) : std::vector{*text}) {
        note(name, part, element);
        into.push_back(std::move(part));
      }
      return {};
    };
    if (!value.is_array()) return add(value);
    for (const toml::node& element : *value.as_array())
      if (auto done = add(element); !done) return done;
    return {};
  }

  Outcome sysctls(std::string_view name, const toml::node& value) {
    if (!value.is_table()) return many(name, value, into_.options.sysctls, false);
    for (const auto& [key, element] : *value.as_table()) {
      std::string text;
      if (const auto string = element.value_exact<std::string>())
        text = *string;
      else if (const auto number = element.value_exact<std::int64_t>())
        text = std::to_string(*number);
      else if (const auto flag = element.value_exact<bool>())
        text = *flag ? "1" : "0";
      else
        return wrong(element,
                     fmt::format("the sysctl {} is a number or a string; put its name in quotes", key.str()));
      std::string assignment = fmt::format("{}={}", key.str(), text);
      note(name, assignment, element);
      into_.options.sysctls.push_back(std::move(assignment));
    }
    return {};
  }

  void note(std::string_view name, std::string_view value, const toml::node& node) {
    into_.lines[fmt::format("{}\n{}", name, value)] = node.source().begin.line;
  }
  Outcome wrong(const toml::node& node, std::string_view what) {
    return std::unexpected(fmt::format("{}:{}: {}", file_, node.source().begin.line, what));
  }

  const std::string& file_;
  Configured& into_;
};

// What the command line says goes before what the file says.
void prefer(Configured& configured, const UpOptions& command_line) {
  UpOptions& options = configured.options;
  const auto forget = [&](std::string_view name) {
    std::erase_if(configured.lines,
                  [name](const auto& line) { return line.first.starts_with(fmt::format("{}\n", name)); });
  };
  const auto one = [&](std::string_view name, auto UpOptions::* member) {
    if (!(command_line.*member)) return;
    options.*member = command_line.*member;
    forget(name);
  };
  const auto many = [&](std::string_view name, std::vector<std::string> UpOptions::* member) {
    if ((command_line.*member).empty()) return;
    options.*member = command_line.*member;
    forget(name);
  };
  one("dev", &UpOptions::device);
  one("peer", &UpOptions::peer);
  one("gateway", &UpOptions::gateway);
  one("mtu", &UpOptions::mtu);
  one("topology", &UpOptions::topology);
  one("uplink", &UpOptions::uplink);
  one("vlan", &UpOptions::vlan);
  many("also", &UpOptions::also);
  options.detect_conflicts = options.detect_conflicts || command_line.detect_conflicts;
  one("pcap", &UpOptions::pcap);
  one("impair", &UpOptions::impair);
  one("control", &UpOptions::control);
  many("addr", &UpOptions::addresses);
  many("serve", &UpOptions::serve);
  // Later ones win.
  options.sysctls.insert(options.sysctls.end(), command_line.sysctls.begin(), command_line.sysctls.end());
  options.config = command_line.config;
}

}  // namespace

std::string Configured::origin(std::string_view option, std::string_view value) const {
  if (const auto line = lines.find(fmt::format("{}\n{}", option, value)); line != lines.end())
    return fmt::format("{}:{}: {}: ", file, line->second, option);
  return fmt::format("--{}: ", option);
}

std::expected<Configured, std::string> with_config_text(const UpOptions& command_line, std::string_view text,
                                                        const std::string& file) {
  Configured configured;
  configured.file = file;
  try {
    const toml::table table = toml::parse(text, file);
    if (auto done = Reader(file, configured).read(table); !done) return std::unexpected(done.error());
  } catch (const toml::parse_error& error) {
    return std::unexpected(fmt::format("{}:{}: {}", file, error.source().begin.line, error.description()));
  }
  prefer(configured, command_line);
  return configured;
}

std::expected<Configured, std::string> with_config(const UpOptions& command_line) {
  if (!command_line.config) return with_config_text(command_line, "", "");
  std::ifstream file(*command_line.config, std::ios::binary);
  std::ostringstream text;
  // An empty file leaves the output stream failed, not the input.
  if (file) text << file.rdbuf();
  if (!file.is_open() || file.bad())
    return std::unexpected(
        fmt::format("the configuration {} cannot be read: {}", *command_line.config, std::strerror(errno)));
  return with_config_text(command_line, text.str(), *command_line.config);
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace tapir::cli
