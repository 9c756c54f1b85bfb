// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/symbols.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <span>

namespace tapir::sim::drill {

namespace {

struct Symbol {
  std::string_view name;
  std::int64_t value;
};

#define TAPIR_SYMBOL(name) \
  Symbol { #name, static_cast<std::int64_t>(name) }

constexpr Symbol kErrnos[] = {
    TAPIR_SYMBOL(EPERM),        TAPIR_SYMBOL(ENOENT),          TAPIR_SYMBOL(EINTR),
    TAPIR_SYMBOL(EIO),          TAPIR_SYMBOL(ENXIO),           TAPIR_SYMBOL(EBADF),
    TAPIR_SYMBOL(EAGAIN),       TAPIR_SYMBOL(ENOMEM),          TAPIR_SYMBOL(EACCES),
    TAPIR_SYMBOL(EFAULT),       TAPIR_SYMBOL(EBUSY),           TAPIR_SYMBOL(EEXIST),
    TAPIR_SYMBOL(ENODEV),       TAPIR_SYMBOL(EINVAL),          TAPIR_SYMBOL(ENFILE),
    TAPIR_SYMBOL(EMFILE),       TAPIR_SYMBOL(ENOTTY),          TAPIR_SYMBOL(ENOSPC),
    TAPIR_SYMBOL(ESPIPE),       TAPIR_SYMBOL(EPIPE),           TAPIR_SYMBOL(EDOM),
    TAPIR_SYMBOL(ERANGE),       TAPIR_SYMBOL(ENOSYS),          TAPIR_SYMBOL(ENOMSG),
    TAPIR_SYMBOL(EPROTO),       TAPIR_SYMBOL(EOVERFLOW),       TAPIR_SYMBOL(ENOTSOCK),
    TAPIR_SYMBOL(EDESTADDRREQ), TAPIR_SYMBOL(EMSGSIZE),        TAPIR_SYMBOL(EPROTOTYPE),
    TAPIR_SYMBOL(ENOPROTOOPT),  TAPIR_SYMBOL(EPROTONOSUPPORT), TAPIR_SYMBOL(ESOCKTNOSUPPORT),
    TAPIR_SYMBOL(EOPNOTSUPP),   TAPIR_SYMBOL(EPFNOSUPPORT),    TAPIR_SYMBOL(EAFNOSUPPORT),
    TAPIR_SYMBOL(EADDRINUSE),   TAPIR_SYMBOL(EADDRNOTAVAIL),   TAPIR_SYMBOL(ENETDOWN),
    TAPIR_SYMBOL(ENETUNREACH),  TAPIR_SYMBOL(ENETRESET),       TAPIR_SYMBOL(ECONNABORTED),
    TAPIR_SYMBOL(ECONNRESET),   TAPIR_SYMBOL(ENOBUFS),         TAPIR_SYMBOL(EISCONN),
    TAPIR_SYMBOL(ENOTCONN),     TAPIR_SYMBOL(ESHUTDOWN),       TAPIR_SYMBOL(ETIMEDOUT),
    TAPIR_SYMBOL(ECONNREFUSED), TAPIR_SYMBOL(EHOSTDOWN),       TAPIR_SYMBOL(EHOSTUNREACH),
    TAPIR_SYMBOL(EALREADY),     TAPIR_SYMBOL(EINPROGRESS),     TAPIR_SYMBOL(ECANCELED),
    TAPIR_SYMBOL(ENODATA),      TAPIR_SYMBOL(ENONET),          TAPIR_SYMBOL(EWOULDBLOCK),
    TAPIR_SYMBOL(ENOTSUP),
};

constexpr Symbol kSymbols[] = {
    {"NULL", 0},
    // sockets
    TAPIR_SYMBOL(AF_UNSPEC),
    TAPIR_SYMBOL(AF_UNIX),
    TAPIR_SYMBOL(AF_INET),
    TAPIR_SYMBOL(AF_INET6),
    TAPIR_SYMBOL(PF_INET),
    TAPIR_SYMBOL(PF_INET6),
    TAPIR_SYMBOL(SOCK_STREAM),
    TAPIR_SYMBOL(SOCK_DGRAM),
    TAPIR_SYMBOL(SOCK_RAW),
    TAPIR_SYMBOL(SOCK_NONBLOCK),
    TAPIR_SYMBOL(SOCK_CLOEXEC),
    TAPIR_SYMBOL(IPPROTO_IP),
    TAPIR_SYMBOL(IPPROTO_ICMP),
    TAPIR_SYMBOL(IPPROTO_TCP),
    TAPIR_SYMBOL(IPPROTO_UDP),
    TAPIR_SYMBOL(IPPROTO_IPV6),
    TAPIR_SYMBOL(SHUT_RD),
    TAPIR_SYMBOL(SHUT_WR),
    TAPIR_SYMBOL(SHUT_RDWR),
    TAPIR_SYMBOL(SOMAXCONN),
    {"SOL_IP", 0},
    {"SOL_TCP", 6},
    {"SOL_UDP", 17},
    {"SOL_IPV6", 41},
    TAPIR_SYMBOL(SOL_SOCKET),
    TAPIR_SYMBOL(SO_DEBUG),
    TAPIR_SYMBOL(SO_REUSEADDR),
    TAPIR_SYMBOL(SO_TYPE),
    TAPIR_SYMBOL(SO_ERROR),
    TAPIR_SYMBOL(SO_DONTROUTE),
    TAPIR_SYMBOL(SO_BROADCAST),
    TAPIR_SYMBOL(SO_SNDBUF),
    TAPIR_SYMBOL(SO_RCVBUF),
    TAPIR_SYMBOL(SO_SNDBUFFORCE),
    TAPIR_SYMBOL(SO_RCVBUFFORCE),
    TAPIR_SYMBOL(SO_KEEPALIVE),
    TAPIR_SYMBOL(SO_OOBINLINE),
    TAPIR_SYMBOL(SO_NO_CHECK),
    TAPIR_SYMBOL(SO_PRIORITY),
    TAPIR_SYMBOL(SO_LINGER),
    TAPIR_SYMBOL(SO_REUSEPORT),
    TAPIR_SYMBOL(SO_PEERCRED),
    TAPIR_SYMBOL(SO_RCVLOWAT),
    TAPIR_SYMBOL(SO_SNDLOWAT),
    {"SO_RCVTIMEO", 20},
    {"SO_SNDTIMEO", 21},
    TAPIR_SYMBOL(SO_BINDTODEVICE),
    {"SO_TIMESTAMP", 29},
    {"SO_TIMESTAMPNS", 35},
    {"SO_TIMESTAMPING", 37},
    TAPIR_SYMBOL(SO_ACCEPTCONN),
    TAPIR_SYMBOL(SO_MARK),
    TAPIR_SYMBOL(SO_PROTOCOL),
    TAPIR_SYMBOL(SO_DOMAIN),
    TAPIR_SYMBOL(SO_PEEK_OFF),
    TAPIR_SYMBOL(SO_BUSY_POLL),
    TAPIR_SYMBOL(SO_MAX_PACING_RATE),
    TAPIR_SYMBOL(SO_INCOMING_CPU),
    TAPIR_SYMBOL(SO_MEMINFO),
    TAPIR_SYMBOL(SO_INCOMING_NAPI_ID),
    TAPIR_SYMBOL(SO_COOKIE),
    TAPIR_SYMBOL(SO_ZEROCOPY),
    TAPIR_SYMBOL(SO_TXTIME),
    {"SO_RESERVE_MEM", 73},
    {"SO_TXREHASH", 74},
    // IP
    TAPIR_SYMBOL(IP_TOS),
    TAPIR_SYMBOL(IP_TTL),
    TAPIR_SYMBOL(IP_HDRINCL),
    TAPIR_SYMBOL(IP_OPTIONS),
    TAPIR_SYMBOL(IP_RECVOPTS),
    TAPIR_SYMBOL(IP_PKTINFO),
    TAPIR_SYMBOL(IP_MTU_DISCOVER),
    TAPIR_SYMBOL(IP_RECVERR),
    TAPIR_SYMBOL(IP_RECVTTL),
    TAPIR_SYMBOL(IP_RECVTOS),
    TAPIR_SYMBOL(IP_MTU),
    TAPIR_SYMBOL(IP_FREEBIND),
    TAPIR_SYMBOL(IP_TRANSPARENT),
    TAPIR_SYMBOL(IP_MINTTL),
    TAPIR_SYMBOL(IP_BIND_ADDRESS_NO_PORT),
    {"IP_LOCAL_PORT_RANGE", 51},
    TAPIR_SYMBOL(IP_PMTUDISC_DONT),
    TAPIR_SYMBOL(IP_PMTUDISC_WANT),
    TAPIR_SYMBOL(IP_PMTUDISC_DO),
    TAPIR_SYMBOL(IP_PMTUDISC_PROBE),
    TAPIR_SYMBOL(IP_PMTUDISC_INTERFACE),
    TAPIR_SYMBOL(IP_PMTUDISC_OMIT),
    TAPIR_SYMBOL(IPV6_RECVERR),
    TAPIR_SYMBOL(IPV6_V6ONLY),
    TAPIR_SYMBOL(IPV6_TCLASS),
    {"IPV6_HOPLIMIT", 52},
    TAPIR_SYMBOL(IPV6_UNICAST_HOPS),
    TAPIR_SYMBOL(IPTOS_LOWDELAY),
    TAPIR_SYMBOL(IPTOS_THROUGHPUT),
    // TCP
    TAPIR_SYMBOL(TCP_NODELAY),
    TAPIR_SYMBOL(TCP_MAXSEG),
    TAPIR_SYMBOL(TCP_CORK),
    TAPIR_SYMBOL(TCP_KEEPIDLE),
    TAPIR_SYMBOL(TCP_KEEPINTVL),
    TAPIR_SYMBOL(TCP_KEEPCNT),
    TAPIR_SYMBOL(TCP_SYNCNT),
    TAPIR_SYMBOL(TCP_LINGER2),
    TAPIR_SYMBOL(TCP_DEFER_ACCEPT),
    TAPIR_SYMBOL(TCP_WINDOW_CLAMP),
    TAPIR_SYMBOL(TCP_INFO),
    TAPIR_SYMBOL(TCP_QUICKACK),
    TAPIR_SYMBOL(TCP_CONGESTION),
    TAPIR_SYMBOL(TCP_MD5SIG),
    {"TCP_THIN_LINEAR_TIMEOUTS", 16},
    {"TCP_THIN_DUPACK", 17},
    {"TCP_USER_TIMEOUT", 18},
    {"TCP_REPAIR", 19},
    {"TCP_REPAIR_QUEUE", 20},
    {"TCP_QUEUE_SEQ", 21},
    {"TCP_REPAIR_OPTIONS", 22},
    {"TCP_FASTOPEN", 23},
    {"TCP_TIMESTAMP", 24},
    {"TCP_NOTSENT_LOWAT", 25},
    {"TCP_CC_INFO", 26},
    {"TCP_SAVE_SYN", 27},
    {"TCP_SAVED_SYN", 28},
    {"TCP_REPAIR_WINDOW", 29},
    {"TCP_FASTOPEN_CONNECT", 30},
    {"TCP_ULP", 31},
    {"TCP_MD5SIG_EXT", 32},
    {"TCP_FASTOPEN_KEY", 33},
    {"TCP_FASTOPEN_NO_COOKIE", 34},
    {"TCP_ZEROCOPY_RECEIVE", 35},
    {"TCP_INQ", 36},
    {"TCP_CM_INQ", 36},
    {"TCP_TX_DELAY", 37},
    {"TCP_ESTABLISHED", 1},
    {"TCP_SYN_SENT", 2},
    {"TCP_SYN_RECV", 3},
    {"TCP_FIN_WAIT1", 4},
    {"TCP_FIN_WAIT2", 5},
    {"TCP_TIME_WAIT", 6},
    {"TCP_CLOSE", 7},
    {"TCP_CLOSE_WAIT", 8},
    {"TCP_LAST_ACK", 9},
    {"TCP_LISTEN", 10},
    {"TCP_CLOSING", 11},
    {"TCP_NEW_SYN_RECV", 12},
    {"TCP_CA_Open", 0},
    {"TCP_CA_Disorder", 1},
    {"TCP_CA_CWR", 2},
    {"TCP_CA_Recovery", 3},
    {"TCP_CA_Loss", 4},
    {"TCPI_OPT_TIMESTAMPS", 1},
    {"TCPI_OPT_SACK", 2},
    {"TCPI_OPT_WSCALE", 4},
    {"TCPI_OPT_ECN", 8},
    {"TCPI_OPT_ECN_SEEN", 16},
    {"TCPI_OPT_SYN_DATA", 32},
    {"TCPI_OPT_USEC_TS", 64},
    // message flags
    TAPIR_SYMBOL(MSG_OOB),
    TAPIR_SYMBOL(MSG_PEEK),
    TAPIR_SYMBOL(MSG_DONTROUTE),
    TAPIR_SYMBOL(MSG_CTRUNC),
    TAPIR_SYMBOL(MSG_TRUNC),
    TAPIR_SYMBOL(SPLICE_F_MOVE),
    TAPIR_SYMBOL(SPLICE_F_NONBLOCK),
    TAPIR_SYMBOL(SPLICE_F_MORE),
    TAPIR_SYMBOL(MSG_DONTWAIT),
    TAPIR_SYMBOL(MSG_EOR),
    TAPIR_SYMBOL(MSG_WAITALL),
    TAPIR_SYMBOL(MSG_CONFIRM),
    TAPIR_SYMBOL(MSG_ERRQUEUE),
    TAPIR_SYMBOL(MSG_NOSIGNAL),
    TAPIR_SYMBOL(MSG_MORE),
    TAPIR_SYMBOL(MSG_WAITFORONE),
    TAPIR_SYMBOL(MSG_FASTOPEN),
    TAPIR_SYMBOL(MSG_CMSG_CLOEXEC),
    TAPIR_SYMBOL(MSG_ZEROCOPY),
    // files
    TAPIR_SYMBOL(F_DUPFD),
    TAPIR_SYMBOL(F_GETFD),
    TAPIR_SYMBOL(F_SETFD),
    TAPIR_SYMBOL(F_GETFL),
    TAPIR_SYMBOL(F_SETFL),
    TAPIR_SYMBOL(FD_CLOEXEC),
    TAPIR_SYMBOL(O_RDONLY),
    TAPIR_SYMBOL(O_WRONLY),
    TAPIR_SYMBOL(O_RDWR),
    TAPIR_SYMBOL(O_CREAT),
    TAPIR_SYMBOL(O_NONBLOCK),
    {"FIONREAD", 0x541b},
    {"FIONBIO", 0x5421},
    {"SIOCINQ", 0x541b},
    {"SIOCOUTQ", 0x5411},
    {"SIOCOUTQNSD", 0x894b},
    {"SIOCATMARK", 0x8905},
    // readiness
    TAPIR_SYMBOL(POLLIN),
    TAPIR_SYMBOL(POLLPRI),
    TAPIR_SYMBOL(POLLOUT),
    TAPIR_SYMBOL(POLLERR),
    TAPIR_SYMBOL(POLLHUP),
    TAPIR_SYMBOL(POLLNVAL),
    {"POLLRDNORM", 0x40},
    {"POLLRDBAND", 0x80},
    {"POLLWRNORM", 0x100},
    {"POLLWRBAND", 0x200},
    {"POLLRDHUP", 0x2000},
    {"EPOLLIN", 1},
    {"EPOLLPRI", 2},
    {"EPOLLOUT", 4},
    {"EPOLLERR", 8},
    {"EPOLLHUP", 0x10},
    {"EPOLLRDNORM", 0x40},
    {"EPOLLRDBAND", 0x80},
    {"EPOLLWRNORM", 0x100},
    {"EPOLLWRBAND", 0x200},
    {"EPOLLMSG", 0x400},
    {"EPOLLRDHUP", 0x2000},
    {"EPOLLEXCLUSIVE", 0x10000000},
    {"EPOLLWAKEUP", 0x20000000},
    {"EPOLLONESHOT", 0x40000000},
    {"EPOLLET", 0x80000000},
    TAPIR_SYMBOL(EPOLL_CTL_ADD),
    TAPIR_SYMBOL(EPOLL_CTL_DEL),
    TAPIR_SYMBOL(EPOLL_CTL_MOD),
    TAPIR_SYMBOL(EPOLL_CLOEXEC),
    // error queue and control messages
    {"SCM_RIGHTS", 1},
    {"SCM_TIMESTAMP", 29},
    {"SCM_TIMESTAMPNS", 35},
    {"SCM_TIMESTAMPING", 37},
    {"SCM_TSTAMP_SND", 0},
    {"SCM_TSTAMP_SCHED", 1},
    {"SCM_TSTAMP_ACK", 2},
    {"SO_EE_ORIGIN_NONE", 0},
    {"SO_EE_ORIGIN_LOCAL", 1},
    {"SO_EE_ORIGIN_ICMP", 2},
    {"SO_EE_ORIGIN_ICMP6", 3},
    {"SO_EE_ORIGIN_TXSTATUS", 4},
    {"SO_EE_ORIGIN_ZEROCOPY", 5},
    {"SO_EE_ORIGIN_TIMESTAMPING", 4},
    {"SO_EE_CODE_ZEROCOPY_COPIED", 1},
    TAPIR_SYMBOL(SOF_TIMESTAMPING_TX_HARDWARE),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_TX_SOFTWARE),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_RX_HARDWARE),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_RX_SOFTWARE),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_SOFTWARE),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_RAW_HARDWARE),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_OPT_ID),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_TX_SCHED),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_TX_ACK),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_OPT_CMSG),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_OPT_TSONLY),
    TAPIR_SYMBOL(SOF_TIMESTAMPING_OPT_STATS),
    {"SOF_TIMESTAMPING_OPT_ID_TCP", 1 << 16},
};

#undef TAPIR_SYMBOL

constexpr Symbol kIcmpTypes[] = {
    {"echo_reply", 0},   {"unreachable", 3},    {"source_quench", 4},      {"redirect", 5},
    {"echo_request", 8}, {"time_exceeded", 11}, {"parameter_problem", 12},
};
constexpr Symbol kUnreachableCodes[] = {
    {"net_unreachable", 0},
    {"host_unreachable", 1},
    {"protocol_unreachable", 2},
    {"port_unreachable", 3},
    {"frag_needed", 4},
    {"source_route_failed", 5},
    {"net_unknown", 6},
    {"host_unknown", 7},
    {"source_host_isolated", 8},
    {"net_prohibited", 9},
    {"host_prohibited", 10},
    {"net_unreachable_for_tos", 11},
    {"host_unreachable_for_tos", 12},
    {"packet_filtered", 13},
    {"communication_prohibited", 13},
    {"precedence_violation", 14},
    {"precedence_cutoff", 15},
};
constexpr Symbol kTimeExceededCodes[] = {
    {"exceeded_in_transit", 0}, {"ttl_exceeded", 0}, {"exceeded_reassembly", 1}, {"reassembly_timeout", 1}};
constexpr Symbol kRedirectCodes[] = {
    {"net_redirect", 0}, {"host_redirect", 1}, {"tos_net_redirect", 2}, {"tos_host_redirect", 3}};

template <std::size_t N>
std::optional<std::int64_t> find(const Symbol (&table)[N], std::string_view name) {
  for (const Symbol& symbol : table)
    if (symbol.name == name) return symbol.value;
  return std::nullopt;
}

std::optional<std::uint8_t> narrow(std::optional<std::int64_t> value) {
  if (!value) return std::nullopt;
  return static_cast<std::uint8_t>(*value);
}

}  // namespace

std::optional<std::int64_t> symbol_value(std::string_view name) {
  if (const auto value = find(kErrnos, name)) return value;
  return find(kSymbols, name);
}

std::string errno_name(int number) {
  for (const Symbol& symbol : kErrnos)
    if (symbol.value == number) return std::string(symbol.name);
  return fmt::format("errno {}", number);
}

std::string flag_names(std::string_view prefix, std::uint64_t value) {
  std::string text;
  std::uint64_t left = value;
  for (const Symbol& symbol : kSymbols) {
    const auto bits = static_cast<std::uint64_t>(symbol.value);
    if (!symbol.name.starts_with(prefix) || bits == 0 || (left & bits) != bits) continue;
    if (!text.empty()) text += '|';
    text += symbol.name;
    left &= ~bits;
  }
  if (left != 0 || text.empty()) text += fmt::format("{}{:#x}", text.empty() ? "" : "|", left);
  return value == 0 ? "0" : text;
}

std::optional<std::uint8_t> icmp_type_value(std::string_view name) { return narrow(find(kIcmpTypes, name)); }

std::string icmp_names(std::uint8_t type, std::uint8_t code) {
  const auto name_in = [](std::span<const Symbol> table, std::uint8_t value) {
    for (const Symbol& symbol : table)
      if (symbol.value == value) return std::string(symbol.name);
    return std::to_string(value);
  };
  std::span<const Symbol> codes;
  if (type == 3) codes = kUnreachableCodes;
  if (type == 5) codes = kRedirectCodes;
  if (type == 11) codes = kTimeExceededCodes;
  return name_in(kIcmpTypes, type) + (codes.empty() ? "" : " " + name_in(codes, code));
}

std::optional<std::uint8_t> icmp_code_value(std::uint8_t type, std::string_view name) {
  switch (type) {
    case 3:
      return narrow(find(kUnreachableCodes, name));
    case 5:
      return narrow(find(kRedirectCodes, name));
    case 11:
      return narrow(find(kTimeExceededCodes, name));
    default:
      return std::nullopt;
  }
}

}  // namespace tapir::sim::drill
