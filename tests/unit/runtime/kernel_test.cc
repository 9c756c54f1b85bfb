// SPDX-License-Identifier: Apache-2.0
// A running stack and the kernel, over a TAP device or a packet socket, in a network namespace of their own.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <thread>

#include "drivers/netdev.h"
#include "runtime/stack_host.h"
#include "unit/drivers/in_namespace.h"

namespace tapir::runtime {
namespace {

const IpPrefix kOurs = *IpPrefix::parse("10.0.0.1/24");
const IpPrefix kKernels = *IpPrefix::parse("10.0.0.2/24");

// Makes the device of the kernel's interface; answers why it cannot.
using Opener = std::string (*)(StackHost&);

std::string over_tap(StackHost& host) {
  const auto id = host.add_tap({.name = "tap0"}, {.name = "", .addresses = {kOurs}});
  if (!id) return id.error();
  EXPECT_TRUE(drivers::add_address("tap0", kKernels));
  EXPECT_TRUE(drivers::set_link_up("tap0"));
  return "";
}

std::string over_packet(StackHost& host) {
  if (auto made = drivers::create_veth_pair("vethk", "vetht"); !made) return made.error();
  EXPECT_TRUE(drivers::set_link_up("vetht"));
  EXPECT_TRUE(drivers::add_address("vethk", kKernels));
  EXPECT_TRUE(drivers::set_link_up("vethk"));
  const auto id = host.add_packet({.interface = "vetht"}, {.name = "", .addresses = {kOurs}});
  EXPECT_TRUE(id);
  return "";
}

sockaddr_in at(std::uint32_t ip, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(ip);
  a.sin_port = htons(port);
  return a;
}
const sockaddr* raw(const sockaddr_in& a) { return reinterpret_cast<const sockaddr*>(&a); }

class KernelTest : public testing::TestWithParam<Opener> {
 protected:
  template <typename Body>
  void against_kernel(Body body) {
    drivers::run_in_namespace([&]() -> std::string {
      StackHost host;
      const std::string why_not = GetParam()(host);
      if (!why_not.empty() || testing::Test::HasFailure()) return why_not;
      body(host);
      return "";
    });
  }
};

Descriptor listen(StackHost& host, std::uint16_t port) {
  const auto fd = host.socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = at(0x0a000001, port);
  EXPECT_TRUE(host.bind(*fd, raw(address), sizeof address));
  EXPECT_TRUE(host.listen(*fd, 8));
  return *fd;
}

TEST_P(KernelTest, ThePingOfTheKernelIsAnswered) {
  against_kernel([](StackHost&) {
    // The service thread alone answers. 60,000 bytes come in fragments.
    EXPECT_EQ(std::system("ping -c 3 -i 0.2 -W 5 10.0.0.1 >/dev/null"), 0);
    EXPECT_EQ(std::system("ping -c 1 -s 60000 -W 5 10.0.0.1 >/dev/null"), 0);
  });
}

// The kernel's program sends and reads back 4 MB; the stack's echoes.
TEST_P(KernelTest, TheKernelTalksToAServer) {
  against_kernel([](StackHost& host) {
    const Descriptor listener = listen(host, 7);
    std::thread serving([&] {
      const auto fd = host.accept(listener);
      ASSERT_TRUE(fd);
      std::vector<char> buffer(65536);
      for (;;) {
        const auto n = host.recv(*fd, buffer.data(), buffer.size());
        ASSERT_TRUE(n);
        if (*n == 0) break;
        ASSERT_EQ(host.send(*fd, buffer.data(), static_cast<std::size_t>(*n)), *n);
      }
      EXPECT_TRUE(host.close(*fd));
    });
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in to = at(0x0a000001, 7);
    ASSERT_EQ(::connect(fd, raw(to), sizeof to), 0);
    constexpr std::size_t kAll = std::size_t{4} << 20;
    std::string said(kAll, '\0');
    for (std::size_t i = 0; i < kAll; ++i) said[i] = static_cast<char>(i * 31 + i / 1000);
    std::thread sending([&] {
      EXPECT_EQ(::send(fd, said.data(), said.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kAll));
      ::shutdown(fd, SHUT_WR);
    });
    std::string heard(kAll, '\0');
    EXPECT_EQ(::recv(fd, heard.data(), kAll, MSG_WAITALL), static_cast<ssize_t>(kAll));
    EXPECT_TRUE(heard == said);
    char byte = 0;
    EXPECT_EQ(::recv(fd, &byte, 1, 0), 0);
    sending.join();
    serving.join();
    ::close(fd);
  });
}

TEST_P(KernelTest, AClientTalksToTheKernel) {
  against_kernel([](StackHost& host) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = at(0x0a000002, 8080);
    ASSERT_EQ(::bind(listener, raw(address), sizeof address), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    std::thread serving([&] {
      const int fd = ::accept(listener, nullptr, nullptr);
      std::array<char, 100> buffer;
      const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
      ASSERT_GT(n, 0);
      EXPECT_EQ(::send(fd, buffer.data(), static_cast<std::size_t>(n), 0), n);
      ::close(fd);
    });
    const auto fd = host.socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_TRUE(host.connect(*fd, raw(address), sizeof address));
    ASSERT_EQ(host.send(*fd, "hello", 5), 5);
    std::array<char, 100> buffer;
    EXPECT_EQ(host.recv(*fd, buffer.data(), buffer.size()), 5);
    EXPECT_EQ(host.recv(*fd, buffer.data(), buffer.size()), 0);
    EXPECT_TRUE(host.close(*fd));
    serving.join();
    const auto refused = host.socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in nobody = at(0x0a000002, 9);
    const auto result = host.connect(*refused, raw(nobody), sizeof nobody);
    ASSERT_FALSE(result);
    EXPECT_EQ(static_cast<int>(result.error()), ECONNREFUSED);
  });
}

TEST_P(KernelTest, AnInterfaceThatGoesAwayCostsNoTime) {
  against_kernel([](StackHost& host) {
    EXPECT_TRUE(drivers::delete_link(drivers::link_exists("tap0") ? "tap0" : "vethk"));
    const auto fd = host.socket(AF_INET, SOCK_DGRAM, 0);
    const timeval timeout{0, 200'000};
    ASSERT_TRUE(host.setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
    const HostStats before = host.stats();
    char byte = 0;
    EXPECT_FALSE(host.recv(*fd, &byte, 1));
    EXPECT_LE(host.stats().polls - before.polls, 100U);
  });
}

INSTANTIATE_TEST_SUITE_P(Over, KernelTest, testing::Values(over_tap, over_packet),
                         [](const testing::TestParamInfo<Opener>& opener) {
                           return std::string(opener.index == 0 ? "Tap" : "Packet");
                         });

}  // namespace
}  // namespace tapir::runtime
