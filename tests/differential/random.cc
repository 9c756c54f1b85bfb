// SPDX-License-Identifier: Apache-2.0
#include "differential/random.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <array>

#include "base/rng.h"

namespace tapir::differential {
namespace {

constexpr int kSlots = 5;  // 0 and 1 listeners, 2 … 4 clients and children
constexpr int kCallsMax = 40;

// Calls, with weights that keep most sequences meaningful: sockets that connect, talk, and end in every way.
class Generator {
 public:
  explicit Generator(unsigned long seed) : rng_(seed) {}

  Script script() {
    Script out;
    const bool datagrams = pick(4) == 0;
    const long type = (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK;
    out.push_back({Call::kSocket, 0, AF_INET, type, 0});
    if (pick(3) != 0)
      out.push_back({Call::kBind, 0, n(pick(4) == 0 ? Address::kAny : Address::kOwn), n(Port::kP0)});
    if (!datagrams) out.push_back({Call::kListen, 0, static_cast<long>(pick(4))});
    out.push_back({Call::kSocket, 2, AF_INET, type, 0});
    out.push_back({Call::kConnect, 2, n(Address::kOwn), n(Port::kP0)});
    if (!datagrams) out.push_back({Call::kAccept, 0, SOCK_NONBLOCK, 3, n(Shape::kNullValue)});
    const unsigned length = 4 + pick(kCallsMax - 10);
    for (unsigned i = 0; i < length; ++i) out.push_back(call(type));
    return out;
  }

 private:
  static long n(auto value) { return static_cast<long>(value); }
  unsigned pick(unsigned below) { return static_cast<unsigned>(rng_.next_u64() % below); }
  template <std::size_t size>
  long one_of(const std::array<long, size>& values) {
    return values[pick(size)];
  }
  int slot() { return static_cast<int>(pick(kSlots)); }
  Op call(long type) {
    const int s = slot();
    switch (pick(34)) {
      case 0:
        return {Call::kSocket, s, AF_INET, type, 0};
      case 1:
        return {Call::kBind, s, one_of<3>({n(Address::kAny), n(Address::kOwn), n(Address::kOther)}),
                n(pick(4))};
      case 2:
        return {Call::kListen, s, static_cast<long>(pick(3))};
      case 3:
      case 4:
        return {
            Call::kConnect, s,
            one_of<4>({n(Address::kOwn), n(Address::kOwn), n(Address::kOther), n(Address::kUnspecFamilyAny)}),
            n(Port::kP0) + pick(3)};
      case 5:
      case 6:
        return {Call::kAccept, s, SOCK_NONBLOCK, 2 + pick(3), n(Shape::kNullValue)};
      case 7:
      case 8:
      case 9:
      case 10:
        return {Call::kSend, s, one_of<6>({1, 10, 100, 1000, 5000, 0}), one_of<4>({0, 0, MSG_MORE, MSG_EOR})};
      case 11:
        return {Call::kSendTo, s, 20, 0, n(Address::kOwn) * 16 + n(Port::kP0) + pick(3)};
      case 12:
      case 13:
      case 14:
      case 15:
        return {Call::kReceive, s, one_of<5>({1, 7, 50, 2000, 100'000}),
                one_of<6>({0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_WAITALL})};
      case 16:
        return {Call::kShutdown, s, static_cast<long>(pick(3))};
      case 17:
        return {Call::kShutdown, s, SHUT_WR};
      case 18:
        return {Call::kClose, s};
      case 19:
        return {Call::kGet, s, SOL_SOCKET, SO_ERROR, n(Shape::kExact)};
      case 20:
        return {Call::kGetSockName, s, n(Shape::kExact)};
      case 21:
        return {Call::kGetPeerName, s, n(Shape::kExact)};
      case 22:
        return {Call::kIoctl, s, one_of<3>({n(FIONREAD), n(SIOCATMARK), n(SIOCOUTQNSD)}), 0, 0};
      case 23:
        return {Call::kSetInt, s, SOL_SOCKET,
                one_of<4>({SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_RCVLOWAT}),
                static_cast<long>(pick(3) * 10)};
      case 24:
        return {Call::kSetInt, s, SOL_TCP, one_of<4>({TCP_NODELAY, TCP_CORK, TCP_NODELAY, TCP_DEFER_ACCEPT}),
                static_cast<long>(pick(2))};
      case 25:
        return {Call::kSetValue, s, SOL_SOCKET, SO_LINGER, n(Shape::kExact)};
      case 26:
        return {Call::kEpollCreate, 6, 0};
      case 27:
      case 28:
        return {Call::kEpollCtl, 6, one_of<4>({EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL}),
                s,
                one_of<5>({EPOLLIN, EPOLLIN | EPOLLOUT, n(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET),
                           n(EPOLLIN | EPOLLONESHOT), n(EPOLLOUT | EPOLLET)})};
      case 29:
      case 30:
        return {Call::kEpollWait, 6, 8};
      case 31:
        return {Call::kDup, s, 0, slot()};
      case 32:
        return {Call::kReceiveMany, s, 3, 20, 0};
      default:
        return {Call::kGet, s, SOL_TCP, TCP_INFO, n(Shape::kExact)};
    }
  }

  Rng rng_;
};

}  // namespace

Script random_script(unsigned long seed) { return Generator(seed).script(); }

}  // namespace tapir::differential
