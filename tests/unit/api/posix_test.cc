// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <tapir/posix.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

namespace {

class PosixTest : public testing::Test {
 protected:
  void SetUp() override {
    one_ = tapir_stack_create();
    other_ = tapir_stack_create();
    ASSERT_EQ(tapir_add_cable(one_, "10.0.0.1/24", other_, "10.0.0.2/24"), 0) << tapir_error();
  }
  void TearDown() override {
    tapir_stack_destroy(one_);
    tapir_stack_destroy(other_);
  }

  static sockaddr_in at(const char* ip, std::uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    ::inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
  }
  static const sockaddr* raw(const sockaddr_in& a) { return reinterpret_cast<const sockaddr*>(&a); }
  int listener(std::uint16_t port) {
    const int fd = tapir_socket(one_, AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = at("10.0.0.1", port);
    EXPECT_EQ(tapir_bind(one_, fd, raw(address), sizeof address), 0) << std::strerror(errno);
    EXPECT_EQ(tapir_listen(one_, fd, 8), 0);
    return fd;
  }

  tapir_stack* one_ = nullptr;
  tapir_stack* other_ = nullptr;
};

TEST_F(PosixTest, AConnection) {
  const int listening = listener(80);
  EXPECT_EQ(listening, 3);
  const int out = tapir_socket(other_, AF_INET, SOCK_STREAM, 0);
  const sockaddr_in to = at("10.0.0.1", 80);
  ASSERT_EQ(tapir_connect(other_, out, raw(to), sizeof to), 0) << std::strerror(errno);
  sockaddr_in who{};
  socklen_t length = sizeof who;
  const int in = tapir_accept(one_, listening, reinterpret_cast<sockaddr*>(&who), &length);
  ASSERT_GE(in, 0);
  EXPECT_EQ(length, sizeof who);
  EXPECT_EQ(who.sin_addr.s_addr, at("10.0.0.2", 0).sin_addr.s_addr);

  EXPECT_EQ(tapir_write(other_, out, "hello", 5), 5);
  pollfd waiting{in, POLLIN, 0};
  EXPECT_EQ(tapir_poll(one_, &waiting, 1, 5000), 1);
  int readable = 0;
  EXPECT_EQ(tapir_ioctl(one_, in, FIONREAD, &readable), 0);
  EXPECT_EQ(readable, 5);
  char buffer[100];
  EXPECT_EQ(tapir_read(one_, in, buffer, sizeof buffer), 5);
  EXPECT_EQ(std::string(buffer, 5), "hello");
  EXPECT_EQ(tapir_recv(one_, in, buffer, sizeof buffer, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(tapir_fcntl(one_, in, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(tapir_read(one_, in, buffer, sizeof buffer), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(tapir_shutdown(other_, out, SHUT_WR), 0);
  EXPECT_EQ(tapir_poll(one_, &waiting, 1, 5000), 1);
  EXPECT_EQ(tapir_read(one_, in, buffer, sizeof buffer), 0);
  EXPECT_EQ(tapir_close(one_, in), 0);
  EXPECT_EQ(tapir_read(other_, out, buffer, sizeof buffer), 0);
  EXPECT_EQ(tapir_close(other_, out), 0);
}

TEST_F(PosixTest, EpollWaits) {
  const int listening = listener(80);
  const int epoll = tapir_epoll_create1(one_, 0);
  ASSERT_GE(epoll, 0);
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  wanted.data.u32 = 7;
  ASSERT_EQ(tapir_epoll_ctl(one_, epoll, EPOLL_CTL_ADD, listening, &wanted), 0);
  epoll_event got{};
  EXPECT_EQ(tapir_epoll_wait(one_, epoll, &got, 1, 0), 0);
  EXPECT_EQ(tapir_epoll_wait(one_, epoll, &got, 0, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  const int out = tapir_socket(other_, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const sockaddr_in to = at("10.0.0.1", 80);
  ASSERT_EQ(tapir_connect(other_, out, raw(to), sizeof to), -1);
  EXPECT_EQ(errno, EINPROGRESS);
  EXPECT_EQ(tapir_epoll_wait(one_, epoll, &got, 1, 5000), 1);
  EXPECT_EQ(std::uint32_t{got.data.u32}, 7U);
}

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  void put() { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
  void take() {
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
  }
  int ends[2];
};

epoll_event wanting(std::uint32_t events, std::uint32_t name) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = name;
  return event;
}

TEST_F(PosixTest, ASetHoldsDescriptorsOfBothKinds) {
  const int listening = listener(80);
  const int set = tapir_epoll_create1(one_, 0);
  Pipe pipe;
  epoll_event ours = wanting(EPOLLIN, 1);
  epoll_event kernels = wanting(EPOLLIN, 2);
  ASSERT_EQ(tapir_epoll_ctl(one_, set, EPOLL_CTL_ADD, listening, &ours), 0);
  ASSERT_EQ(tapir_epoll_ctl_kernel(one_, set, EPOLL_CTL_ADD, pipe.ends[0], &kernels), 0);
  EXPECT_EQ(tapir_epoll_ctl_kernel(one_, set, EPOLL_CTL_ADD, pipe.ends[0], &kernels), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(tapir_epoll_ctl_kernel(one_, listening, EPOLL_CTL_ADD, pipe.ends[0], &kernels), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(tapir_epoll_ctl_kernel(one_, 99, EPOLL_CTL_ADD, pipe.ends[0], &kernels), -1);
  EXPECT_EQ(errno, EBADF);

  epoll_event got[4];
  EXPECT_EQ(tapir_epoll_wait(one_, set, got, 4, 0), 0);
  // Either wakes a thread that waits.
  std::thread putting([&] { pipe.put(); });
  ASSERT_EQ(tapir_epoll_wait(one_, set, got, 4, 10'000), 1);
  EXPECT_EQ(std::uint64_t{got[0].data.u64}, 2U);
  putting.join();
  pipe.take();
  std::thread connecting([&] {
    const int out = tapir_socket(other_, AF_INET, SOCK_STREAM, 0);
    const sockaddr_in to = at("10.0.0.1", 80);
    EXPECT_EQ(tapir_connect(other_, out, raw(to), sizeof to), 0);
  });
  ASSERT_EQ(tapir_epoll_wait(one_, set, got, 4, 10'000), 1);
  EXPECT_EQ(std::uint64_t{got[0].data.u64}, 1U);
  connecting.join();
  // A busy set asks the kernel now and then.
  pipe.put();
  bool both = false;
  for (int i = 0; i < 64 && !both; ++i) both = tapir_epoll_wait(one_, set, got, 4, 0) == 2;
  EXPECT_TRUE(both);
  EXPECT_EQ(tapir_epoll_ctl_kernel(one_, set, EPOLL_CTL_DEL, pipe.ends[0], nullptr), 0);
  for (int i = 0; i < 128; ++i) ASSERT_EQ(tapir_epoll_wait(one_, set, got, 4, 0), 1);
}

TEST_F(PosixTest, SetsOfBothKindsNest) {
  const int listening = listener(80);
  const int inner = tapir_epoll_create1(one_, 0);
  const int outer = tapir_epoll_create1(one_, 0);
  Pipe pipe;
  epoll_event ours = wanting(EPOLLIN, 1);
  epoll_event kernels = wanting(EPOLLIN, 2);
  epoll_event set = wanting(EPOLLIN, 3);
  ASSERT_EQ(tapir_epoll_ctl(one_, outer, EPOLL_CTL_ADD, inner, &set), 0);
  ASSERT_EQ(tapir_epoll_ctl(one_, inner, EPOLL_CTL_ADD, listening, &ours), 0);
  ASSERT_EQ(tapir_epoll_ctl_kernel(one_, inner, EPOLL_CTL_ADD, pipe.ends[0], &kernels), 0);
  EXPECT_EQ(tapir_epoll_ctl(one_, inner, EPOLL_CTL_ADD, outer, &set), -1);
  EXPECT_EQ(errno, ELOOP);
  epoll_event got[4];
  EXPECT_EQ(tapir_epoll_wait(one_, outer, got, 4, 0), 0);
  pipe.put();
  ASSERT_EQ(tapir_epoll_wait(one_, outer, got, 4, 10'000), 1);
  EXPECT_EQ(std::uint64_t{got[0].data.u64}, 3U);
  const int same = tapir_dup(one_, inner);
  EXPECT_EQ(tapir_close(one_, inner), 0);
  ASSERT_EQ(tapir_epoll_wait(one_, same, got, 4, 10'000), 1) << "a duplicate is the same set";
  EXPECT_EQ(std::uint64_t{got[0].data.u64}, 2U);
  pipe.take();
  EXPECT_EQ(tapir_epoll_wait(one_, outer, got, 4, 0), 0);
}

TEST_F(PosixTest, ErrorsAreLibcs) {
  EXPECT_EQ(tapir_close(one_, 99), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(tapir_socket(one_, AF_INET, 99, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(tapir_sendmsg(one_, 3, nullptr, 0), -1);
}

TEST_F(PosixTest, SetUpErrorsAreSentences) {
  EXPECT_EQ(tapir_add_tap(one_, "tap0", "10.0.0"), -1);
  EXPECT_STREQ(tapir_error(), "'10.0.0' is no address with a prefix length, such as 10.0.0.1/24");
  EXPECT_EQ(tapir_add_route(one_, "0.0.0.0/0", "10.9.0.1"), -1);
  EXPECT_STREQ(tapir_error(), "the gateway 10.9.0.1 is on no link of this stack");
  EXPECT_EQ(tapir_add_route(one_, "0.0.0.0/0", "10.0.0.9"), 0);
  EXPECT_EQ(tapir_add_packet(one_, "nosuch0", "10.0.1.1/24"), -1);
  EXPECT_STREQ(tapir_error(), "there is no interface 'nosuch0' in this network namespace");
  EXPECT_EQ(tapir_sysctl(one_, "net.ipv4.tcp_syn_retries", "3"), 0);
  EXPECT_EQ(tapir_sysctl(one_, "no.such.knob", "3"), -1);
}

}  // namespace
