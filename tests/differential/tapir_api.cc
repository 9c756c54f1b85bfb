// SPDX-License-Identifier: Apache-2.0
// The calls as tapir answers them: one stack, its loopback, virtual time.
#include <algorithm>
#include <array>

#include "differential/api.h"
#include "differential/segment_line.h"
#include "socket/blocking_call.h"
#include "socket/sockets.h"
#include "stack/stack.h"
#include "tcp/events.h"

namespace tapir::differential {
namespace {

using socket::Result;

template <typename T>
long answer(const Result<T>& result) {
  return result ? static_cast<long>(*result) : -static_cast<long>(result.error());
}

// A call that waits for something that never comes would hang on the kernel; here it is told.
constexpr long kHangs = -9999;

class SegmentProbe final : public trace::Probe {
 public:
  explicit SegmentProbe(const Place& place) : place_(place) {}
  void on_record(const trace::Record& record) override {
    if (record.event != static_cast<std::uint16_t>(tcp::Event::kSegmentIn)) return;
    // A segment that ends a handshake is told of the half-open connection, and again of the connection.
    const bool again =
        record.words == last_.words && record.time == last_.time && record.subject != last_.subject;
    last_ = record;
    if (again) return;
    const tcp::SegmentWords words{record.words[0], record.words[1], record.words[2], record.words[3]};
    const wire::TcpSegment segment = tcp::unpack_segment(words);
    add_segment(lines, place_, segment.src_port, segment.dst_port, segment.flags, tcp::payload_bytes(words));
  }
  std::vector<std::string> lines;

 private:
  Place place_;
  trace::Record last_{};
};

stack::StackConfig config_of(bool privileged) {
  stack::StackConfig config;
  config.seed = 1;
  config.memory_limit = std::size_t{64} << 20;
  config.privileged = privileged;
  return config;
}

class Tapir final : public Api {
 public:
  Tapir(const Place& place, bool privileged)
      : probe_(place), stack_(config_of(privileged), now_), sockets_(stack_, 3, 1024) {
    stack_.tracer().attach(&probe_);
    // Limits of buffers are the machine's, not Linux's own, and who may ping is the harness's choice: both
    // get the same.
    static const std::array<std::pair<std::string, std::string>, 5> kLimits = [] {
      std::array<std::pair<std::string, std::string>, 5> limits;
      std::size_t i = 0;
      for (const char* name : {"net.core.rmem_max", "net.core.wmem_max", "net.ipv4.tcp_rmem",
                               "net.ipv4.tcp_wmem", "net.ipv4.ping_group_range"})
        limits[i++] = {name, kernel_setting(name)};
      return limits;
    }();
    for (const auto& [name, value] : kLimits) (void)stack_.sysctl_set(name, value, now_);
  }
  ~Tapir() override { stack_.tracer().attach(nullptr); }

  long socket(int domain, int type, int protocol) override {
    return settled(sockets_.socket(domain, type, protocol, now_));
  }
  long bind(int fd, const sockaddr* address, socklen_t length) override {
    return settled(sockets_.bind(fd, address, length, now_));
  }
  long listen(int fd, int backlog) override { return settled(sockets_.listen(fd, backlog, now_)); }
  long accept4(int fd, sockaddr* address, socklen_t* length, int flags) override {
    return run(socket::BlockingAccept(fd, address, length, flags));
  }
  long connect(int fd, const sockaddr* address, socklen_t length) override {
    return run(socket::BlockingConnect(fd, address, length));
  }
  long sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
              socklen_t length) override {
    if (to != nullptr && length > sizeof(sockaddr_storage))
      return sockets_.why_no_socket(fd) != 0 ? -sockets_.why_no_socket(fd) : -EINVAL;
    iovec piece{const_cast<void*>(data), size};
    msghdr message{};
    message.msg_name = const_cast<sockaddr*>(to);
    message.msg_namelen = length;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    return run(socket::BlockingSend(fd, message, flags));
  }
  long recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* from, socklen_t* length) override {
    return run(socket::BlockingReceiveFrom(fd, data, size, flags, from, length));
  }
  long sendmsg(int fd, const msghdr* message, int flags) override {
    if (message == nullptr) return answer(sockets_.sendmsg(fd, message, flags, now_));
    return run(socket::BlockingSend(fd, *message, flags));
  }
  long recvmsg(int fd, msghdr* message, int flags) override {
    return run(socket::BlockingReceive(fd, message, flags));
  }
  long sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) override {
    return run(socket::BlockingSendMany(fd, messages, count, flags));
  }
  long recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) override {
    return run(socket::BlockingReceiveMany(fd, messages, count, flags, timeout));
  }
  long readv(int fd, const iovec* pieces, int count) override {
    return run(socket::BlockingReadVector(fd, pieces, count));
  }
  long writev(int fd, const iovec* pieces, int count) override {
    return run(socket::BlockingWriteVector(fd, pieces, count));
  }
  long shutdown(int fd, int how) override { return settled(sockets_.shutdown(fd, how, now_)); }
  long close(int fd) override { return run(socket::LingeringClose(fd)); }
  long dup(int fd) override { return settled(sockets_.dup(fd)); }
  long dup3(int fd, int to, int flags) override { return settled(sockets_.dup3(fd, to, flags, now_)); }
  long getsockname(int fd, sockaddr* address, socklen_t* length) override {
    return settled(sockets_.getsockname(fd, address, length));
  }
  long getpeername(int fd, sockaddr* address, socklen_t* length) override {
    return settled(sockets_.getpeername(fd, address, length));
  }
  long getsockopt(int fd, int level, int name, void* value, socklen_t* length) override {
    return settled(sockets_.getsockopt(fd, level, name, value, length, now_));
  }
  long setsockopt(int fd, int level, int name, const void* value, socklen_t length) override {
    return settled(sockets_.setsockopt(fd, level, name, value, length, now_));
  }
  long ioctl(int fd, unsigned long request, void* argument) override {
    return settled(sockets_.ioctl(fd, request, argument, now_));
  }
  long fcntl(int fd, int command, long argument) override {
    return settled(sockets_.fcntl(fd, command, argument));
  }
  long poll(pollfd* descriptors, nfds_t count, int timeout_ms) override {
    return run(socket::BlockingPoll(std::span(descriptors, count), std::chrono::milliseconds(timeout_ms)));
  }
  long epoll_create1(int flags) override { return settled(sockets_.epoll_create1(flags)); }
  long epoll_ctl(int set, int operation, int fd, epoll_event* event) override {
    return settled(sockets_.epoll_ctl(set, operation, fd, event, now_));
  }
  long epoll_wait(int set, epoll_event* events, int most, int timeout_ms) override {
    return run(socket::BlockingEpollWait(set, std::span(events, static_cast<std::size_t>(std::max(most, 0))),
                                         std::chrono::milliseconds(timeout_ms)));
  }
  void pass(int milliseconds) override { advance(now_ + std::chrono::milliseconds(milliseconds)); }
  long now_milliseconds() override { return static_cast<long>(to_msec(now_.time_since_epoch())); }
  std::vector<std::string> segments() override { return std::exchange(probe_.lines, {}); }

 private:
  // All that is to be done now.
  void settle() {
    for (int round = 0; round < 1000; ++round) {
      stack_.poll_output(now_);
      (void)sockets_.take_woken(now_);
      if (stack_.next_timeout() > now_) return;
      stack_.turn(now_);
    }
  }
  void advance(Instant until) {
    settle();
    while (stack_.next_timeout() <= until) {
      now_ = std::max(now_, stack_.next_timeout());
      stack_.turn(now_);
      settle();
    }
    now_ = until;
    settle();
  }
  template <typename T>
  long settled(const Result<T>& result) {
    settle();
    now_ += std::chrono::microseconds(2);  // a call takes its time
    return answer(result);
  }
  template <typename Call>
  long run(Call call) {
    for (int steps = 0; steps < 100'000; ++steps) {
      if (const auto done = call.step(sockets_, now_)) return settled(*done);
      settle();
      if (const auto done = call.step(sockets_, now_)) return settled(*done);
      const Instant next = std::min(call.deadline(), stack_.next_timeout());
      if (next == kNever) return kHangs;
      now_ = std::max(now_, next);
      stack_.turn(now_);
      settle();
    }
    return kHangs;
  }

  SegmentProbe probe_;
  Instant now_ = Instant(std::chrono::hours(1));
  stack::Stack stack_;
  socket::Sockets sockets_;
};

}  // namespace

std::unique_ptr<Api> make_tapir(const Place& place, bool privileged) {
  return std::make_unique<Tapir>(place, privileged);
}

}  // namespace tapir::differential
