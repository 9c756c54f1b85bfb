// SPDX-License-Identifier: Apache-2.0
#include "differential/matrix.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <set>

#include "differential/names.h"

namespace tapir::differential {
namespace {

long n(auto value) { return static_cast<long>(value); }

// Each call with each kind of argument, on slot 0. Slot 5 is fresh for what a call makes.
Script calls(bool datagram) {
  Script out;
  const auto add = [&](Call call, long a = 0, long b = 0, long c = 0, long d = 0) {
    out.push_back({call, 0, a, b, c, d});
  };
  for (int address = 0; address < kAddresses; ++address) {
    for (const Port port : {Port::kZero, Port::kP3, Port::kPrivileged}) {
      add(Call::kBind, address, n(port));
      if (port != Port::kPrivileged) add(Call::kConnect, address, n(port));
    }
    add(Call::kSendTo, 10, 0, address * 16 + n(Port::kP3));
  }
  add(Call::kBind, n(Address::kOwn), n(Port::kP0));
  add(Call::kConnect, n(Address::kOwn), n(Port::kP0));
  add(Call::kConnect, n(Address::kLocalhost), n(Port::kP3));
  add(Call::kSendTo, 10, 0, n(Address::kOwn) * 16 + n(Port::kP0));
  add(Call::kSendTo, 10, 0, n(Address::kOwn) * 16 + n(Port::kZero));
  for (const long backlog : {-1L, 0L, 1L, 100'000L}) add(Call::kListen, backlog);
  for (const long flags : {0L, n(SOCK_NONBLOCK) | SOCK_CLOEXEC, 1L})
    if (flags != 0) add(Call::kAccept, flags, 5, n(Shape::kNullValue));
  for (const Shape shape :
       {Shape::kExact, Shape::kShort, Shape::kLong, Shape::kZero, Shape::kNegative, Shape::kNullLength})
    add(Call::kAccept, SOCK_NONBLOCK, 5, n(shape));
  for (const long flags :
       {0L, n(MSG_DONTWAIT), n(MSG_MORE), n(MSG_OOB), n(MSG_EOR), n(MSG_DONTROUTE), n(MSG_PEEK)})
    add(Call::kSend, 100, flags);
  // Flags that mean nothing to a sender, or to anybody; and what asks for more than the socket was set up
  // for.
  for (const long flags : {n(MSG_PROXY), n(MSG_CONFIRM), n(MSG_WAITALL), n(MSG_ERRQUEUE), n(MSG_ZEROCOPY),
                           0x800000L, 0x40000L, n(MSG_DONTWAIT | MSG_EOR | MSG_MORE)})
    add(Call::kSend, 50, flags);
  add(Call::kSend, 0, MSG_OOB);
  add(Call::kSend, 0, MSG_MORE);
  add(Call::kSend, 0, 0);
  add(Call::kSend, -1, 0);
  // A large segment; the largest datagram; one that is too large.
  add(Call::kSend, 30'000, 0);
  if (datagram) add(Call::kSend, 65'507, 0);
  if (datagram) add(Call::kSend, 65'508, 0);
  add(Call::kSendPieces, 3, 5, 0);
  add(Call::kSendPieces, 0, 0, 0);
  add(Call::kSendPieces, 1025, 1, 0);
  add(Call::kWriteV, 3, 5);
  add(Call::kWriteV, 0, 5);
  add(Call::kWriteV, -1, 5);
  add(Call::kWriteV, 1025, 1);
  add(Call::kSendMany, 3, 7, 0);
  add(Call::kSendMany, 0, 7, 0);
  for (const long flags : {0L, n(MSG_DONTWAIT), n(MSG_PEEK), n(MSG_TRUNC), n(MSG_PEEK | MSG_TRUNC),
                           n(MSG_WAITALL), n(MSG_OOB), n(MSG_ERRQUEUE)}) {
    add(Call::kReceive, 15, flags);
    add(Call::kReceiveMsg, 15, flags, 100);
  }
  for (const long flags : {n(MSG_CONFIRM), n(MSG_DONTROUTE), n(MSG_CTRUNC), n(MSG_EOR), n(MSG_NOSIGNAL),
                           n(MSG_CMSG_CLOEXEC), n(MSG_WAITFORONE), 0x800000L, n(MSG_PEEK | MSG_WAITALL),
                           n(MSG_OOB | MSG_PEEK), n(MSG_OOB | MSG_TRUNC), n(MSG_ERRQUEUE | MSG_PEEK),
                           n(MSG_ERRQUEUE | MSG_OOB), n(MSG_TRUNC | MSG_WAITALL)})
    add(Call::kReceive, 5, flags);
  for (const long flags : {n(MSG_PEEK), n(MSG_TRUNC), n(MSG_OOB), n(MSG_ERRQUEUE)})
    add(Call::kReceive, 0, flags);
  for (const long room : {1L, 15L, 16L, 17L, 20L, 24L, 40L}) add(Call::kReceiveMsg, 15, 0, room);
  add(Call::kReceive, 0, 0);
  add(Call::kReceive, 4, 0);
  add(Call::kReceive, -1, 0);
  add(Call::kReceiveMsg, 4, 0, 0);
  for (const Shape shape :
       {Shape::kExact, Shape::kShort, Shape::kLong, Shape::kZero, Shape::kNegative, Shape::kNullLength})
    add(Call::kReceiveFrom, 15, 0, n(shape));
  add(Call::kReadV, 3, 4);
  add(Call::kReadV, 0, 4);
  add(Call::kReadV, -1, 4);
  add(Call::kReadV, 1025, 1);
  add(Call::kReceiveMany, 4, 12, 0);
  add(Call::kReceiveMany, 4, 12, MSG_WAITFORONE);
  add(Call::kReceiveMany, 0, 12, 0);
  for (const long how : {n(SHUT_RD), n(SHUT_WR), n(SHUT_RDWR), 3L, -1L}) add(Call::kShutdown, how);
  add(Call::kClose);
  add(Call::kDup, 0, 5);
  add(Call::kDup3, 0, 0, 0);
  add(Call::kDup3, 0, 0, O_CLOEXEC | 1);
  add(Call::kDup3, 0, 1, O_CLOEXEC);
  for (const Shape shape : {Shape::kExact, Shape::kShort, Shape::kLong, Shape::kZero, Shape::kNegative,
                            Shape::kNullValue, Shape::kNullLength}) {
    add(Call::kGetSockName, n(shape));
    add(Call::kGetPeerName, n(shape));
  }
  for (const long request :
       {n(FIONREAD), n(SIOCOUTQ), n(SIOCOUTQNSD), n(SIOCATMARK), n(SIOCGSTAMP_OLD), 0x1234L})
    add(Call::kIoctl, request, 0, 0);
  add(Call::kIoctl, FIONREAD, 0, 1);
  add(Call::kIoctl, FIONBIO, 1, 0);
  add(Call::kIoctl, FIONBIO, 1, 1);
  add(Call::kFcntl, F_GETFL);
  add(Call::kFcntl, F_SETFL, O_NONBLOCK | O_APPEND);
  add(Call::kFcntl, F_GETFD);
  add(Call::kFcntl, F_SETFD, FD_CLOEXEC);
  add(Call::kFcntl, F_DUPFD, -1);
  add(Call::kFcntl, 12345);
  for (const long events : {0L, n(POLLIN), n(POLLOUT), n(POLLRDHUP), n(POLLPRI)}) add(Call::kPoll, events);
  for (const long operation : {n(EPOLL_CTL_ADD), n(EPOLL_CTL_MOD), n(EPOLL_CTL_DEL), 7L})
    add(Call::kEpollCtl, operation, 0, EPOLLIN);
  add(Call::kEpollWait, 4);
  add(Call::kEpollWait, 0);
  add(Call::kEpollWait, -1);
  return out;
}

// What is looked at after the call: what it left behind.
Script aftermath() {
  return {{Call::kGet, 0, SOL_SOCKET, SO_ERROR, n(Shape::kExact)},
          {Call::kGetSockName, 0, n(Shape::kExact)},
          {Call::kGetPeerName, 0, n(Shape::kExact)},
          {Call::kReceive, 0, 50, MSG_DONTWAIT},
          {Call::kSend, 0, 3, MSG_DONTWAIT},
          {Call::kReceive, 0, 50, MSG_DONTWAIT}};
}

// Epoll: how readiness is told by each kind of watch, in each state, once, again, and after the next event.
Script watched(long events) {
  return {{Call::kEpollCreate, 6, 0},
          {Call::kEpollCtl, 6, EPOLL_CTL_ADD, 0, events},
          {Call::kEpollWait, 6, 4},
          {Call::kEpollWait, 6, 4},
          {Call::kSend, 2, 5, 0},
          {Call::kEpollWait, 6, 4},
          {Call::kEpollWait, 6, 4},
          {Call::kReceive, 0, 3, 0},
          {Call::kEpollWait, 6, 4},
          {Call::kSend, 2, 5, 0},
          {Call::kSend, 2, 5, 0},
          {Call::kEpollWait, 6, 4},
          {Call::kEpollCtl, 6, EPOLL_CTL_MOD, 0, events},
          {Call::kEpollWait, 6, 4},
          {Call::kShutdown, 2, SHUT_WR},
          {Call::kEpollWait, 6, 4},
          {Call::kShutdown, 0, SHUT_WR},
          {Call::kEpollWait, 6, 4},
          {Call::kEpollWait, 6, 4},
          {Call::kClose, 0},
          {Call::kEpollWait, 6, 4}};
}

// SO_PEEK_OFF: what each look sees, and where it leaves the place.
Script peeking(long offset, long peer) {
  const Op get{Call::kGet, 0, SOL_SOCKET, SO_PEEK_OFF, n(Shape::kExact)};
  return {{Call::kSetInt, 0, SOL_SOCKET, SO_PEEK_OFF, offset},
          {Call::kReceiveMsg, 0, 4, MSG_PEEK, 0},
          get,
          {Call::kReceive, 0, 4, MSG_PEEK},
          {Call::kReceive, 0, 3, 0},
          get,
          {Call::kReceive, 0, 4, MSG_PEEK},
          {Call::kSend, static_cast<int>(peer), 9, 0},
          {Call::kReceive, 0, 100, MSG_PEEK},
          {Call::kReceive, 0, 2, MSG_PEEK | MSG_TRUNC},
          get,
          {Call::kReceive, 0, 100, MSG_PEEK},
          {Call::kReceive, 0, 100, 0},
          get,
          {Call::kReceive, 0, 100, MSG_PEEK},
          {Call::kReceive, 0, 100, 0}};
}

// SO_TIMESTAMP and its kin: which message comes with the data, how long it is, and what of it a small buffer
// gets.
Script stamped(long name, long other, long peer) {
  constexpr long kArrivals = 24;  // SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE
  Script out = {{Call::kSetInt, 0, SOL_SOCKET, name, name == SO_TIMESTAMPING || name == 65 ? kArrivals : 1}};
  if (other != 0)
    out.push_back(
        {Call::kSetInt, 0, SOL_SOCKET, other, other == SO_TIMESTAMPING || other == 65 ? kArrivals : 1});
  for (const long room : {180L, 20L, 0L}) {
    out.push_back({Call::kSend, static_cast<int>(peer), 9, 0});
    out.push_back({Call::kReceiveMsg, 0, 50, 0, room});
  }
  for (const long each : {name, other})
    if (each != 0) out.push_back({Call::kGet, 0, SOL_SOCKET, each, n(Shape::kExact)});
  out.push_back({Call::kSetInt, 0, SOL_SOCKET, name, 0});
  out.push_back({Call::kSend, static_cast<int>(peer), 9, 0});
  out.push_back({Call::kReceiveMsg, 0, 50, 0, 180});
  return out;
}

class Builder {
 public:
  void add(std::string name, Script script) {
    if (seen_.insert(text(script)).second) cases.push_back({std::move(name), std::move(script)});
  }
  std::vector<Case> cases;

 private:
  std::set<std::string> seen_;
};

void add_calls(Builder& builder) {
  for (const SocketState& state : socket_states()) {
    for (const Op& call : calls(state.datagram)) {
      Script script = state.steps;
      script.push_back(call);
      for (const Op& op : aftermath()) script.push_back(op);
      builder.add(std::string(state.name) + "/" + text(call), std::move(script));
    }
    for (const long events :
         {n(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI), n(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET),
          n(EPOLLIN | EPOLLONESHOT), n(EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE), n(EPOLLOUT | EPOLLET), 0L}) {
      Script script = state.steps;
      for (const Op& op : watched(events)) script.push_back(op);
      builder.add(std::string(state.name) + "/epoll " + std::to_string(events), std::move(script));
    }
  }
}

void add_options(Builder& builder) {
  for (const SocketState& state : socket_states()) {
    const std::string_view name = state.name;
    const bool widely = name == "fresh" || name == "listening" || name == "connected" ||
                        name == "udp-fresh" || name == "udp-connected";
    const bool known = name == "reset" || name == "syn-sent" || name == "peer-shut" || name == "epoll-set" ||
                       name == "disconnected" || name == "bound";
    if (!widely && !known) continue;
    for (const OptionName& option : option_names()) {
      const std::string what = std::string(state.name) + "/" + option.text;
      const auto with = [&](const std::string& how, Script more) {
        Script script = state.steps;
        script.insert(script.end(), more.begin(), more.end());
        script.push_back({Call::kGet, 0, option.level, option.name, n(Shape::kExact)});
        builder.add(what + " " + how, std::move(script));
      };
      with("get", {});
      with("set", {{Call::kSetValue, 0, option.level, option.name, n(Shape::kExact)}});
      if (!widely) continue;
      for (const Shape shape : {Shape::kShort, Shape::kLong, Shape::kZero, Shape::kNegative,
                                Shape::kNullValue, Shape::kNullLength, Shape::kByte})
        with("get shape " + std::to_string(n(shape)), {{Call::kGet, 0, option.level, option.name, n(shape)}});
      for (const Shape shape :
           {Shape::kShort, Shape::kLong, Shape::kZero, Shape::kNegative, Shape::kNullValue, Shape::kByte})
        with("set shape " + std::to_string(n(shape)),
             {{Call::kSetValue, 0, option.level, option.name, n(shape)}});
      if (option.value != OptionName::Value::kInt) continue;
      // The edges at which options change their mind: below, at and above what they take.
      for (const long value : {-1L, 0L, 2L, 7L, 100L, 256L, 5000L, 40'000L, 2'000'000'000L, -2'000'000'000L})
        with("set " + std::to_string(value), {{Call::kSetInt, 0, option.level, option.name, value}});
    }
  }
}

// What arrives, looked at in all ways.
void add_arrivals(Builder& builder) {
  constexpr long kStamps[] = {
      SO_TIMESTAMP,
      SO_TIMESTAMPNS,
      SO_TIMESTAMPING,
      63,
      64,
      65};  // the last three: SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW
  for (const SocketState& state : socket_states()) {
    const std::string_view name = state.name;
    const bool stream = name == "with-data" || name == "with-two-writes" || name == "connected" ||
                        name == "peer-shut-after-data";
    const bool datagrams = name == "udp-with-datagram" || name == "udp-with-three";
    if (!stream && !datagrams) continue;
    const long peer = stream ? 2 : 1;
    const auto add = [&](const std::string& how, const Script& more) {
      Script script = state.steps;
      script.insert(script.end(), more.begin(), more.end());
      builder.add(std::string(name) + "/" + how, std::move(script));
    };
    // 6: all that is left fits, of a datagram that would not have; 10: an empty one.
    for (const long offset : {-1L, 0L, 1L, 5L, 6L, 10L, 12L, 1000L})
      add("peek-offset " + std::to_string(offset), peeking(offset, peer));
    // What came before it was asked for has a time if any program of the machine had asked.
    if (name == "peer-shut-after-data") continue;
    for (const long stamp : kStamps) {
      add("stamp " + std::to_string(stamp), stamped(stamp, 0, peer));
      for (const long other : kStamps)
        if (other != stamp)
          add("stamp " + std::to_string(stamp) + " " + std::to_string(other), stamped(stamp, other, peer));
    }
  }
}

void add_kinds(Builder& builder) {
  for (const long domain : {n(AF_INET), n(AF_UNSPEC), -1L, 100L, n(AF_APPLETALK)})
    for (const long type : {n(SOCK_STREAM), n(SOCK_DGRAM), n(SOCK_RAW), n(SOCK_SEQPACKET), n(SOCK_RDM),
                            n(SOCK_DCCP), 0L, 9L, 11L, -1L, n(SOCK_STREAM) | 0x100000})
      for (const long protocol : {0L, n(IPPROTO_TCP), n(IPPROTO_UDP), n(IPPROTO_ICMP), 200L, 263L, -1L}) {
        const bool raw = domain == AF_INET && type == SOCK_RAW;
        if (raw && protocol != 0) continue;
        builder.add("socket(" + std::to_string(domain) + ", " + std::to_string(type) + ", " +
                        std::to_string(protocol) + ")",
                    {{Call::kSocket, 0, domain, type, protocol}});
      }
}

// Two sockets that want the same port: how each is bound × what each has set × what state the first is in.
void add_conflicts(Builder& builder) {
  const auto tcp = [](int slot) { return Op{Call::kSocket, slot, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0}; };
  for (const bool datagram : {false, true})
    for (const Address first : {Address::kAny, Address::kOwn, Address::kOther})
      for (const Address second : {Address::kAny, Address::kOwn})
        for (const int options_first : {0, 1, 2, 3})
          for (const int options_second : {0, 1, 2, 3})
            for (const bool listens : {false, true}) {
              if (datagram && listens) continue;
              Script script;
              for (int slot = 0; slot < 2; ++slot) {
                script.push_back(datagram ? Op{Call::kSocket, slot, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0}
                                          : tcp(slot));
                const int options = slot == 0 ? options_first : options_second;
                if ((options & 1) != 0) script.push_back({Call::kSetInt, slot, SOL_SOCKET, SO_REUSEADDR, 1});
                if ((options & 2) != 0) script.push_back({Call::kSetInt, slot, SOL_SOCKET, SO_REUSEPORT, 1});
                script.push_back({Call::kBind, slot, n(slot == 0 ? first : second), n(Port::kP0)});
                if (listens) script.push_back({Call::kListen, slot, 3});
              }
              builder.add(std::string("conflict/") + (datagram ? "udp " : "tcp ") + std::to_string(n(first)) +
                              std::to_string(options_first) + " " + std::to_string(n(second)) +
                              std::to_string(options_second) + (listens ? " listening" : ""),
                          std::move(script));
            }
}

// Calls that may wait, on a blocking socket with time-outs: what they answer, and whether they waited.
void add_blocking(Builder& builder) {
  const auto with = [](Call call, long a = 0, long b = 0, long c = 0) { return Op{call, 0, a, b, c}; };
  for (const SocketState& state : socket_states()) {
    Script waits = {with(Call::kReceive, 15, 0),
                    with(Call::kReceive, 15, MSG_WAITALL),
                    with(Call::kReceive, 15, MSG_PEEK),
                    with(Call::kReceive, 15, MSG_DONTWAIT),
                    with(Call::kReceiveMsg, 15, 0, 100),
                    with(Call::kReadV, 3, 4),
                    with(Call::kReceiveMany, 4, 12, 0),
                    with(Call::kReceiveMany, 4, 12, MSG_WAITFORONE),
                    with(Call::kSend, 100, 0),
                    with(Call::kSend, 30'000, 0),
                    with(Call::kSend, 30'000, MSG_DONTWAIT),
                    with(Call::kWriteV, 3, 5),
                    with(Call::kSendMany, 3, 7, 0),
                    with(Call::kAccept, 0, 5, n(Shape::kNullValue)),
                    with(Call::kConnect, n(Address::kOwn), n(Port::kP0)),
                    with(Call::kConnect, n(Address::kOwn), n(Port::kP3))};
    for (const Op& call : waits) {
      Script script = state.steps;
      script.push_back(with(Call::kFcntl, F_SETFL, 0));
      script.push_back(with(Call::kSetTimeout, SO_RCVTIMEO, kBlockedMilliseconds));
      script.push_back(with(Call::kSetTimeout, SO_SNDTIMEO, kBlockedMilliseconds));
      script.push_back(with(Call::kTimed));
      script.push_back(call);
      script.push_back(with(Call::kFcntl, F_SETFL, O_NONBLOCK));
      for (const Op& op : aftermath()) script.push_back(op);
      builder.add("blocking/" + std::string(state.name) + "/" + text(call), std::move(script));
    }
  }
}

}  // namespace

std::vector<Case> matrix() {
  Builder builder;
  add_kinds(builder);
  add_calls(builder);
  add_blocking(builder);
  add_options(builder);
  add_arrivals(builder);
  add_conflicts(builder);
  add_controls(builder.cases);
  return std::move(builder.cases);
}

}  // namespace tapir::differential
