// SPDX-License-Identifier: Apache-2.0
#include "preload/settings.h"

#include <charconv>
#include <cstdlib>

namespace tapir::preload {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::unexpected<std::string> wrong(const char* name, const std::string& value, const char* what) {
  return std::unexpected(std::string(name) + "=" + value + ": " + what);
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end != 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::expected<Settings, std::string> read_settings() {
  Settings settings;
  const std::string addresses = variable("TAPIR_ADDR").value_or("10.0.0.1/24");
  for (const std::string& text : split(addresses, ',')) {
    const auto prefix = IpPrefix::parse(text);
    if (!prefix || !prefix->address.is_v4())
      return wrong("TAPIR_ADDR", text, "that is no IPv4 address with a prefix length, like 10.0.0.1/24");
    settings.addresses.push_back(*prefix);
  }
  settings.device = variable("TAPIR_DEV");
  if (const auto text = variable("TAPIR_DEVICE_FD")) {
    int fd = -1;
    if (std::from_chars(text->data(), text->data() + text->size(), fd).ec != std::errc() || fd < 0)
      return wrong("TAPIR_DEVICE_FD", *text, "that is no descriptor");
    settings.device_fd = fd;
  }
  if (const auto text = variable("TAPIR_PEER")) {
    settings.peer = IpPrefix::parse(*text);
    if (!settings.peer)
      return wrong("TAPIR_PEER", *text, "that is no IPv4 address with a prefix length, like 10.0.0.2/24");
  }
  if (const auto text = variable("TAPIR_GATEWAY")) {
    settings.gateway = IpAddress::parse(*text);
    if (!settings.gateway) return wrong("TAPIR_GATEWAY", *text, "that is no IPv4 address");
  }
  for (const std::string& text : split(variable("TAPIR_DNS").value_or(""), ',')) {
    const auto address = IpAddress::parse(text);
    if (!address || !address->is_v4()) return wrong("TAPIR_DNS", text, "that is no IPv4 address");
    settings.name_servers.push_back(*address);
  }
  auto rules = parse_rules(variable("TAPIR_ONLY").value_or(""), variable("TAPIR_EXCEPT").value_or(""));
  if (!rules) return std::unexpected(rules.error());
  settings.rules = std::move(*rules);
  for (const std::string& text : split(variable("TAPIR_SYSCTL").value_or(""), ';')) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) return wrong("TAPIR_SYSCTL", text, "that is no NAME=VALUE");
    settings.sysctls.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  settings.pcap = variable("TAPIR_PCAP");
  settings.control = variable("TAPIR_CONTROL");
  return settings;
}

}  // namespace tapir::preload
