// SPDX-License-Identifier: Apache-2.0
#include "differential/names.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>

#include "differential/script.h"
#include "differential/segment_line.h"

namespace tapir::differential {
namespace {

using Value = OptionName::Value;

#define TAPIR_NAMED(level, name) level, name, #name
constexpr OptionName kOptions[] = {
    {TAPIR_NAMED(SOL_SOCKET, SO_DEBUG)},
    {TAPIR_NAMED(SOL_SOCKET, SO_REUSEADDR)},
    {TAPIR_NAMED(SOL_SOCKET, SO_TYPE)},
    {TAPIR_NAMED(SOL_SOCKET, SO_ERROR)},
    {TAPIR_NAMED(SOL_SOCKET, SO_DONTROUTE)},
    {TAPIR_NAMED(SOL_SOCKET, SO_BROADCAST)},
    {TAPIR_NAMED(SOL_SOCKET, SO_SNDBUF)},
    {TAPIR_NAMED(SOL_SOCKET, SO_RCVBUF)},
    {TAPIR_NAMED(SOL_SOCKET, SO_SNDBUFFORCE)},
    {TAPIR_NAMED(SOL_SOCKET, SO_RCVBUFFORCE)},
    {TAPIR_NAMED(SOL_SOCKET, SO_KEEPALIVE)},
    {TAPIR_NAMED(SOL_SOCKET, SO_OOBINLINE)},
    {TAPIR_NAMED(SOL_SOCKET, SO_NO_CHECK)},
    {TAPIR_NAMED(SOL_SOCKET, SO_PRIORITY)},
    {TAPIR_NAMED(SOL_SOCKET, SO_LINGER), Value::kLinger},
    {TAPIR_NAMED(SOL_SOCKET, SO_REUSEPORT)},
    {TAPIR_NAMED(SOL_SOCKET, SO_RCVLOWAT)},
    {TAPIR_NAMED(SOL_SOCKET, SO_SNDLOWAT)},
    {TAPIR_NAMED(SOL_SOCKET, SO_RCVTIMEO), Value::kTimeout},
    {TAPIR_NAMED(SOL_SOCKET, SO_SNDTIMEO), Value::kTimeout},
    {TAPIR_NAMED(SOL_SOCKET, SO_BINDTODEVICE), Value::kText},
    {TAPIR_NAMED(SOL_SOCKET, SO_TIMESTAMP)},
    {TAPIR_NAMED(SOL_SOCKET, SO_TIMESTAMPNS)},
    {TAPIR_NAMED(SOL_SOCKET, SO_ACCEPTCONN)},
    {TAPIR_NAMED(SOL_SOCKET, SO_MARK)},
    {TAPIR_NAMED(SOL_SOCKET, SO_PROTOCOL)},
    {TAPIR_NAMED(SOL_SOCKET, SO_DOMAIN)},
    {TAPIR_NAMED(SOL_SOCKET, SO_PEEK_OFF)},
    {TAPIR_NAMED(SOL_SOCKET, SO_INCOMING_CPU), Value::kOpaque},
    {TAPIR_NAMED(SOL_SOCKET, SO_MEMINFO), Value::kOpaque},
    {TAPIR_NAMED(SOL_SOCKET, SO_COOKIE), Value::kOpaque},
    {TAPIR_NAMED(SOL_SOCKET, SO_ZEROCOPY)},
    {TAPIR_NAMED(SOL_SOCKET, SO_TIMESTAMPING)},
    {SOL_SOCKET, 63, "SO_TIMESTAMP_NEW"},
    {SOL_SOCKET, 64, "SO_TIMESTAMPNS_NEW"},
    {SOL_SOCKET, 65, "SO_TIMESTAMPING_NEW"},
    {SOL_SOCKET, 66, "SO_RCVTIMEO_NEW", Value::kTimeout},
    {SOL_SOCKET, 67, "SO_SNDTIMEO_NEW", Value::kTimeout},
    {TAPIR_NAMED(SOL_SOCKET, SO_MAX_PACING_RATE)},
    {TAPIR_NAMED(SOL_IP, IP_TOS)},
    {TAPIR_NAMED(SOL_IP, IP_TTL)},
    {TAPIR_NAMED(SOL_IP, IP_OPTIONS), Value::kText},
    {TAPIR_NAMED(SOL_IP, IP_RECVOPTS)},
    {TAPIR_NAMED(SOL_IP, IP_RETOPTS)},
    {TAPIR_NAMED(SOL_IP, IP_PKTINFO)},
    {TAPIR_NAMED(SOL_IP, IP_MTU_DISCOVER)},
    {TAPIR_NAMED(SOL_IP, IP_RECVERR)},
    {TAPIR_NAMED(SOL_IP, IP_RECVTTL)},
    {TAPIR_NAMED(SOL_IP, IP_RECVTOS)},
    {TAPIR_NAMED(SOL_IP, IP_MTU)},
    {TAPIR_NAMED(SOL_IP, IP_FREEBIND)},
    {TAPIR_NAMED(SOL_IP, IP_TRANSPARENT)},
    {TAPIR_NAMED(SOL_IP, IP_RECVORIGDSTADDR)},
    {TAPIR_NAMED(SOL_IP, IP_BIND_ADDRESS_NO_PORT)},
    {TAPIR_NAMED(SOL_IP, IP_MULTICAST_TTL)},
    {TAPIR_NAMED(SOL_IP, IP_MULTICAST_LOOP)},
    {TAPIR_NAMED(SOL_TCP, TCP_NODELAY)},
    {TAPIR_NAMED(SOL_TCP, TCP_MAXSEG)},
    {TAPIR_NAMED(SOL_TCP, TCP_CORK)},
    {TAPIR_NAMED(SOL_TCP, TCP_KEEPIDLE)},
    {TAPIR_NAMED(SOL_TCP, TCP_KEEPINTVL)},
    {TAPIR_NAMED(SOL_TCP, TCP_KEEPCNT)},
    {TAPIR_NAMED(SOL_TCP, TCP_SYNCNT)},
    {TAPIR_NAMED(SOL_TCP, TCP_LINGER2)},
    {TAPIR_NAMED(SOL_TCP, TCP_DEFER_ACCEPT)},
    {TAPIR_NAMED(SOL_TCP, TCP_WINDOW_CLAMP)},
    {TAPIR_NAMED(SOL_TCP, TCP_INFO), Value::kInfo},
    {TAPIR_NAMED(SOL_TCP, TCP_QUICKACK)},
    {TAPIR_NAMED(SOL_TCP, TCP_CONGESTION), Value::kOpaque},
    {TAPIR_NAMED(SOL_TCP, TCP_THIN_LINEAR_TIMEOUTS)},
    {TAPIR_NAMED(SOL_TCP, TCP_USER_TIMEOUT)},
    {TAPIR_NAMED(SOL_TCP, TCP_NOTSENT_LOWAT)},
    {TAPIR_NAMED(SOL_TCP, TCP_INQ)},
    {TAPIR_NAMED(SOL_TCP, TCP_FASTOPEN)},
    {TAPIR_NAMED(SOL_TCP, TCP_FASTOPEN_CONNECT)},
    {SOL_TCP, 999, "TCP_999"},
    {SOL_IP, 999, "IP_999"},
    {SOL_SOCKET, 999, "SO_999"},
    {IPPROTO_UDP, 999, "UDP_999"},
    {12345, 1, "level_12345"},
};
#undef TAPIR_NAMED

const OptionName* find(int level, int name) {
  for (const OptionName& option : kOptions)
    if (option.level == level && option.name == name) return &option;
  return nullptr;
}

std::string hex(const unsigned char* value, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) {
    out += "0123456789abcdef"[value[i] >> 4];
    out += "0123456789abcdef"[value[i] & 15];
  }
  return out;
}

}  // namespace

std::span<const OptionName> option_names() { return kOptions; }

std::string option_text(int level, int name) {
  const OptionName* option = find(level, name);
  return option != nullptr ? option->text : std::to_string(level) + "," + std::to_string(name);
}

socklen_t value_size(int level, int name) {
  const OptionName* option = find(level, name);
  if (option == nullptr) return sizeof(int);
  switch (option->value) {
    case Value::kInt:
      return sizeof(int);
    case Value::kLinger:
      return sizeof(linger);
    case Value::kTimeout:
      return sizeof(timeval);
    case Value::kText:
      return 16;
    case Value::kInfo:
      return 104;  // struct tcp_info up to tcpi_total_retrans
    case Value::kOpaque:
      return name == SO_COOKIE ? 8 : name == SO_MEMINFO ? 36 : name == SO_INCOMING_CPU ? 4 : 16;
  }
  return sizeof(int);
}

std::string value_text(int level, int name, const unsigned char* value, socklen_t length) {
  const OptionName* option = find(level, name);
  const Value kind = option != nullptr ? option->value : Value::kInt;
  if (kind == Value::kOpaque) return "";
  if (kind == Value::kInfo) return " state=" + std::to_string(value[0]);
  if (kind == Value::kInt && length == sizeof(int)) {
    int number;
    ::memcpy(&number, value, sizeof(number));
    return " " + std::to_string(number);
  }
  return " 0x" + hex(value, length);
}

socklen_t example_value(int level, int name, unsigned char* value) {
  const OptionName* option = find(level, name);
  const Value kind = option != nullptr ? option->value : Value::kInt;
  const int one = 1;
  const linger lingering{1, 3};
  const timeval timeout{1, 500'000};
  switch (kind) {
    case Value::kLinger:
      ::memcpy(value, &lingering, sizeof(lingering));
      return sizeof(lingering);
    case Value::kTimeout:
      ::memcpy(value, &timeout, sizeof(timeout));
      return sizeof(timeout);
    case Value::kText:
      ::memcpy(value, "lo", 3);
      return 3;
    case Value::kOpaque:
      if (name == TCP_CONGESTION) {
        ::memcpy(value, "reno", 5);
        return 5;
      }
      [[fallthrough]];
    default:
      ::memcpy(value, &one, sizeof(one));
      return sizeof(one);
  }
}

std::string control_value_text(const Place& place, int level, int type, const unsigned char* value,
                               std::size_t size) {
  if (level == SOL_SOCKET && (type == SO_TIMESTAMP || type == SO_TIMESTAMPNS || type == SO_TIMESTAMPING ||
                              (type >= 63 && type <= 65)))
    return " time";
  if (level == SOL_IP && type == IP_PKTINFO) {
    in_pktinfo info;
    ::memcpy(&info, value, std::min(size, sizeof(info)));
    const std::uint32_t net = 0x7f000000 | place.net << 8;
    const auto last = [&](in_addr a) { return std::to_string(ntohl(a.s_addr) - net); };
    return " if=" + std::to_string(info.ipi_ifindex) + " dst=" + last(info.ipi_spec_dst) +
           " addr=" + last(info.ipi_addr);
  }
  if (level == SOL_IP && type == IP_RECVERR && size >= sizeof(sock_extended_err)) {
    sock_extended_err error;
    ::memcpy(&error, value, sizeof(error));
    return " errno=" + std::to_string(error.ee_errno) + " origin=" + std::to_string(error.ee_origin) +
           " type=" + std::to_string(error.ee_type) + " code=" + std::to_string(error.ee_code) +
           " info=" + std::to_string(error.ee_info) + " data=" + std::to_string(error.ee_data);
  }
  if (level == SOL_IP && type == IP_ORIGDSTADDR) {
    sockaddr_in in;
    ::memcpy(&in, value, sizeof(in));
    return " " + port_name(place, ntohs(in.sin_port));
  }
  return " 0x" + hex(value, size);
}

std::string poll_text(int events) {
  static constexpr struct {
    int bit;
    const char* name;
  } kBits[] = {{POLLIN, "IN"},      {POLLPRI, "PRI"},    {POLLOUT, "OUT"},    {POLLERR, "ERR"},
               {POLLHUP, "HUP"},    {POLLNVAL, "NVAL"},  {POLLRDNORM, "RDN"}, {POLLRDBAND, "RDB"},
               {POLLWRNORM, "WRN"}, {POLLWRBAND, "WRB"}, {POLLRDHUP, "RDHUP"}};
  std::string out;
  for (const auto& bit : kBits)
    if ((events & bit.bit) != 0) out += (out.empty() ? "" : "+") + std::string(bit.name);
  return out.empty() ? "-" : out;
}

std::string text(const Op& op) {
  static constexpr const char* kCalls[] = {
      "socket",     "bind",         "listen",    "accept",     "connect",    "send",        "sendto",
      "sendmsg",    "writev",       "sendmmsg",  "recv",       "recvfrom",   "recvmsg",     "readv",
      "recvmmsg",   "shutdown",     "close",     "dup",        "dup3",       "getsockname", "getpeername",
      "setsockopt", "setsockopt",   "timeout",   "timed",      "getsockopt", "ioctl",       "fcntl",
      "poll",       "epoll_create", "epoll_ctl", "epoll_wait", "pass",       "sendmsg",     "setsockopt"};
  static constexpr const char* kAddressNames[kAddresses] = {
      "any",       "own",     "other",         "localhost",     "foreign",  "multicast",
      "broadcast", "class-e", "AF_UNSPEC:any", "AF_UNSPEC:own", "AF_INET6", "short",
      "tiny",      "long",    "null",          "zero-length"};
  static constexpr const char* kPortNames[kPorts] = {"0", "P0", "P1", "P2", "P3", "80"};
  static constexpr const char* kShapes[] = {"exact",      "short",       "long", "zero", "negative",
                                            "null-value", "null-length", "byte", "roomy"};
  std::string out = std::string(kCalls[static_cast<int>(op.call)]) + "(#" + std::to_string(op.slot);
  const auto number = [&](long n) { out += ", " + std::to_string(n); };
  switch (op.call) {
    case Call::kBind:
    case Call::kConnect:
      out += std::string(", ") + kAddressNames[op.a] + ":" + kPortNames[op.b];
      break;
    case Call::kSendTo:
      number(op.a);
      number(op.b);
      out += std::string(", ") + kAddressNames[op.c / 16] + ":" + kPortNames[op.c % 16];
      break;
    case Call::kSetInt:
      out += ", " + option_text(static_cast<int>(op.a), static_cast<int>(op.b));
      number(op.c);
      break;
    case Call::kSetValue:
    case Call::kGet:
      out += ", " + option_text(static_cast<int>(op.a), static_cast<int>(op.b)) + ", " + kShapes[op.c];
      break;
    case Call::kGetSockName:
    case Call::kGetPeerName:
      out += std::string(", ") + kShapes[op.a];
      break;
    case Call::kShutdown:
    case Call::kListen:
    case Call::kPass:
      number(op.a);
      break;
    default:
      for (const long n : {op.a, op.b, op.c, op.d}) number(n);
  }
  return out + ")";
}

std::string text(const Script& script) {
  std::string out;
  for (const Op& op : script) out += "  " + text(op) + "\n";
  return out;
}

}  // namespace tapir::differential
