// SPDX-License-Identifier: Apache-2.0
#include "differential/fairness.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "differential/api.h"

namespace tapir::differential {
namespace {

constexpr std::size_t kSharers = 4;
constexpr int kClients = 400;
// A hash gives each of four a hundred of four hundred, give or take nine; this far off is never met by
// chance.
constexpr int kLeast = 55;
constexpr int kMost = 145;

using Shares = std::array<int, kSharers>;

Shares shares_of(Api& api, const Place& place, int type) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(place.port_base));
  at.sin_addr.s_addr = htonl(0x7f000001 | place.net << 8);
  const auto* address = reinterpret_cast<const sockaddr*>(&at);
  std::array<int, kSharers> sharers{};
  const int one = 1;
  for (int& fd : sharers) {
    fd = static_cast<int>(api.socket(AF_INET, type | SOCK_NONBLOCK, 0));
    api.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    api.bind(fd, address, sizeof at);
    if (type == SOCK_STREAM) api.listen(fd, kClients);
  }
  std::vector<int> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(static_cast<int>(api.socket(AF_INET, type | SOCK_NONBLOCK, 0)));
    api.connect(clients.back(), address, sizeof at);
    if (type == SOCK_DGRAM) api.sendto(clients.back(), "x", 1, 0, nullptr, 0);
  }
  api.pass(20);
  Shares shares{};
  for (std::size_t i = 0; i < kSharers; ++i) {
    for (;;) {
      char byte = 0;
      const long got = type == SOCK_STREAM ? api.accept4(sharers[i], nullptr, nullptr, 0)
                                           : api.recvfrom(sharers[i], &byte, 1, 0, nullptr, nullptr);
      if (got < 0) break;
      ++shares[i];
      if (type == SOCK_STREAM) api.close(static_cast<int>(got));
    }
    api.close(sharers[i]);
  }
  for (const int fd : clients) api.close(fd);
  return shares;
}

bool fair(const char* world, const char* kind, const Shares& shares) {
  std::printf("%s, %s:", world, kind);
  int total = 0;
  for (const int share : shares) {
    std::printf(" %d", share);
    total += share;
  }
  const auto [least, most] = std::minmax_element(shares.begin(), shares.end());
  const bool is = total == kClients && *least >= kLeast && *most <= kMost;
  std::printf("%s\n", is ? "" : "  UNFAIR");
  return is;
}

}  // namespace

bool shares_are_fair() {
  const Place place{20'000, 300};
  bool all = true;
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    const char* kind = type == SOCK_STREAM ? "connections" : "datagrams";
    const auto kernel = make_kernel(place);
    all &= fair("kernel", kind, shares_of(*kernel, place, type));
    const auto tapir = make_tapir(place, true);
    all &= fair("tapir", kind, shares_of(*tapir, place, type));
  }
  return all;
}

}  // namespace tapir::differential
