// SPDX-License-Identifier: Apache-2.0
// What `tapir run`, or who preloads the library by hand, says in the environment:
//
//   TAPIR_ADDR=10.0.0.1/24      the stack's addresses, at commas
//   TAPIR_DEV=tap0              a TAP interface to make; TAPIR_DEVICE_FD=5: one that is open already (`tapir
//   run`) TAPIR_PEER=10.0.0.2/24      the kernel's end of TAPIR_DEV TAPIR_GATEWAY=10.0.0.2      the default
//   route TAPIR_DNS=10.0.0.2          name servers, at commas; none: those of /etc/resolv.conf
//   TAPIR_ONLY=tcp:80,8000-9000 TAPIR_EXCEPT=127.0.0.0/8    rules.h
//   TAPIR_SYSCTL=net.ipv4.tcp_sack=0;…    TAPIR_PCAP=FILE    TAPIR_CONTROL=SOCKET
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inet/ip_address.h"
#include "preload/rules.h"

namespace tapir::preload {

struct Settings {
  std::vector<IpPrefix> addresses;
  std::optional<std::string> device;
  std::optional<int> device_fd;
  std::optional<IpPrefix> peer;
  std::optional<IpAddress> gateway;
  std::vector<IpAddress> name_servers;
  Rules rules;
  std::vector<std::pair<std::string, std::string>> sysctls;
  std::optional<std::string> pcap;
  std::optional<std::string> control;
};

// Reads the environment; an error is one sentence.
std::expected<Settings, std::string> read_settings();

std::vector<std::string> split(std::string_view text, char separator);

}  // namespace tapir::preload
