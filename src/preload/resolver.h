// SPDX-License-Identifier: Apache-2.0
// Names asked over tapir's sockets. libc's own resolver makes its system calls inside libc, where nothing can
// be put in front of it: it would ask over the kernel. c-ares is a part of this library, and its socket calls
// are the program's.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "inet/ip_address.h"

namespace tapir::preload {

// How a question ended, in c-ares's words (ARES_SUCCESS, ARES_ENOTFOUND …).
using AresStatus = int;

struct HostAnswer {
  AresStatus status = 0;
  std::string canonical;
  std::vector<std::string> aliases;
  std::vector<IpAddress> addresses;  // IPv4; the stack has no other
};

// /etc/hosts, then the name servers (--dns, else /etc/resolv.conf's). Waits as long as resolv.conf says.
HostAnswer resolve_host(const std::string& name);
// The names of an address.
HostAnswer resolve_address(const IpAddress& address);

struct RawAnswer {
  AresStatus status = 0;
  std::vector<std::uint8_t> message;  // as it came; also with an error that it tells
};
enum class RawQuestion : unsigned char { kQuery, kSearch };
// res_query(3), res_search(3).
RawAnswer ask_raw(RawQuestion how, const char* name, int dns_class, int type);
// res_send(3).
RawAnswer send_raw(std::span<const std::uint8_t> question);

// netdb.h's h_errno, and getaddrinfo(3)'s error, for a status.
int h_errno_of(AresStatus status);
int eai_of(AresStatus status);

}  // namespace tapir::preload
