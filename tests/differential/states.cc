// SPDX-License-Identifier: Apache-2.0
// How a socket gets into each state. Slot 0 is the socket; 1 a listener or peer, 2 and 3 whatever else it
// takes.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "differential/matrix.h"

namespace tapir::differential {
namespace {

constexpr long kOwn = static_cast<long>(Address::kOwn);
constexpr long kAny = static_cast<long>(Address::kAny);
constexpr long kP0 = static_cast<long>(Port::kP0);
constexpr long kP1 = static_cast<long>(Port::kP1);
constexpr long kUnspec = static_cast<long>(Address::kUnspecFamilyAny);

Op tcp(int slot) { return {Call::kSocket, slot, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0}; }
Op udp(int slot) { return {Call::kSocket, slot, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0}; }
Op bound(int slot, long address, long port) { return {Call::kBind, slot, address, port}; }
Op listens(int slot, long backlog = 5) { return {Call::kListen, slot, backlog}; }
Op connects(int slot, long address, long port) { return {Call::kConnect, slot, address, port}; }
Op accepts(int slot, int child) {
  return {Call::kAccept, slot, SOCK_NONBLOCK, child, static_cast<long>(Shape::kNullValue)};
}
Op sends(int slot, long size) { return {Call::kSend, slot, size, 0}; }
Op receive(int slot, long size) { return {Call::kReceive, slot, size, 0}; }
Op closed(int slot) { return {Call::kClose, slot}; }
Op shut(int slot, long how) { return {Call::kShutdown, slot, how}; }
Op reset_on_close(int slot) {
  return {Call::kSetValue, slot, SOL_SOCKET, SO_LINGER, static_cast<long>(Shape::kZero)};
}

Script operator+(Script first, const Script& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Slot 1 listens; 0 has connected to it; 2 is what 1 accepted.
Script active() {
  return {tcp(1),       bound(1, kOwn, kP0),    listens(1),
          tcp(0),       connects(0, kOwn, kP0), connects(0, kOwn, kP0),
          accepts(1, 2)};
}
// The other way round: 0 was accepted, 2 is the client.
Script passive() {
  return {tcp(1), bound(1, kOwn, kP0), listens(1), tcp(2), connects(2, kOwn, kP0), accepts(1, 0)};
}
// 2 sends a RST.
Script reset_by_peer() { return {{Call::kConnect, 2, kUnspec, 0}}; }

}  // namespace

const std::vector<SocketState>& socket_states() {
  static const std::vector<SocketState> states = {
      {"closed-descriptor", false, {tcp(0), closed(0)}},
      {"fresh", false, {tcp(0)}},
      {"bound", false, {tcp(0), bound(0, kOwn, kP0)}},
      {"bound-to-any", false, {tcp(0), bound(0, kAny, kP0)}},
      {"autobound", false, {tcp(0), bound(0, kOwn, 0)}},
      {"listening", false, {tcp(0), bound(0, kOwn, kP0), listens(0)}},
      {"listening-unbound", false, {tcp(0), listens(0)}},
      {"listening-with-one",
       false,
       {tcp(0), bound(0, kOwn, kP0), listens(0), tcp(1), connects(1, kOwn, kP0)}},
      {"listening-with-one-reset",
       false,
       {tcp(0),
        bound(0, kOwn, kP0),
        listens(0),
        tcp(1),
        connects(1, kOwn, kP0),
        {Call::kConnect, 1, kUnspec, 0}}},
      {"listening-with-one-closed",
       false,
       {tcp(0), bound(0, kOwn, kP0), listens(0), tcp(1), connects(1, kOwn, kP0), sends(1, 7), closed(1)}},
      {"stopped-listening", false, {tcp(0), bound(0, kOwn, kP0), listens(0), shut(0, SHUT_RD)}},
      {"syn-sent",
       false,
       {tcp(1), bound(1, kOwn, kP0), listens(1, 0), tcp(2), connects(2, kOwn, kP0), tcp(0),
        connects(0, kOwn, kP0)}},
      {"syn-sent-shut",
       false,
       {tcp(1), bound(1, kOwn, kP0), listens(1, 0), tcp(2), connects(2, kOwn, kP0), tcp(0),
        connects(0, kOwn, kP0), shut(0, SHUT_WR)}},
      {"refused", false, {tcp(0), connects(0, kOwn, kP0)}},
      {"refused-and-told", false, {tcp(0), connects(0, kOwn, kP0), connects(0, kOwn, kP0)}},
      {"connect-started", false, {tcp(1), bound(1, kOwn, kP0), listens(1), tcp(0), connects(0, kOwn, kP0)}},
      {"connected", false, active()},
      {"accepted", false, passive()},
      {"connected-from-bound",
       false,
       {tcp(1), bound(1, kOwn, kP0), listens(1), tcp(0), bound(0, kOwn, kP1), connects(0, kOwn, kP0),
        connects(0, kOwn, kP0), accepts(1, 2)}},
      {"with-data", false, active() + Script{sends(2, 10)}},
      {"with-two-writes", false, active() + Script{sends(2, 10), sends(2, 20)}},
      {"peer-shut", false, active() + Script{shut(2, SHUT_WR)}},
      {"peer-shut-after-data", false, active() + Script{sends(2, 10), shut(2, SHUT_WR)}},
      {"peer-closed", false, active() + Script{closed(2)}},
      {"peer-closed-unread", false, active() + Script{sends(0, 10), closed(2)}},
      {"shut-read", false, active() + Script{shut(0, SHUT_RD)}},
      {"shut-read-with-data", false, active() + Script{sends(2, 10), shut(0, SHUT_RD)}},
      {"shut-write", false, active() + Script{shut(0, SHUT_WR)}},
      {"shut-both", false, active() + Script{shut(0, SHUT_RDWR)}},
      {"both-shut-write", false, active() + Script{shut(0, SHUT_WR), shut(2, SHUT_WR)}},
      {"both-shut-write-passive", false, active() + Script{shut(2, SHUT_WR), shut(0, SHUT_WR)}},
      {"reset", false, active() + reset_by_peer()},
      {"reset-after-data", false, active() + Script{sends(2, 10)} + reset_by_peer()},
      {"reset-after-fin", false, active() + Script{shut(2, SHUT_WR)} + reset_by_peer()},
      {"reset-after-our-fin", false, active() + Script{shut(0, SHUT_WR)} + reset_by_peer()},
      {"reset-and-told", false, active() + reset_by_peer() + Script{receive(0, 10)}},
      {"send-buffer-full", false,
       // Corked, so that nothing leaves and no ACK makes room.
       active() + Script{{Call::kSetInt, 0, SOL_SOCKET, SO_SNDBUF, 4608},
                         {Call::kSetInt, 0, SOL_TCP, TCP_CORK, 1},
                         sends(0, 20'000)}},
      {"disconnected", false, active() + Script{{Call::kConnect, 0, kUnspec, 0}}},
      {"disconnected-from-bound",
       false,
       {tcp(1),
        bound(1, kOwn, kP0),
        listens(1),
        tcp(0),
        bound(0, kOwn, kP1),
        connects(0, kOwn, kP0),
        {Call::kConnect, 0, kUnspec, 0}}},
      {"self-connected", false, {tcp(0), bound(0, kOwn, kP0), connects(0, kOwn, kP0)}},
      {"duplicate-closed", false, active() + Script{{Call::kDup, 0, 0, 3}, closed(3)}},
      {"low-water-20", false,
       active() + Script{{Call::kSetInt, 0, SOL_SOCKET, SO_RCVLOWAT, 20}, sends(2, 10)}},
      {"lingering-zero", false, active() + Script{reset_on_close(0)}},
      {"udp-fresh", true, {udp(0)}},
      {"udp-bound", true, {udp(0), bound(0, kOwn, kP0)}},
      {"udp-bound-to-any", true, {udp(0), bound(0, kAny, kP0)}},
      {"udp-connected", true, {udp(1), bound(1, kOwn, kP0), udp(0), connects(0, kOwn, kP0)}},
      {"udp-connected-from-bound",
       true,
       {udp(1), bound(1, kOwn, kP0), udp(0), bound(0, kOwn, kP1), connects(0, kOwn, kP0)}},
      {"udp-with-datagram",
       true,
       {udp(0), bound(0, kOwn, kP0), udp(1), bound(1, kOwn, kP1), connects(1, kOwn, kP0), sends(1, 10)}},
      {"udp-with-three",
       true,
       {udp(0), bound(0, kOwn, kP0), udp(1), bound(1, kOwn, kP1), connects(1, kOwn, kP0), sends(1, 10),
        sends(1, 0), sends(1, 30)}},
      {"udp-refused", true, {udp(0), connects(0, kOwn, kP0), sends(0, 10)}},
      {"udp-refused-and-told", true, {udp(0), connects(0, kOwn, kP0), sends(0, 10), sends(0, 10)}},
      {"udp-refused-recverr",
       true,
       {udp(0), {Call::kSetInt, 0, SOL_IP, IP_RECVERR, 1}, connects(0, kOwn, kP0), sends(0, 10)}},
      {"udp-shut-read",
       true,
       {udp(1), bound(1, kOwn, kP0), udp(0), connects(0, kOwn, kP0), shut(0, SHUT_RD)}},
      {"udp-shut-write",
       true,
       {udp(1), bound(1, kOwn, kP0), udp(0), connects(0, kOwn, kP0), shut(0, SHUT_WR)}},
      {"udp-shut-unconnected", true, {udp(0), bound(0, kOwn, kP0), shut(0, SHUT_RDWR)}},
      {"udp-disconnected",
       true,
       {udp(1), bound(1, kOwn, kP0), udp(0), connects(0, kOwn, kP0), {Call::kConnect, 0, kUnspec, 0}}},
      {"udp-disconnected-from-bound",
       true,
       {udp(1),
        bound(1, kOwn, kP0),
        udp(0),
        bound(0, kOwn, kP1),
        connects(0, kOwn, kP0),
        {Call::kConnect, 0, kUnspec, 0}}},
      {"epoll-set", false, {{Call::kEpollCreate, 0}}},
      {"epoll-set-ready", false,
       active() +
           Script{
               {Call::kDup, 0, 0, 3}, {Call::kEpollCreate, 0}, {Call::kEpollCtl, 0, 1, 3, 5}, sends(2, 10)}},
  };
  return states;
}

}  // namespace tapir::differential
