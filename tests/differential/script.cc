// SPDX-License-Identifier: Apache-2.0
#include "differential/script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "differential/controls.h"
#include "differential/names.h"
#include "differential/segment_line.h"

namespace tapir::differential {
namespace {

constexpr int kNeverOpen = 800;  // a number that no script opens
constexpr long kWaitedMilliseconds = kBlockedMilliseconds * 2 / 3;

struct Bytes128 {
  alignas(8) std::array<unsigned char, 192> bytes{};
};

// The machine that runs a script in one world.
class Machine {
 public:
  Machine(Api& api, const Place& place) : api_(api), place_(place) {}

  std::string step(const Op& op);
  std::string answer(const Op& op);
  std::string readiness();
  void close_all() {
    for (const int fd : open_) api_.close(fd);
  }

 private:
  int fd(long slot) const {
    const auto found = slots_.find(static_cast<int>(slot));
    return found != slots_.end() ? found->second : kNeverOpen;
  }
  void keep(long slot, long result) {
    if (result < 0) return;
    slots_[static_cast<int>(slot)] = static_cast<int>(result);
    open_.insert(static_cast<int>(result));
  }
  std::string ip_name(std::uint32_t host_order) const;
  std::string address_text(const sockaddr_storage& address, socklen_t length, socklen_t room) const;
  socklen_t make_address(Address role, Port port, sockaddr_storage& out, const sockaddr*& pointer) const;
  std::vector<char> payload(long size) {
    std::vector<char> data(static_cast<std::size_t>(std::max(size, 0L)));
    for (char& c : data) c = static_cast<char>('a' + next_byte_++ % 26);
    return data;
  }
  std::string name_call(const Op& op, bool peer);
  std::string get(const Op& op);
  std::string control_text(const msghdr& message) const;

  Api& api_;
  Place place_;
  std::map<int, int> slots_;
  std::set<int> open_;  // also those whose slot another has taken since
  unsigned next_byte_ = 0;
  bool timed_ = false;
};

std::string result_text(long result) {
  if (result >= 0) return std::to_string(result);
  if (result == -9999) return "WAITS FOR EVER";
  const char* name = ::strerrorname_np(static_cast<int>(-result));
  return name != nullptr ? name : std::to_string(result);
}
// Descriptors are only "one" or "none".
std::string descriptor_text(long result) { return result >= 0 ? "fd" : result_text(result); }

// What was received: how much, and enough of it to tell a shifted stream.
std::string data_text(const char* data, long size) {
  if (size <= 0) return "";
  const std::string_view all(data, static_cast<std::size_t>(size));
  std::uint32_t sum = 0;
  for (const char c : all) sum = sum * 31 + static_cast<unsigned char>(c);
  return " \"" + std::string(all.substr(0, 12)) + "\"/" + std::to_string(sum);
}

std::string Machine::ip_name(std::uint32_t ip) const {
  const std::uint32_t own = 0x7f000001 | place_.net << 8;
  if (ip == own) return "own";
  if (ip == own + 1) return "other";
  in_addr in{htonl(ip)};
  return ::inet_ntoa(in);
}

std::string Machine::address_text(const sockaddr_storage& address, socklen_t length, socklen_t room) const {
  std::string out = " len=" + std::to_string(static_cast<int>(length));
  if (length < sizeof(sockaddr_in) || room < sizeof(sockaddr_in)) return out;
  sockaddr_in in;
  ::memcpy(&in, &address, sizeof(in));
  return out + " family=" + std::to_string(in.sin_family) + " " + ip_name(ntohl(in.sin_addr.s_addr)) + ":" +
         port_name(place_, ntohs(in.sin_port));
}

socklen_t Machine::make_address(Address role, Port port, sockaddr_storage& out,
                                const sockaddr*& pointer) const {
  out = {};
  pointer = reinterpret_cast<const sockaddr*>(&out);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  std::uint32_t ip = 0x7f000001 | place_.net << 8;
  socklen_t length = sizeof(sockaddr_in);
  switch (role) {
    case Address::kAny:
      ip = 0;
      break;
    case Address::kOwn:
      break;
    case Address::kOther:
      ip += 1;
      break;
    case Address::kLocalhost:
      ip = 0x7f000001;
      break;
    case Address::kForeign:
      ip = 0xc0000205;
      break;  // 192.0.2.5
    case Address::kMulticast:
      ip = 0xe0010203;
      break;  // 224.1.2.3
    case Address::kBroadcast:
      ip = 0xffffffff;
      break;
    case Address::kClassE:
      ip = 0xf0000001;
      break;
    case Address::kUnspecFamilyAny:
      in.sin_family = AF_UNSPEC;
      ip = 0;
      break;
    case Address::kUnspecFamilyOwn:
      in.sin_family = AF_UNSPEC;
      break;
    case Address::kInet6:
      in.sin_family = AF_INET6;
      length = sizeof(sockaddr_in6);
      break;
    case Address::kShort:
      length = sizeof(sockaddr_in) - 1;
      break;
    case Address::kTiny:
      length = 1;
      break;
    case Address::kLong:
      length = sizeof(sockaddr_storage) + 1;
      break;
    case Address::kNull:
      pointer = nullptr;
      break;
    case Address::kZeroLength:
      length = 0;
      break;
  }
  in.sin_addr.s_addr = htonl(ip);
  const unsigned base = place_.port_base;
  switch (port) {
    case Port::kZero:
      break;
    case Port::kPrivileged:
      in.sin_port = htons(80);
      break;
    default:
      in.sin_port = htons(static_cast<std::uint16_t>(base + static_cast<unsigned>(port) - 1));
  }
  ::memcpy(&out, &in, sizeof(in));
  return length;
}

// The length argument that `shape` stands for, for a value of `exact` bytes.
socklen_t length_of(Shape shape, socklen_t exact) {
  switch (shape) {
    case Shape::kShort:
      return exact - 1;
    case Shape::kLong:
      return exact + 20;
    case Shape::kZero:
      return 0;
    case Shape::kNegative:
      return static_cast<socklen_t>(-1);
    case Shape::kByte:
      return 1;
    case Shape::kRoomy:
      return 100;
    default:
      return exact;
  }
}

std::string Machine::name_call(const Op& op, bool peer) {
  const Shape shape = static_cast<Shape>(op.a);
  sockaddr_storage name{};
  socklen_t length = length_of(shape, sizeof(sockaddr_in));
  const socklen_t room = length;
  auto* value = shape == Shape::kNullValue ? nullptr : reinterpret_cast<sockaddr*>(&name);
  socklen_t* size = shape == Shape::kNullLength ? nullptr : &length;
  const long result =
      peer ? api_.getpeername(fd(op.slot), value, size) : api_.getsockname(fd(op.slot), value, size);
  std::string out = result_text(result);
  if (result == 0) out += address_text(name, length, room);
  return out;
}

std::string Machine::get(const Op& op) {
  const Shape shape = static_cast<Shape>(op.c);
  const socklen_t exact = value_size(static_cast<int>(op.a), static_cast<int>(op.b));
  Bytes128 value;
  value.bytes.fill(0xee);
  socklen_t length = length_of(shape, exact);
  const long result = api_.getsockopt(fd(op.slot), static_cast<int>(op.a), static_cast<int>(op.b),
                                      shape == Shape::kNullValue ? nullptr : value.bytes.data(),
                                      shape == Shape::kNullLength ? nullptr : &length);
  std::string out = result_text(result);
  if (result == 0)
    out += " len=" + std::to_string(length) +
           value_text(static_cast<int>(op.a), static_cast<int>(op.b), value.bytes.data(),
                      std::min<socklen_t>(length, 192));
  return out;
}

std::string Machine::control_text(const msghdr& message) const {
  std::string out =
      " flags=" + std::to_string(message.msg_flags) + " control=" + std::to_string(message.msg_controllen);
  if (message.msg_controllen == 0) return out;
  for (cmsghdr* c = CMSG_FIRSTHDR(const_cast<msghdr*>(&message)); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
    out += " {" + std::to_string(c->cmsg_level) + "," + std::to_string(c->cmsg_type) + "," +
           std::to_string(c->cmsg_len);
    out += control_value_text(place_, c->cmsg_level, c->cmsg_type, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    out += "}";
  }
  return out;
}

std::string Machine::step(const Op& op) {
  if (!std::exchange(timed_, false)) return answer(op);
  const long before = api_.now_milliseconds();
  std::string told = answer(op);
  return told + (api_.now_milliseconds() - before >= kWaitedMilliseconds ? " waited" : " at once");
}

std::string Machine::answer(const Op& op) {
  const int s = fd(op.slot);
  switch (op.call) {
    case Call::kSocket: {
      const long result = api_.socket(static_cast<int>(op.a), static_cast<int>(op.b), static_cast<int>(op.c));
      keep(op.slot, result);
      return descriptor_text(result);
    }
    case Call::kBind:
    case Call::kConnect: {
      sockaddr_storage address;
      const sockaddr* pointer;
      const socklen_t length =
          make_address(static_cast<Address>(op.a), static_cast<Port>(op.b), address, pointer);
      return result_text(op.call == Call::kBind ? api_.bind(s, pointer, length)
                                                : api_.connect(s, pointer, length));
    }
    case Call::kListen:
      return result_text(api_.listen(s, static_cast<int>(op.a)));
    case Call::kAccept: {
      const Shape shape = static_cast<Shape>(op.c);
      sockaddr_storage name{};
      socklen_t length = length_of(shape, sizeof(sockaddr_in));
      const socklen_t room = length;
      const bool wants = shape != Shape::kNullValue;
      const long result =
          api_.accept4(s, wants ? reinterpret_cast<sockaddr*>(&name) : nullptr,
                       wants && shape != Shape::kNullLength ? &length : nullptr, static_cast<int>(op.a));
      keep(op.b, result);
      return descriptor_text(result) + (result >= 0 && wants ? address_text(name, length, room) : "");
    }
    case Call::kSend: {
      const auto data = payload(op.a);
      return result_text(api_.sendto(s, op.a < 0 ? nullptr : data.data(), op.a < 0 ? 10 : data.size(),
                                     static_cast<int>(op.b) | MSG_NOSIGNAL, nullptr, 0));
    }
    case Call::kSendTo: {
      sockaddr_storage address;
      const sockaddr* pointer;
      const socklen_t length =
          make_address(static_cast<Address>(op.c / 16), static_cast<Port>(op.c % 16), address, pointer);
      const auto data = payload(op.a);
      return result_text(
          api_.sendto(s, data.data(), data.size(), static_cast<int>(op.b) | MSG_NOSIGNAL, pointer, length));
    }
    case Call::kSendPieces:
    case Call::kWriteV: {
      auto data = payload(std::max(op.a, 0L) * op.b);
      std::vector<iovec> pieces;
      for (long i = 0; i < op.a; ++i)
        pieces.push_back({data.data() + i * op.b, static_cast<std::size_t>(op.b)});
      if (op.call == Call::kWriteV) return result_text(api_.writev(s, pieces.data(), static_cast<int>(op.a)));
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = pieces.size();
      return result_text(api_.sendmsg(s, &message, static_cast<int>(op.c) | MSG_NOSIGNAL));
    }
    case Call::kSendMany: {
      auto data = payload(op.a * op.b);
      std::vector<iovec> pieces;
      std::vector<mmsghdr> messages(static_cast<std::size_t>(op.a));
      for (long i = 0; i < op.a; ++i)
        pieces.push_back({data.data() + i * op.b, static_cast<std::size_t>(op.b)});
      for (std::size_t i = 0; i < messages.size(); ++i) {
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      std::string out = result_text(api_.sendmmsg(s, messages.data(), static_cast<unsigned>(op.a),
                                                  static_cast<int>(op.c) | MSG_NOSIGNAL));
      for (const mmsghdr& message : messages) out += " " + std::to_string(message.msg_len);
      return out;
    }
    case Call::kReceive:
    case Call::kReceiveFrom: {
      std::vector<char> data(static_cast<std::size_t>(std::max(op.a, 0L)) + 1);
      const bool from = op.call == Call::kReceiveFrom;
      const Shape shape = from ? static_cast<Shape>(op.c) : Shape::kNullValue;
      sockaddr_storage name{};
      socklen_t length = length_of(shape, sizeof(sockaddr_in));
      const socklen_t room = length;
      const long result =
          api_.recvfrom(s, op.a < 0 ? nullptr : data.data(), op.a < 0 ? 10 : static_cast<std::size_t>(op.a),
                        static_cast<int>(op.b),
                        from && shape != Shape::kNullValue ? reinterpret_cast<sockaddr*>(&name) : nullptr,
                        from && shape != Shape::kNullLength ? &length : nullptr);
      std::string out = result_text(result);
      if ((op.b & MSG_TRUNC) == 0 && op.a > 0) out += data_text(data.data(), std::min(result, op.a));
      if (from && result >= 0 && shape != Shape::kNullValue) out += address_text(name, length, room);
      return out;
    }
    case Call::kReceiveMsg: {
      std::vector<char> data(static_cast<std::size_t>(op.a) + 1);
      iovec piece{data.data(), static_cast<std::size_t>(op.a)};
      Bytes128 control;
      sockaddr_storage name{};
      msghdr message{};
      message.msg_name = &name;
      message.msg_namelen = sizeof(name);
      message.msg_iov = &piece;
      message.msg_iovlen = 1;
      message.msg_control = control.bytes.data();
      message.msg_controllen = static_cast<std::size_t>(op.c);
      const long result = api_.recvmsg(s, &message, static_cast<int>(op.b));
      if (result < 0) return result_text(result);
      std::string out = result_text(result);
      if ((op.b & MSG_TRUNC) == 0) out += data_text(data.data(), std::min(result, op.a));
      return out + address_text(name, message.msg_namelen, sizeof(name)) + control_text(message);
    }
    case Call::kReadV: {
      std::vector<char> data(static_cast<std::size_t>(std::max(op.a, 0L) * op.b) + 1);
      std::vector<iovec> pieces;
      for (long i = 0; i < op.a; ++i)
        pieces.push_back({data.data() + i * op.b, static_cast<std::size_t>(op.b)});
      const long result = api_.readv(s, pieces.data(), static_cast<int>(op.a));
      return result_text(result) + data_text(data.data(), result);
    }
    case Call::kReceiveMany: {
      std::vector<char> data(static_cast<std::size_t>(op.a * op.b) + 1);
      std::vector<iovec> pieces;
      std::vector<mmsghdr> messages(static_cast<std::size_t>(op.a));
      for (long i = 0; i < op.a; ++i)
        pieces.push_back({data.data() + i * op.b, static_cast<std::size_t>(op.b)});
      for (std::size_t i = 0; i < messages.size(); ++i) {
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      const long result =
          api_.recvmmsg(s, messages.data(), static_cast<unsigned>(op.a), static_cast<int>(op.c), nullptr);
      std::string out = result_text(result);
      for (long i = 0; i < result; ++i) {
        const auto& message = messages[static_cast<std::size_t>(i)];
        out += " [" + std::to_string(message.msg_len) + " " + std::to_string(message.msg_hdr.msg_flags) +
               data_text(data.data() + i * op.b, std::min(static_cast<long>(message.msg_len), op.b)) + "]";
      }
      return out;
    }
    case Call::kShutdown:
      return result_text(api_.shutdown(s, static_cast<int>(op.a)));
    case Call::kClose: {
      const long result = api_.close(s);
      slots_[op.slot] = kNeverOpen;
      open_.erase(s);
      return result_text(result);
    }
    case Call::kDup: {
      const long result = api_.dup(s);
      keep(op.b, result);
      return descriptor_text(result);
    }
    case Call::kDup3: {
      const int over = fd(op.b);  // a number that was never open would leak: there is no slot for it
      return descriptor_text(api_.dup3(s, over == kNeverOpen ? -1 : over, static_cast<int>(op.c)));
    }
    case Call::kGetSockName:
      return name_call(op, false);
    case Call::kGetPeerName:
      return name_call(op, true);
    case Call::kSetInt: {
      const int value = static_cast<int>(op.c);
      return result_text(
          api_.setsockopt(s, static_cast<int>(op.a), static_cast<int>(op.b), &value, sizeof(value)));
    }
    case Call::kSetTimeout: {
      const timeval value{op.b / 1000, op.b % 1000 * 1000};
      return result_text(api_.setsockopt(s, SOL_SOCKET, static_cast<int>(op.a), &value, sizeof(value)));
    }
    case Call::kTimed:
      timed_ = true;
      return "";
    case Call::kSetValue: {
      const Shape shape = static_cast<Shape>(op.c);
      Bytes128 value;
      const socklen_t exact =
          example_value(static_cast<int>(op.a), static_cast<int>(op.b), value.bytes.data());
      return result_text(api_.setsockopt(s, static_cast<int>(op.a), static_cast<int>(op.b),
                                         shape == Shape::kNullValue ? nullptr : value.bytes.data(),
                                         length_of(shape, exact)));
    }
    case Call::kGet:
      return get(op);
    case Call::kIoctl: {
      int value = static_cast<int>(op.b);
      const long result = api_.ioctl(s, static_cast<unsigned long>(op.a), op.c == 1 ? nullptr : &value);
      return result_text(result) + (result == 0 && op.c != 1 ? " value=" + std::to_string(value) : "");
    }
    case Call::kFcntl: {
      const long result = api_.fcntl(s, static_cast<int>(op.a), op.b);
      return result_text(result);
    }
    case Call::kPoll: {
      pollfd one{s, static_cast<short>(op.a), 0};
      const long result = api_.poll(&one, 1, 0);
      return result_text(result) + " " + poll_text(one.revents);
    }
    case Call::kEpollCreate: {
      const long result = api_.epoll_create1(static_cast<int>(op.a));
      keep(op.slot, result);
      return descriptor_text(result);
    }
    case Call::kEpollCtl: {
      epoll_event event{};
      event.events = static_cast<std::uint32_t>(op.c);
      event.data.u64 = static_cast<std::uint64_t>(op.b);
      return result_text(api_.epoll_ctl(s, static_cast<int>(op.a), fd(op.b), op.d == 1 ? nullptr : &event));
    }
    case Call::kEpollWait: {
      std::array<epoll_event, 16> events{};
      const long result = api_.epoll_wait(s, events.data(), static_cast<int>(op.a), 0);
      std::string out = result_text(result);
      for (long i = 0; i < result; ++i)
        out += " " + std::to_string(events[static_cast<std::size_t>(i)].data.u64) + ":" +
               poll_text(static_cast<int>(events[static_cast<std::size_t>(i)].events));
      return out;
    }
    case Call::kSendControl: {
      auto data = payload(op.a);
      if (op.d == 1) data = {8, 0, 0, 0, 0, 0, 0, 1, 'p', 'i', 'n', 'g'};
      iovec piece{data.data(), data.size()};
      msghdr message{};
      message.msg_iov = &piece;
      message.msg_iovlen = 1;
      sockaddr_storage address;
      if (op.c != 0) {
        const sockaddr* pointer;
        message.msg_namelen =
            make_address(static_cast<Address>(op.c / 16), static_cast<Port>(op.c % 16), address, pointer);
        message.msg_name = &address;
      }
      ControlExample control;
      if (op.b >= 0) {
        control = control_example(place_, static_cast<int>(op.b));
        message.msg_control = control.null ? nullptr : control.bytes.data();
        message.msg_controllen = control.size;
      }
      return result_text(api_.sendmsg(s, &message, MSG_NOSIGNAL));
    }
    case Call::kSetOptions: {
      const OptionsExample options = options_example(static_cast<int>(op.a));
      return result_text(api_.setsockopt(s, SOL_IP, IP_OPTIONS, options.null ? nullptr : options.bytes.data(),
                                         options.size));
    }
    case Call::kPass:
      api_.pass(static_cast<int>(op.a));
      return "";
  }
  return "?";
}

std::string Machine::readiness() {
  std::string out;
  for (const auto& [slot, descriptor] : slots_) {
    if (descriptor == kNeverOpen) continue;
    pollfd one{descriptor,
               POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND, 0};
    api_.poll(&one, 1, 0);
    out += " " + std::to_string(slot) + ":" + poll_text(one.revents);
  }
  return out;
}

}  // namespace

std::vector<std::string> run(const Script& script, Api& api, const Place& place, int pause_ms) {
  Machine machine(api, place);
  std::vector<std::string> lines;
  for (const Op& op : script) {
    std::string line = machine.step(op);
    if (pause_ms != 0) api.pass(pause_ms);
    line += " |" + machine.readiness();
    // One direction after the other: on the kernel an answer may be on its way while a call still sends.
    std::multimap<std::string, std::string> by_direction;
    for (std::string& segment : api.segments()) {
      std::string direction = segment.substr(0, segment.find(' '));
      by_direction.emplace(std::move(direction), std::move(segment));
    }
    if (!by_direction.empty()) line += " |";
    for (const auto& [direction, segment] : by_direction) line += " {" + segment + "}";
    lines.push_back(std::move(line));
  }
  machine.close_all();
  return lines;
}

}  // namespace tapir::differential
