// SPDX-License-Identifier: Apache-2.0
#include "socket/state.h"

namespace tapir::socket {
namespace {

SipKey table_key(Rng& rng) {
  const std::uint64_t k0 = rng.next_u64();
  return {k0, rng.next_u64()};
}

// What tcp/ says happened, as the keys of Linux's wake-ups.
std::uint32_t wake_key(std::uint8_t touched) {
  std::uint32_t key = 0;
  if ((touched & (tcp::kTouchedReadable | tcp::kTouchedUrgent | tcp::kTouchedAccepted)) != 0)
    key |= kWakeReadable;
  if ((touched & tcp::kTouchedWritable) != 0) key |= kWakeWritable;
  if ((touched & tcp::kTouchedError) != 0) key |= kWakeError;
  if ((touched & (tcp::kTouchedHangUp | tcp::kTouchedPeerFin | tcp::kTouchedConnected)) != 0) key |= kWakeAll;
  return key;
}

// Spaces of hash_of().
enum : std::uint64_t { kListenerSpace = 1, kPortSpace };

}  // namespace

Sockets::State::State(stack::Stack& stack_, int first_descriptor, std::size_t descriptors_max)
    : stack(stack_),
      parts(stack_.parts()),
      key(table_key(parts.rng)),
      descriptors(first_descriptor, descriptors_max, parts.budget),
      streams(kFilesMax, parts.budget.hook()),
      own_options(kFilesMax, parts.budget.hook()),
      fast_open_keys(kFilesMax, parts.budget.hook()),
      stream_errors(kFilesMax, parts.budget.hook()),
      md5_keys(parts.budget.hook()),
      datagrams(kFilesMax, parts.budget.hook()),
      raws(raw::kRawPortsMax, parts.budget.hook()),
      pings(raw::kPingPortsMax, parts.budget.hook()),
      packets(raw::kPacketPortsMax, parts.budget.hook()),
      memberships(ip::Groups::kMembersMax, parts.budget.hook()),
      sets(kFilesMax, parts.budget.hook()),
      items(kFilesMax, parts.budget.hook()),
      lingerings(kLingeringMax, parts.budget.hook()),
      lent(kLentMax, parts.budget.hook()),
      listeners(kFilesMax, parts.budget.hook()),
      ports(kFilesMax, parts.budget.hook()) {}

// The process ends: connections are let go as close(2) lets them go, but nobody is left to linger for.
Sockets::State::~State() {
  descriptors.for_each([this](int, File& file) {
    if (!static_cast<ListLink<WokenTag>&>(file).linked()) woken.push_back(file);
  });
  while (File* file = woken.pop_front()) {
    if (file->kind == FileKind::kStream) static_cast<StreamSocket*>(file)->linger = false;
    (void)destroy(*file, parts.seen_now());
  }
  lingerings.for_each(
      [this](Lingering& lingering) { parts.tcp.close(lingering.connection, parts.seen_now()); });
}

SocketFile* Sockets::State::find_socket(int descriptor) {
  File* file = descriptors.find(descriptor);
  return file != nullptr && file->kind != FileKind::kEpoll ? static_cast<SocketFile*>(file) : nullptr;
}

StreamSocket* Sockets::State::find_stream(int descriptor) {
  File* file = descriptors.find(descriptor);
  return file != nullptr && file->kind == FileKind::kStream ? static_cast<StreamSocket*>(file) : nullptr;
}

StreamSocket* Sockets::State::by_connection(tcp::ConnectionId id) {
  const tcp::Connection* connection = parts.tcp.connection(id);
  return connection != nullptr && connection->owner != 0 ? streams.at(connection->owner - 1) : nullptr;
}

StreamSocket* Sockets::State::by_listener(tcp::ListenerId id) {
  const auto found = listeners.find(hash_of(id, kListenerSpace),
                                    [&](std::uint32_t i) { return streams.at(i)->listener == id; });
  return found ? streams.at(*found) : nullptr;
}

DatagramSocket* Sockets::State::by_port(udp::PortHandle port) {
  const auto found =
      ports.find(hash_of(port, kPortSpace), [&](std::uint32_t i) { return datagrams.at(i)->port == port; });
  return found ? datagrams.at(*found) : nullptr;
}

void Sockets::State::attach(StreamSocket& s, tcp::ConnectionId id) {
  parts.tcp.connection(id)->owner = streams.handle_of(s).index + 1;
  s.connection = id;
  s.end_noticed = false;
  s.end_signalled = false;
}

void Sockets::State::detach(StreamSocket& s) {
  if (tcp::Connection* connection = parts.tcp.connection(s.connection)) connection->owner = 0;
  s.connection = {};
}

bool Sockets::State::attach_listener(StreamSocket& s, tcp::ListenerId id) {
  if (!listeners.insert(hash_of(id, kListenerSpace), streams.handle_of(s).index)) return false;
  s.listener = id;
  return true;
}

void Sockets::State::detach_listener(StreamSocket& s) {
  if (s.listener) listeners.erase(hash_of(s.listener, kListenerSpace), streams.handle_of(s).index);
  s.listener = {};
}

bool Sockets::State::attach_port(DatagramSocket& s, udp::PortHandle port) {
  if (!ports.insert(hash_of(port, kPortSpace), datagrams.handle_of(s).index)) return false;
  s.port = port;
  return true;
}

void Sockets::State::detach_port(DatagramSocket& s) {
  if (s.port) ports.erase(hash_of(s.port, kPortSpace), datagrams.handle_of(s).index);
  s.port = {};
}

// Linux's wake_up_poll: whoever waits in take_woken() learns of it, and ep_poll_callback of each epoll item.
void Sockets::State::wake(File& file, std::uint32_t wake_up) {
  file.woken |= wake_up;
  if (!static_cast<ListLink<WokenTag>&>(file).linked()) woken.push_back(file);
  for (EpollItem& item : file.watchers)
    if ((wake_up & item.events) != 0) make_ready(item);
}

// Linux's sk_wake_async() at the places where the kernel's TCP calls it.
void Sockets::State::note_signal(SocketFile& s, std::uint8_t touched) {
  if (s.signal_number < 0) return;
  std::uint8_t what = 0;
  if ((touched & tcp::kTouchedError) != 0) {
    what = kSignalError;  // tcp_reset, sk_error_report: the end that comes with it is not told
  } else {
    if ((touched & (tcp::kTouchedReadable | tcp::kTouchedAccepted)) != 0) what |= kSignalReadable;
    if ((touched & tcp::kTouchedWritable) != 0) what |= kSignalWritable;
    if ((touched & tcp::kTouchedUrgent) != 0) what |= kSignalUrgent;
    if ((touched & tcp::kTouchedPeerFin) != 0) {
      // tcp_fin tells the peer's end; that ours follows it later is no news.
      if (s.end_signalled) return;
      s.end_signalled = true;
      if ((touched & tcp::kTouchedHangUp) != 0) what = kSignalReadable | kSignalHangUp;
    }
  }
  // sk_stream_write_space
  if (s.kind == FileKind::kStream && (shutdown_of(static_cast<const StreamSocket&>(s)) & kSendShutdown) != 0)
    what &= static_cast<std::uint8_t>(~kSignalWritable);
  const auto number = static_cast<std::size_t>(s.signal_number);
  signalled[number].what |= what;
  if (what != 0) signals_waiting = static_cast<std::uint16_t>(signals_waiting | 1U << number);
}

void Sockets::State::absorb_touched(Instant now) {
  absorb_stream_errors();
  while (const auto touched = parts.tcp.poll_touched()) {
    StreamSocket* s = touched->listener ? by_listener(touched->listener) : by_connection(touched->connection);
    if (s == nullptr) continue;
    if (!touched->listener) notice_end(*s, now);
    std::uint8_t events = touched->events;
    // Less than SO_RCVLOWAT is no news (Linux: tcp_data_ready).
    if ((events & tcp::kTouchedReadable) != 0 && !touched->listener && (readiness(*s) & EPOLLIN) == 0)
      events &= static_cast<std::uint8_t>(~tcp::kTouchedReadable);
    if (events == 0) continue;
    note_signal(*s, events);
    wake(*s, wake_key(events));
  }
  const auto touched_ports = parts.take_touched_ports();
  for (const stack::TouchedPort& touched : touched_ports.ports)
    if (DatagramSocket* s = by_port(touched.port)) {
      note_signal(*s, touched.events);
      wake(*s, wake_key(touched.events));
    }
  if (touched_ports.all)
    datagrams.for_each([this](DatagramSocket& s) { wake(s, kWakeReadable | kWakeError); });
  absorb_touched_of_kind(parts.raw_ports, raws);
  absorb_touched_of_kind(parts.ping_ports, pings);
  absorb_touched_of_kind(parts.packet_ports, packets);
  if (!lingerings.empty()) end_lingerings(now);
}

// A port's owner is the index of its socket.
template <typename Ports, typename Socket>
void Sockets::State::absorb_touched_of_kind(Ports& from, Slab<Socket>& of) {
  from.touched.take(
      [&](auto handle, std::uint8_t events) {
        const auto* port = from.get(handle);
        Socket* s = port != nullptr ? of.at(port->owner) : nullptr;
        if (s == nullptr) return;
        const bool readable = (events & raw::kTouchedReadable) != 0;
        const bool error = (events & raw::kTouchedError) != 0;
        note_signal(*s, static_cast<std::uint8_t>((readable ? tcp::kTouchedReadable : 0) |
                                                  (error ? tcp::kTouchedError : 0)));
        if (readable) wake(*s, kWakeReadable);
        if (error) wake(*s, kWakeError);
      },
      [&] { of.for_each([this](Socket& s) { wake(s, kWakeReadable | kWakeError); }); });
}

void Sockets::State::finish_call(Instant now) { stack.poll_output(now); }

Result<int> Sockets::State::destroy(File& file, Instant now) {
  if (static_cast<ListLink<WokenTag>&>(file).linked()) woken.erase(file);
  while (EpollItem* item = file.watchers.front()) epoll_remove(*item);
  if (file.kind != FileKind::kEpoll) {
    if (const int number = static_cast<const SocketFile&>(file).signal_number; number >= 0) {
      signalled[static_cast<std::size_t>(number)] = {nullptr, kSignalEnded};
      signals_waiting = static_cast<std::uint16_t>(signals_waiting | 1U << number);
    }
  }
  switch (file.kind) {
    case FileKind::kStream: {
      auto& s = static_cast<StreamSocket&>(file);
      const Result<int> closed = close(s, now);
      drop_own_options(s);
      drop_fast_open_keys(s);
      drop_stream_errors(s);
      md5_keys.clear(s.md5_keys);
      streams.erase(s);
      return closed;
    }
    case FileKind::kDatagram: {
      auto& s = static_cast<DatagramSocket&>(file);
      close(s, now);
      datagrams.erase(s);
      return 0;
    }
    case FileKind::kRaw:
    case FileKind::kPing:
    case FileKind::kPacket:
      close_raw(static_cast<DatagramSocket&>(file));
      if (file.kind == FileKind::kRaw)
        raws.erase(static_cast<RawSocket&>(file));
      else if (file.kind == FileKind::kPing)
        pings.erase(static_cast<PingSocket&>(file));
      else
        packets.erase(static_cast<PacketSocket&>(file));
      return 0;
    case FileKind::kEpoll: {
      auto& set = static_cast<EpollSet&>(file);
      while (EpollItem* item = set.items.front()) epoll_remove(*item);
      sets.erase(set);
      return 0;
    }
  }
  return 0;
}

}  // namespace tapir::socket
