// SPDX-License-Identifier: Apache-2.0
// Arbitrary frames into a stack that listens: over Ethernet or bare IP, with checksums right or as they are.
// Input: a byte of switches, then frames as length (2 bytes) and bytes.
#include "fuzz/input.h"
#include "fuzz/world.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"

namespace tapir::fuzz {
namespace {

constexpr std::uint8_t kRawIp = 1;   // bare IP, not Ethernet
constexpr std::uint8_t kRepair = 2;  // checksums are made right, so that what lies behind them is reached
constexpr std::uint8_t kLittleMemory = 4;

int listening(socket::Sockets& sockets, int type, std::uint16_t port, Instant now) {
  const int fd = *sockets.socket(AF_INET, type | SOCK_NONBLOCK, 0, now);
  const sockaddr_in any = address_of(IpAddress::any_v4(), port);
  require(sockets.bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any, now).has_value(), "bind");
  if (type == SOCK_STREAM) require(sockets.listen(fd, 2, now).has_value(), "listen");
  return fd;
}

void repair(MutableBytes packet) {
  const auto header = wire::parse_ipv4(packet);
  if (!header) return;
  wire::refresh_ipv4_checksum(packet.first(header->header_length));
  const std::size_t end = std::min<std::size_t>(packet.size(), header->total_length);
  if (header->protocol == IpProtocol::kIcmp && !header->is_fragment() &&
      end >= header->header_length + wire::kIcmpHeaderLength)
    wire::seal_icmp(packet.subspan(header->header_length, end - header->header_length));
}

void run(Input input) {
  const std::uint8_t switches = input.u8();
  const bool raw = (switches & kRawIp) != 0;
  World world(raw ? link::LinkType::kRawIp : link::LinkType::kEthernet,
              (switches & kLittleMemory) != 0 ? std::size_t{1} << 20 : std::size_t{64} << 20);
  socket::Sockets& sockets = world.sockets();
  const int stream = listening(sockets, SOCK_STREAM, 7, world.now());
  const int datagram = listening(sockets, SOCK_DGRAM, 7, world.now());
  while (!input.empty()) {
    const std::size_t size = input.u16() % 4096;
    const Bytes bytes = input.bytes(size);
    std::vector<std::uint8_t> frame(bytes.begin(), bytes.end());
    if ((switches & kRepair) != 0)
      repair(raw || frame.size() < wire::kEthernetHeaderLength
                 ? MutableBytes(frame)
                 : MutableBytes(frame).subspan(wire::kEthernetHeaderLength));
    world.input(frame, (switches & kRepair) != 0);
    world.settle([&](Bytes out) {
      const Bytes packet = raw ? out : out.subspan(wire::kEthernetHeaderLength);
      if (!raw && wire::parse_ethernet(out)->ethertype == wire::kEtherTypeArp) {
        require(wire::parse_arp(packet).has_value(), "ARP that is sent can be read");
        return;
      }
      const auto header = wire::parse_ipv4(packet);
      require(header && wire::verify_ipv4_checksum(packet.first(header->header_length)),
              "what is sent is IPv4 with its checksum");
      require(header->src == kOurs, "what is sent is ours");
    });
    char data[512];
    (void)sockets.recv(datagram, data, sizeof data, 0, world.now());
    if (const auto accepted = sockets.accept4(stream, nullptr, nullptr, SOCK_NONBLOCK, world.now()))
      (void)sockets.close(*accepted, world.now());
    world.pass(std::chrono::milliseconds(1));
  }
  (void)sockets.close(stream, world.now());
  (void)sockets.close(datagram, world.now());
  world.expect_nothing_left();
}

}  // namespace
}  // namespace tapir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tapir::fuzz::run({data, size});
  return 0;
}
