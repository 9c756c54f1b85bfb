// SPDX-License-Identifier: Apache-2.0
// What descriptors stand for: Linux's struct file and struct socket in one, per kind.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "base/time.h"
#include "frame/frame.h"
#include "inet/endpoint.h"
#include "inet/ip_options.h"
#include "inet/multicast.h"
#include "inet/protocol.h"
#include "ip/groups.h"
#include "raw/packet_ports.h"
#include "raw/ping_ports.h"
#include "raw/raw_ports.h"
#include "stack/ports.h"
#include "tcp/engine.h"
#include "tcp/options.h"
#include "udp/ports.h"

namespace tapir::socket {

struct EpollSet;
struct File;

// ---- wake-ups: the key that Linux passes to those who wait ----
inline constexpr std::uint32_t kWakeReadable =
    EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND;                                   // sock_def_readable
inline constexpr std::uint32_t kWakeWritable = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;  // sk_stream_write_space
inline constexpr std::uint32_t kWakeError = EPOLLERR;                                 // sock_def_error_report
// sk_state_change wakes everybody, whatever they wait for.
inline constexpr std::uint32_t kWakeAll =
    kWakeReadable | kWakeWritable | kWakeError | EPOLLHUP | EPOLLRDHUP | EPOLLMSG;

struct WatchTag;   // an EpollItem in the list of the file it watches
struct MemberTag;  // an EpollItem in its set
struct ReadyTag;   // an EpollItem in its set's ready list
struct WokenTag;   // a File in the list of those woken since the last look

// One descriptor in one epoll set (Linux's struct epitem).
struct EpollItem : ListLink<WatchTag>, ListLink<MemberTag>, ListLink<ReadyTag> {
  EpollSet* set = nullptr;
  File* file = nullptr;
  int descriptor = -1;       // under which it was added; with `file` the item's name
  std::uint32_t events = 0;  // as epoll_ctl gave them; one-shot clears all but the private bits
  epoll_data_t data{};
};

// kRaw, kPing and kPacket are DatagramSockets too, without a UDP port.
enum class FileKind : std::uint8_t { kStream, kDatagram, kRaw, kPing, kPacket, kEpoll };

struct File : ListLink<WokenTag> {
  explicit File(FileKind k) : kind(k) {}

  IntrusiveList<EpollItem, WatchTag> watchers;
  int first_descriptor = -1;     // head of the chain of its descriptors (DescriptorTable)
  std::uint32_t references = 0;  // descriptors
  std::uint32_t woken = 0;       // wake-up keys since the last take_woken()
  FileKind kind;
  bool nonblocking = false;  // O_NONBLOCK
};

// Bits of SocketFile::shutdown, Linux's sk_shutdown.
inline constexpr std::uint8_t kReceiveShutdown = 1;
inline constexpr std::uint8_t kSendShutdown = 2;
inline constexpr std::uint8_t kBothShutdown = 3;

// SocketFile::timestamps: one of the first two, or none; with the third if the last of SO_TIMESTAMP,
// SO_TIMESTAMPNS and SO_TIMESTAMPING was asked for by its new number (SO_TIMESTAMP_NEW …), by which all are
// told then. They look the same where time_t has 64 bits.
enum : std::uint8_t { kTimestampNone, kTimestampMicroseconds, kTimestampNanoseconds, kTimestampNew = 4 };
// Not in Debian's headers.
inline constexpr int kSoTimestampNew = 63;
inline constexpr int kSoTimestampNsNew = 64;
inline constexpr int kSoTimestampingNew = 65;
inline constexpr int kSoReceiveTimeoutNew = 66;
inline constexpr int kSoSendTimeoutNew = 67;
// Bits of SocketFile::tells: IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVORIGDSTADDR; IP_RECVOPTS and
// IP_RETOPTS, which nothing follows from as packets with IP options carry none that is kept.
enum : std::uint8_t {
  kTellsPacketInfo = 1,
  kTellsHopLimit = 2,
  kTellsTos = 4,
  kTellsDestination = 8,
  kTellsOptions = 16,
  kTellsReturnOptions = 32,
};

// What stream and datagram sockets share.
struct SocketFile : File {
  using File::File;

  Endpoint local;                        // as bound or chosen; port 0: none
  stack::Ports::Id binding;              // the hold on local.port
  Duration receive_timeout{};            // SO_RCVTIMEO; zero: for ever
  Duration send_timeout{};               // SO_SNDTIMEO
  InterfaceId interface = kNoInterface;  // SO_BINDTODEVICE
  std::uint16_t stale_port =
      0;                   // what getsockname() still says of a port that was let go of (Linux: inet_sport)
  std::uint32_t mark = 0;  // SO_MARK
  std::int32_t priority = 0;         // SO_PRIORITY
  std::int32_t error = 0;            // sk_err when no connection holds it
  std::uint32_t linger_seconds = 0;  // SO_LINGER
  std::int32_t peek_offset = -1;     // SO_PEEK_OFF; negative: peeks begin at the head
  bool linger : 1 = false;
  bool address_locked : 1 = false;  // bind() chose the address (SOCK_BINDADDR_LOCK)
  bool port_locked : 1 = false;     // bind() named the port (SOCK_BINDPORT_LOCK)
  bool multicast_loop : 1 = true;   // IP_MULTICAST_LOOP
  bool end_signalled : 1 = false;   // the peer's FIN was told by a signal
  bool reuse_address = false;
  bool reuse_port = false;
  bool broadcast = false;
  bool keepalive = false;
  bool dont_route = false;
  bool debug = false;
  bool free_bind = false;          // IP_FREEBIND
  bool receive_errors = false;     // IP_RECVERR
  bool no_check = false;           // SO_NO_CHECK
  bool bind_no_port = false;       // IP_BIND_ADDRESS_NO_PORT
  std::uint8_t timestamps = 0;     // SO_TIMESTAMP, SO_TIMESTAMPNS: kTimestamp*
  std::uint8_t tells = 0;          // what recvmsg() tells besides the data: kTells*
  std::uint8_t shutdown = 0;       // what the program shut while there was no connection to tell
  std::int8_t signal_number = -1;  // of Sockets::signal_number(); -1: none

  stack::Sharing sharing() const { return {reuse_address, reuse_port, 0}; }
};

// Linux's socket_state.
enum class SocketState : std::uint8_t { kUnconnected, kConnecting, kConnected, kDisconnecting };

struct StreamSocket : SocketFile {
  StreamSocket() : SocketFile(FileKind::kStream) {}

  SocketState state : 2 = SocketState::kUnconnected;
  bool end_noticed : 1 = false;  // of `connection`; a port bound since is not the one it had
  bool fast_open_call : 1 =
      false;  // a call waits for the handshake with the SYN of which its data left (Linux: fastopen_req)
  tcp::ConnectionId connection;      // null: none
  tcp::ListenerId listener;          // null: not listening
  std::uint32_t fast_open_keys = 0;  // TCP_FASTOPEN_KEY: index + 1; 0: the stack's
  std::uint32_t md5_keys = 0;        // TCP_MD5SIG: a list of State::md5_keys
  std::uint32_t errors =
      0;  // what ICMP said while it was opening: State::stream_errors, index + 1; 0: nothing
  // What was set while there is neither connection nor listener, which have their own: State::own_options,
  // index + 1; 0: nothing. Apart, as most sockets have a connection.
  std::uint32_t options = 0;
};

// IP_MULTICAST_*.
struct MulticastOptions {
  std::uint8_t hop_limit = 1;            // IP_MULTICAST_TTL
  InterfaceId interface = kNoInterface;  // IP_MULTICAST_IF; kNoInterface: the route's
  IpAddress source;                      // IP_MULTICAST_IF by address; unspecified: the path's
};

// A socket in a group, with its part of the host's membership.
struct Membership : GroupMembership {
  ip::MemberId member;
};

struct DatagramSocket : SocketFile {
  DatagramSocket() : SocketFile(FileKind::kDatagram) {}

  udp::PortHandle port;
  std::int32_t send_buffer = 0;  // SO_SNDBUF as the kernel keeps it; 0 = net.core.wmem_default
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;          // IP_TTL; 0 = the path's
  std::uint8_t mtu_discover = 1;       // IP_PMTUDISC_*
  Frame corked;                        // what MSG_MORE holds back of the next datagram; empty: nothing
  Endpoint corked_to;                  // where it goes
  std::int32_t receive_low_water = 1;  // SO_RCVLOWAT, which datagrams take no notice of
  bool urgent_inline = false;          // SO_OOBINLINE, likewise
  std::uint32_t timestamping = 0;      // SO_TIMESTAMPING
  std::uint64_t max_pacing_rate = ~std::uint64_t{0};  // SO_MAX_PACING_RATE, which datagrams take no notice of
  std::uint8_t type = 2;                              // SO_TYPE: SOCK_DGRAM or SOCK_RAW
  std::uint16_t protocol = 17;  // SO_PROTOCOL; of a packet socket in network order, as socket(2) takes it
  MulticastOptions multicast;
  IpOptions ip_options;  // IP_OPTIONS
  Endpoint remote;       // of connect(); a UDP socket's is its port's

 protected:
  explicit DatagramSocket(FileKind kind_) : SocketFile(kind_) {}
};

// SOCK_RAW. local.port is the protocol, as Linux shows it.
struct RawSocket : DatagramSocket {
  RawSocket() : DatagramSocket(FileKind::kRaw) {}

  raw::RawHandle port_of_raw;
  bool header_included = false;  // IP_HDRINCL
};

// SOCK_DGRAM with IPPROTO_ICMP. local.port is the identifier.
struct PingSocket : DatagramSocket {
  PingSocket() : DatagramSocket(FileKind::kPing) {}

  raw::PingHandle port_of_ping;
};

// AF_PACKET.
struct PacketSocket : DatagramSocket {
  PacketSocket() : DatagramSocket(FileKind::kPacket) {}

  raw::PacketHandle port_of_packet;
  bool auxiliary_data = false;      // PACKET_AUXDATA
  std::uint64_t arrivals_seen = 0;  // PACKET_STATISTICS
  std::uint64_t drops_seen = 0;     // PACKET_STATISTICS
};

// Linux's struct eventpoll.
struct EpollSet : File {
  EpollSet() : File(FileKind::kEpoll) {}

  IntrusiveList<EpollItem, MemberTag> items;
  IntrusiveList<EpollItem, ReadyTag> ready;  // first in, first out
};

}  // namespace tapir::socket
