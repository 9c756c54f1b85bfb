// SPDX-License-Identifier: Apache-2.0
// What Sockets keeps, and the calls by kind of file. The public calls (sockets.cc) check the descriptor and
// come here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/keyed_table.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "frame/error_queue.h"
#include "socket/control_messages.h"
#include "socket/descriptors.h"
#include "socket/errno_map.h"
#include "socket/file.h"
#include "socket/sent_controls.h"
#include "socket/sockets.h"
#include "stack/parts.h"
#include "tcp/fastopen_key.h"

namespace tapir::socket {

// Sockets and epoll sets of one table, and items of all sets.
inline constexpr std::uint32_t kFilesMax = 1u << 20;
// Closed sockets whose close() still waits for the peer (SO_LINGER).
inline constexpr std::uint32_t kLingeringMax = 4096;
// Frames lent to the program; ENOBUFS beyond. Without a limit, who never gives back holds all of the stack's
// memory.
inline constexpr std::uint32_t kLentMax = 4096;
// Linux's EP_MAX_NESTS: epoll sets in epoll sets.
inline constexpr int kEpollNestingMax = 4;

// What TCP_FASTOPEN_KEY reads: one key or two.
struct FastOpenKeyBytes {
  std::array<std::uint8_t, 2 * tcp::kFastOpenKeyBytes> bytes{};
  std::size_t size = 0;
};

struct Sockets::State {
  State(stack::Stack& stack, int first_descriptor, std::size_t descriptors_max);
  ~State();

  // ---- state.cc: files and who is woken ----
  SocketFile* find_socket(int descriptor);
  StreamSocket* find_stream(int descriptor);
  // EBADF or ENOTSOCK when find_socket() found none.
  int why_no_socket(int descriptor) const {
    return descriptors.find(descriptor) == nullptr ? EBADF : ENOTSOCK;
  }
  void wake(File& file, std::uint32_t key);
  // `touched`: what tcp/, udp/ or raw/ says happened.
  void note_signal(SocketFile& s, std::uint8_t touched);
  // Moves what the stack touched to the files concerned.
  void absorb_touched(Instant now);
  template <typename Ports, typename Socket>
  void absorb_touched_of_kind(Ports& from, Slab<Socket>& of);
  // Sends what a call caused.
  void finish_call(Instant now);
  // The same at the end of a call whose output may wait for that of others (Sockets::OutputHeld).
  void finish_transfer(Instant now) {
    if (!output_held) finish_call(now);
  }
  // The last descriptor is gone. EINPROGRESS: a stream socket lingers; `file` is no more in any case.
  Result<int> destroy(File& file, Instant now);

  // ---- stream_socket.cc ----
  tcp::Connection* connection_of(const StreamSocket& s) const {
    return s.connection ? parts.tcp.connection(s.connection) : nullptr;
  }
  // Of a connection: its own copy, until settle_options(). Valid until the next call. Without memory for
  // them, options that are set are lost.
  tcp::SocketOptions& options_of(StreamSocket& s);
  void drop_own_options(StreamSocket& s);
  // What options_of() was asked for is done: a connection shares its options again.
  void settle_options(SocketFile& s) {
    if (s.kind == FileKind::kStream) parts.tcp.settle_options(static_cast<StreamSocket&>(s).connection);
  }
  void options_changed(StreamSocket& s, Instant now);
  int take_error(StreamSocket& s);
  // Of these three, those with `connection` are for callers that have looked it up already.
  int pending_error(const StreamSocket& s) const { return pending_error(s, connection_of(s)); }
  std::uint8_t shutdown_of(const StreamSocket& s) const { return shutdown_of(s, connection_of(s)); }
  tcp::State tcp_state(const StreamSocket& s) const { return tcp_state(s, connection_of(s)); }
  static int pending_error(const StreamSocket& s, const tcp::Connection* connection) {
    if (s.error != 0) return s.error;
    return connection != nullptr ? linux_errno(connection->pending_cause()) : 0;
  }
  static std::uint8_t shutdown_of(const StreamSocket& s, const tcp::Connection* connection) {
    std::uint8_t shut = s.shutdown;
    if (connection == nullptr) return shut;
    if (connection->receive_closed()) shut |= kReceiveShutdown;
    if (connection->send_closed()) shut |= kSendShutdown;
    return shut;
  }
  static tcp::State tcp_state(const StreamSocket& s, const tcp::Connection* connection) {
    if (s.listener) return tcp::State::kListen;
    return connection != nullptr ? connection->state() : tcp::State::kClosed;
  }
  Result<int> listen(StreamSocket& s, int backlog, Instant now);
  Result<Descriptor> accept(StreamSocket& s, sockaddr* address, socklen_t* length, int flags, Instant now);
  Result<int> connect(StreamSocket& s, const sockaddr* address, socklen_t length, Instant now);
  Result<int> start_connect(StreamSocket& s, const sockaddr* address, socklen_t length, Instant now);
  // What a connect() under way came to: EALREADY while it goes on.
  Result<int> connect_result(StreamSocket& s, Instant now);
  // ---- zero_copy.cc ----
  Result<Frame> lend(StreamSocket& s, Instant now);
  // ---- send_reports.cc: MSG_ZEROCOPY, SO_TIMESTAMPING, TCP_INQ ----
  Result<int> set_timestamping(SocketFile& s, std::uint32_t flags);
  Result<std::uint32_t> timestamping_of(const tcp::Connection& connection, const msghdr& message) const;
  void note_written(StreamSocket& s, bool zero_copy, bool open, int flags, std::uint32_t timestamping,
                    Instant now);
  Result<std::size_t> receive_report(StreamSocket& s, msghdr& message, Instant now);
  void tell_with_data(const StreamSocket& s, const tcp::Connection& connection,
                      std::optional<Instant> received_at, ControlWriter& control);
  // ---- fast_open.cc: MSG_FASTOPEN, TCP_FASTOPEN_CONNECT and their options ----
  // Does a connect() wait for the data to go with (the cookie is known), or shall the SYN ask for one?
  Result<int> connect_fast_open(StreamSocket& s, Instant now);
  // Connects by sending. A number: bytes that left with the SYN, the handshake goes on; nothing: there is a
  // connection already.
  Result<std::optional<std::size_t>> send_fast_open(StreamSocket& s, const msghdr& message, int flags,
                                                    Instant now);
  Result<int> set_fast_open_keys(StreamSocket& s, const void* value, socklen_t length);
  FastOpenKeyBytes fast_open_key_bytes(const StreamSocket& s) const;
  void drop_fast_open_keys(StreamSocket& s);
  // ---- md5_option.cc: TCP_MD5SIG and, `extended`, TCP_MD5SIG_EXT (Linux: tcp_v4_parse_md5_keys) ----
  Result<int> set_md5_key(StreamSocket& s, bool extended, const void* value, socklen_t length, Instant now);
  // A listener or a connection has just begun: it gets the keys that were set before. False: no memory.
  bool hand_on_md5_keys(StreamSocket& s, Instant now);
  void let_go_of_port(StreamSocket& s, bool leaves_connections, Instant now);
  void notice_end(StreamSocket& s, Instant now);
  void disconnect(StreamSocket& s, int error, Instant now);
  Result<std::size_t> send(StreamSocket& s, const msghdr& message, int flags, Instant now,
                           Loan* loan = nullptr);
  Result<std::size_t> receive(StreamSocket& s, msghdr& message, int flags, Instant now);
  Result<std::size_t> receive_urgent(StreamSocket& s, msghdr& message, std::span<const iovec> pieces,
                                     int flags);
  Result<int> shutdown(StreamSocket& s, int how, Instant now);
  // EINPROGRESS: lingers.
  Result<int> close(StreamSocket& s, Instant now);

  // ---- datagram_socket.cc ----
  Result<int> connect(DatagramSocket& s, const sockaddr* address, socklen_t length, Instant now);
  void disconnect(DatagramSocket& s, Instant now);
  Result<std::size_t> send(DatagramSocket& s, const msghdr& message, int flags, Instant now);
  Result<std::size_t> receive(DatagramSocket& s, msghdr& message, int flags, Instant now);
  // What sendmsg() says for one datagram alone goes before what the socket has set.
  static void use_controls(const SentControls& controls, ip::RouteQuery& query) {
    if (controls.source) query.source = controls.source->is_unspecified() ? std::nullopt : controls.source;
    if (controls.interface != kNoInterface) query.bound_interface = controls.interface;
  }
  // ---- error_queue.cc ----
  // Null for sockets that have none.
  ErrorQueue* error_queue(const DatagramSocket& s);
  // recvmsg(MSG_ERRQUEUE).
  Result<std::size_t> receive_error(DatagramSocket& s, msghdr& message);
  // The first of `errors`, which are s's and not empty.
  Result<std::size_t> tell_error(SocketFile& s, ErrorQueue& errors, msghdr& message);
  // A datagram of s's own was longer than `mtu` (Linux's ip_local_error).
  void note_too_big(DatagramSocket& s, const Path& path, std::uint32_t mtu);
  void absorb_stream_errors();
  void drop_stream_errors(StreamSocket& s);
  bool has_queued_error(const SocketFile& s) const;
  // What SO_TIMESTAMP asks for, of a moment of the stack's clock.
  // The control messages about how a packet arrived that the socket asked for.
  struct Arrival {
    Endpoint to;
    InterfaceId interface = kNoInterface;
    std::uint8_t hop_limit = 0;
    std::uint8_t tos = 0;
  };
  void put_arrival(const SocketFile& s, ControlWriter& control, const Arrival& arrival) const;
  // SO_TIMESTAMP, SO_TIMESTAMPNS, and SO_TIMESTAMPING with `timestamping` (Linux: __sock_recv_timestamp).
  void put_timestamp(const SocketFile& s, std::uint32_t timestamping, ControlWriter& control,
                     Instant received_at) const;
  Result<int> shutdown(DatagramSocket& s, int how, Instant now);
  void close(DatagramSocket& s, Instant now);
  int take_error(DatagramSocket& s);
  bool has_error(const DatagramSocket& s) const;
  bool autobind(DatagramSocket& s, Instant now);
  bool bound_socket(DatagramSocket& s, const Endpoint& local, Instant now);
  void tell_room(DatagramSocket& s);

  // ---- raw_socket.cc: RAW and ping sockets; the first two and close_raw() of packet sockets too ----
  raw::ReceiveQueue* raw_queue(const DatagramSocket& s);
  const raw::ReceiveQueue* raw_queue(const DatagramSocket& s) const {
    return const_cast<State*>(this)->raw_queue(s);
  }
  std::optional<DeliveryError>* raw_error(const DatagramSocket& s);
  const std::optional<DeliveryError>* raw_error(const DatagramSocket& s) const {
    return const_cast<State*>(this)->raw_error(s);
  }
  void raw_options_changed(DatagramSocket& s);
  Result<int> bind_raw(DatagramSocket& s, const sockaddr* address, socklen_t length);
  Result<int> connect_raw(DatagramSocket& s, const sockaddr* address, socklen_t length, Instant now);
  Result<std::size_t> send_raw(DatagramSocket& s, const msghdr& message, int flags, Instant now);
  Result<std::size_t> send_headed(RawSocket& s, const Path& path, std::span<const Bytes> spans,
                                  std::size_t size, Instant now);
  Result<std::size_t> receive_raw(DatagramSocket& s, msghdr& message, int flags, Instant now);
  Result<Path> raw_path(const DatagramSocket& s, const IpAddress& to, const SentControls& controls,
                        Instant now);
  bool ping_autobind(DatagramSocket& s);
  // IP_MULTICAST_IF, where neither device nor source is chosen otherwise.
  static void use_multicast_interface(const DatagramSocket& s, ip::RouteQuery& query) {
    if (query.bound_interface == kNoInterface) query.bound_interface = s.multicast.interface;
    if (!query.source && !s.multicast.source.is_unspecified()) query.source = s.multicast.source;
  }
  void close_raw(DatagramSocket& s);

  // ---- group_memberships.cc: Linux's errors ----
  // Null for sockets that have none.
  GroupMemberships* groups_of(DatagramSocket& s);
  Result<InterfaceId> group_interface(const IpAddress& group, InterfaceId id, const IpAddress& address,
                                      Instant now) const;
  Result<int> join_group(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                         SourceFilter::Mode mode, Instant now);
  Result<int> leave_group(DatagramSocket& s, InterfaceId interface, const IpAddress& group, Instant now);
  void leave_groups(DatagramSocket& s, Instant now);
  Result<int> replace_sources(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                              const SourceFilter& filter, Instant now);
  Result<int> change_source(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                            const IpAddress& source, SourceFilter::Mode mode, bool add, Instant now);

  // ---- packet_socket.cc ----
  Result<int> bind_packet(PacketSocket& s, const sockaddr* address, socklen_t length);
  Result<int> packet_name(const PacketSocket& s, sockaddr* address, socklen_t* length) const;
  Result<std::size_t> send_packet(PacketSocket& s, const msghdr& message, int flags, Instant now);
  Result<std::size_t> receive_packet(PacketSocket& s, msghdr& message, int flags, Instant now);

  // ---- open_raw.cc: socket(2) of these kinds; null with `error` set ----
  Result<File*> open_raw(int type, int protocol);
  Result<File*> open_packet(int type, int protocol);
  // May this stack's user open ping sockets (net.ipv4.ping_group_range)?
  bool may_ping() const;

  // ---- binding.cc ----
  Result<int> bind(SocketFile& s, const sockaddr* address, socklen_t length, Instant now);
  // Takes `local` from the port table into s; EADDRINUSE, ENOBUFS.
  Result<int> take_port(SocketFile& s, const Endpoint& local);
  void release_port(SocketFile& s, bool leaves_connections, Instant now);
  Endpoint local_name(const SocketFile& s) const;
  std::optional<Endpoint> peer_name(const SocketFile& s) const;

  // ---- readiness.cc ----
  // Level readiness, EPOLL* bits (the POLL* ones are the same): Linux's tcp_poll, datagram_poll,
  // ep_eventpoll_poll.
  std::uint32_t readiness(const File& file, int depth = 0) const;
  std::uint32_t readiness(const StreamSocket& s) const;
  std::uint32_t readiness(const DatagramSocket& s) const;

  // ---- epoll_set.cc ----
  EpollItem* find_item(EpollSet& set, const File& file, int descriptor) const;
  Result<int> epoll_add(EpollSet& set, File& file, int descriptor, const epoll_event& event);
  Result<int> epoll_modify(EpollItem& item, const epoll_event& event);
  void epoll_remove(EpollItem& item);
  Result<int> epoll_collect(EpollSet& set, std::span<epoll_event> events);
  bool has_more_to_accept(const File& file) const;
  void make_ready(EpollItem& item);
  static bool reaches(const EpollSet& from, const EpollSet& to, int depth);
  static int nesting(const EpollSet& set, int depth);

  // ---- lingering (stream_socket.cc) ----
  struct Lingering {
    tcp::ConnectionId connection;
    Instant deadline = kNever;
  };
  bool still_lingers(const Lingering& lingering) const;
  void end_lingerings(Instant now);

  template <typename Id>
  std::uint64_t hash_of(Id id, std::uint64_t space) const {
    return siphash_1_3(key, std::array<std::uint64_t, 2>{id.packed(), space});
  }
  // `id` is there.
  void attach(StreamSocket& s, tcp::ConnectionId id);
  void detach(StreamSocket& s);
  // The tables by name; attaching fails for want of memory.
  bool attach_listener(StreamSocket& s, tcp::ListenerId id);
  void detach_listener(StreamSocket& s);
  bool attach_port(DatagramSocket& s, udp::PortHandle port);
  void detach_port(DatagramSocket& s);
  StreamSocket* by_connection(tcp::ConnectionId id);
  StreamSocket* by_listener(tcp::ListenerId id);
  DatagramSocket* by_port(udp::PortHandle port);

  stack::Stack& stack;
  stack::Stack::Parts& parts;
  SipKey key;
  DescriptorTable descriptors;
  Slab<StreamSocket> streams;
  // Files whose events are told by signals, by number; null: the number is free.
  struct SignalledFile {
    SocketFile* file = nullptr;
    std::uint8_t what = 0;  // kSignal*, not told yet
  };
  std::array<SignalledFile, kSignalledMax> signalled{};
  int signalled_count = 0;
  std::uint16_t signals_waiting = 0;     // a bit for each of `signalled` with something to tell
  Slab<tcp::SocketOptions> own_options;  // of stream sockets with neither connection nor listener
  tcp::SocketOptions no_options;         // stands in for one of them when memory is refused
  Slab<tcp::FastOpenKeys> fast_open_keys;
  Slab<ErrorQueue> stream_errors;
  tcp::Md5Keys md5_keys;
  Slab<DatagramSocket> datagrams;
  Slab<RawSocket> raws;
  Slab<PingSocket> pings;
  Slab<PacketSocket> packets;
  Slab<Membership> memberships;
  Slab<EpollSet> sets;
  Slab<EpollItem> items;
  Slab<Lingering> lingerings;
  Slab<Frame> lent;
  KeyedTable<> listeners;  // ListenerId -> index in streams
  KeyedTable<> ports;      // udp::PortHandle -> index in datagrams
  IntrusiveList<File, WokenTag> woken;
  std::vector<Woken> woken_report;
  std::uint64_t last_lingering = 0;
  bool output_held = false;  // calls leave their output to whoever said so
};

}  // namespace tapir::socket
