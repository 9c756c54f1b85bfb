// SPDX-License-Identifier: Apache-2.0
// The calls as the kernel answers them.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include "differential/api.h"
#include "differential/segment_line.h"
#include "drivers/netns.h"

namespace tapir::differential {
namespace {

long answer(long result) { return result < 0 ? -errno : result; }

// A packet socket on all interfaces of the namespace. One for all scripts, as closing one takes the kernel
// long.
int g_capture = -1;

class Kernel final : public Api {
 public:
  Kernel(const Place& place, int capture) : place_(place), capture_(capture) { (void)segments(); }

  long socket(int domain, int type, int protocol) override {
    return answer(::socket(domain, type, protocol));
  }
  long bind(int fd, const sockaddr* address, socklen_t length) override {
    return answer(::bind(fd, address, length));
  }
  long listen(int fd, int backlog) override { return answer(::listen(fd, backlog)); }
  long accept4(int fd, sockaddr* address, socklen_t* length, int flags) override {
    return answer(::accept4(fd, address, length, flags));
  }
  long connect(int fd, const sockaddr* address, socklen_t length) override {
    return answer(::connect(fd, address, length));
  }
  long sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
              socklen_t length) override {
    return answer(::sendto(fd, data, size, flags, to, length));
  }
  long recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* from, socklen_t* length) override {
    return answer(::recvfrom(fd, data, size, flags, from, length));
  }
  long sendmsg(int fd, const msghdr* message, int flags) override {
    return answer(::sendmsg(fd, message, flags));
  }
  long recvmsg(int fd, msghdr* message, int flags) override { return answer(::recvmsg(fd, message, flags)); }
  long sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) override {
    return answer(::sendmmsg(fd, messages, count, flags));
  }
  long recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) override {
    return answer(::recvmmsg(fd, messages, count, flags, timeout));
  }
  long readv(int fd, const iovec* pieces, int count) override { return answer(::readv(fd, pieces, count)); }
  long writev(int fd, const iovec* pieces, int count) override { return answer(::writev(fd, pieces, count)); }
  long shutdown(int fd, int how) override { return answer(::shutdown(fd, how)); }
  long close(int fd) override { return answer(::close(fd)); }
  long dup(int fd) override { return answer(::dup(fd)); }
  long dup3(int fd, int to, int flags) override { return answer(::dup3(fd, to, flags)); }
  long getsockname(int fd, sockaddr* address, socklen_t* length) override {
    return answer(::getsockname(fd, address, length));
  }
  long getpeername(int fd, sockaddr* address, socklen_t* length) override {
    return answer(::getpeername(fd, address, length));
  }
  long getsockopt(int fd, int level, int name, void* value, socklen_t* length) override {
    return answer(::getsockopt(fd, level, name, value, length));
  }
  long setsockopt(int fd, int level, int name, const void* value, socklen_t length) override {
    return answer(::setsockopt(fd, level, name, value, length));
  }
  long ioctl(int fd, unsigned long request, void* argument) override {
    return answer(::ioctl(fd, request, argument));
  }
  long fcntl(int fd, int command, long argument) override { return answer(::fcntl(fd, command, argument)); }
  long poll(pollfd* descriptors, nfds_t count, int timeout_ms) override {
    return answer(::poll(descriptors, count, timeout_ms));
  }
  long epoll_create1(int flags) override { return answer(::epoll_create1(flags)); }
  long epoll_ctl(int set, int operation, int fd, epoll_event* event) override {
    return answer(::epoll_ctl(set, operation, fd, event));
  }
  long epoll_wait(int set, epoll_event* events, int most, int timeout_ms) override {
    return answer(::epoll_wait(set, events, most, timeout_ms));
  }
  void pass(int milliseconds) override {
    const timespec time{milliseconds / 1000, (milliseconds % 1000) * 1'000'000L};
    ::nanosleep(&time, nullptr);
  }
  long now_milliseconds() override {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
  }
  std::vector<std::string> segments() override {
    std::vector<std::string> lines;
    std::array<unsigned char, 200> packet;
    for (;;) {
      sockaddr_ll from{};
      socklen_t length = sizeof(from);
      const ssize_t size = ::recvfrom(capture_, packet.data(), packet.size(), MSG_TRUNC,
                                      reinterpret_cast<sockaddr*>(&from), &length);
      if (size < 0) break;
      if (from.sll_pkttype == PACKET_OUTGOING) continue;  // seen again when it comes in
      const auto* ip = reinterpret_cast<const iphdr*>(packet.data());
      if (ip->protocol != IPPROTO_TCP || size < ip->ihl * 4 + 20) continue;
      const auto* tcp = reinterpret_cast<const tcphdr*>(packet.data() + ip->ihl * 4);
      const int payload = ntohs(ip->tot_len) - ip->ihl * 4 - tcp->doff * 4;
      add_segment(lines, place_, ntohs(tcp->source), ntohs(tcp->dest),
                  packet[static_cast<std::size_t>(ip->ihl) * 4 + 13], static_cast<unsigned>(payload));
    }
    return lines;
  }

 private:
  Place place_;
  int capture_;
};

}  // namespace

std::unique_ptr<Api> make_kernel(const Place& place) { return std::make_unique<Kernel>(place, g_capture); }

bool enter_fresh_namespace(std::string& why) {
  const auto entered = drivers::enter_private_network_namespace();
  if (!entered) {
    why = entered.error();
    return false;
  }
  // The kernel's default may be any; reno is what every machine has and allows.
  const int control = ::open("/proc/sys/net/ipv4/tcp_congestion_control", O_WRONLY | O_CLOEXEC);
  const bool chosen = control >= 0 && ::write(control, "reno", 4) == 4;
  ::close(control);
  // Ping sockets for all, as on most distributions.
  const int range = ::open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
  constexpr std::string_view kAll = "0 2147483647";
  (void)!::write(range, kAll.data(), kAll.size());
  ::close(range);
  if (!chosen) why = "net.ipv4.tcp_congestion_control cannot be set to reno";
  if (g_capture >= 0) ::close(g_capture);
  const int low = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
  // High, so that the numbers of the scripts' own descriptors are small.
  g_capture = ::fcntl(low, F_DUPFD_CLOEXEC, 900);
  ::close(low);
  return chosen;
}

std::string kernel_setting(const std::string& name) {
  std::string path = name;
  std::replace(path.begin(), path.end(), '.', '/');
  std::ifstream file("/proc/sys/" + path);
  std::string value;
  std::getline(file, value);
  return value;
}

bool use_privileges(bool use) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  for (__user_cap_data_struct& half : data) half.effective = use ? half.permitted : 0;
  return ::syscall(SYS_capset, &header, data) == 0;
}

}  // namespace tapir::differential
