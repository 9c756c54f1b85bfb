// SPDX-License-Identifier: Apache-2.0
// TAP and packet devices against the kernel, each in a network namespace of its own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "drivers/netdev.h"
#include "drivers/packet.h"
#include "drivers/tap.h"
#include "drivers/vnet_io.h"
#include "unit/drivers/in_namespace.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::drivers {
namespace {

constexpr std::uint32_t kKernel = 0x0a000002;  // 10.0.0.2
constexpr std::uint32_t kOurs = 0x0a000001;    // 10.0.0.1
const IpPrefix kKernelPrefix{IpAddress::v4(kKernel), 24};

// A device with the kernel at 10.0.0.2 behind it.
struct Wire {
  std::unique_ptr<link::Device> device;
  std::string kernel_interface;
  MemoryBudget budget{std::size_t{64} << 20};
  FramePool pool{budget};
  trace::Counters counters;
  std::string why_not;

  FrameQueue arrived;  // received and not looked at yet

  // Frames until one satisfies `wanted`, or nothing within `tries` milliseconds.
  template <typename Wanted>
  Frame receive_until(Wanted wanted, int tries = 2000) {
    for (; tries > 0; --tries) {
      while (Frame frame = arrived.pop_front())
        if (wanted(frame)) return frame;
      std::array<Frame, 16> batch;
      const std::size_t count = device->receive(batch, pool, Instant{});
      for (std::size_t i = 0; i < count; ++i) arrived.push_back(std::move(batch[i]));
      if (count != 0) continue;
      pollfd waiting{device->wait_descriptor(), POLLIN, 0};
      ::poll(&waiting, 1, 1);
    }
    return Frame();
  }
};

void open_tap_wire(Wire& wire) {
  auto tap = open_tap({.name = "taptest0"});
  if (!tap) {
    wire.why_not = tap.error();
    return;
  }
  (*tap)->count_into(&wire.counters);
  wire.kernel_interface = (*tap)->name();
  wire.device = std::move(*tap);
}

void open_packet_wire(Wire& wire) {
  if (auto made = create_veth_pair("vethk", "vetht"); !made) {
    wire.why_not = made.error();
    return;
  }
  ASSERT_TRUE(set_link_up("vetht"));
  auto packet = open_packet({.interface = "vetht"});
  ASSERT_TRUE(packet) << packet.error();
  (*packet)->count_into(&wire.counters);
  wire.kernel_interface = "vethk";
  wire.device = std::move(*packet);
}

using Opener = void (*)(Wire&);
struct Kind {
  const char* name;
  Opener open;
};

class DeviceTest : public testing::TestWithParam<Kind> {
 protected:
  // `body` on a wire whose kernel end is up, with a permanent neighbour entry for us made by an answered ARP
  // request.
  template <typename Body>
  void on_wire(Body body) {
    run_in_namespace([&]() -> std::string {
      Wire wire;
      GetParam().open(wire);
      if (!wire.why_not.empty() || testing::Test::HasFailure()) return wire.why_not;
      const auto up = set_link_up(wire.kernel_interface);
      EXPECT_TRUE(up) << up.error();
      const auto added = add_address(wire.kernel_interface, kKernelPrefix);
      EXPECT_TRUE(added) << added.error();
      body(wire);
      return "";
    });
  }
};

std::uint16_t ethertype_of(const Frame& frame) { return load_be<std::uint16_t>(frame.bytes(), 12); }

int kernel_socket(int type) { return ::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

sockaddr_in address(std::uint32_t ip, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(ip);
  a.sin_port = htons(port);
  return a;
}

// Ethernet and IPv4 headers in front of what `frame` holds; the transport header begins at its first byte.
void push_ip(Wire& wire, OutgoingFrame& frame, IpProtocol protocol) {
  const auto size = static_cast<std::uint16_t>(frame.size() + 20);
  const MutableBytes ip = frame.push_header(20);
  std::fill(ip.begin(), ip.end(), std::uint8_t{0});
  ip[0] = 0x45;
  store_be<std::uint16_t>(ip, 2, size);
  ip[8] = 64;
  ip[9] = static_cast<std::uint8_t>(protocol);
  store_be<std::uint32_t>(ip, 12, kOurs);
  store_be<std::uint32_t>(ip, 16, kKernel);
  store_be<std::uint16_t>(ip, 10, wire::internet_checksum(ip));
  const auto kernel_mac = get_mac(wire.kernel_interface);
  ASSERT_TRUE(kernel_mac);
  wire::emit_ethernet({*kernel_mac, wire.device->mac(), wire::kEtherTypeIpv4}, frame.push_header(14));
}

// Tells the kernel our MAC: a gratuitous request creates no entry, a request for the kernel's own address
// does.
void introduce(Wire& wire) {
  OutgoingFrame arp;
  arp.clear();
  const MutableBytes bytes = arp.append_header(28);
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  store_be<std::uint16_t>(bytes, 0, 1);
  store_be<std::uint16_t>(bytes, 2, wire::kEtherTypeIpv4);
  bytes[4] = 6;
  bytes[5] = 4;
  store_be<std::uint16_t>(bytes, 6, 1);
  const link::MacAddress mac = wire.device->mac();
  std::copy(mac.begin(), mac.end(), bytes.begin() + 8);
  store_be<std::uint32_t>(bytes, 14, kOurs);
  store_be<std::uint32_t>(bytes, 24, kKernel);
  wire::emit_ethernet({wire::kBroadcastMac, mac, wire::kEtherTypeArp}, arp.push_header(14));
  const auto is_reply = [](const Frame& f) {
    return ethertype_of(f) == wire::kEtherTypeArp && load_be<std::uint16_t>(f.bytes(), 20) == 2;
  };
  // The kernel takes its time to believe in a veth's carrier (linkwatch), and loses frames until then: asked
  // again.
  Frame reply;
  for (int tries = 0; tries < 40 && !reply; ++tries) {
    ASSERT_EQ(wire.device->transmit({&arp, 1}, Instant{}), 1U);
    reply = wire.receive_until(is_reply, 50);
  }
  ASSERT_TRUE(reply) << "the kernel answers ARP";
}

TEST_P(DeviceTest, AnArpRequestIsAnsweredByTheKernel) {
  on_wire([](Wire& wire) {
    EXPECT_EQ(wire.device->mtu(), 1500U);
    EXPECT_NE(wire.device->mac(), *get_mac(wire.kernel_interface));
    EXPECT_TRUE(wire.device->offloads().tso);
    introduce(wire);
  });
}

TEST_P(DeviceTest, AnEmptyDeviceAnswersNothing) {
  on_wire([](Wire& wire) {
    // IPv6's own chatter aside, a second look finds nothing and does not wait.
    std::array<Frame, 64> batch;
    wire.device->receive(batch, wire.pool, Instant{});
    for (Frame& f : batch) f.reset();
    EXPECT_LE(wire.device->receive(batch, wire.pool, Instant{}), 64U);
  });
}

TEST_P(DeviceTest, ADatagramOfTheKernelComesWithItsChecksumPending) {
  on_wire([](Wire& wire) {
    introduce(wire);
    const int fd = kernel_socket(SOCK_DGRAM);
    const sockaddr_in to = address(kOurs, 9);
    const std::vector<std::uint8_t> text(100, 'x');
    ASSERT_EQ(::sendto(fd, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
              100);
    const Frame frame = wire.receive_until(
        [](const Frame& f) { return ethertype_of(f) == wire::kEtherTypeIpv4 && f.bytes()[23] == 17; });
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame.size(), 14U + 20 + 8 + 100);
    EXPECT_EQ(frame.meta().checksum, ChecksumState::kPartial);
    EXPECT_EQ(frame.meta().capacity, 256U + kFrameHeadroom) << "copied into the class that fits";
    ::close(fd);
  });
}

TEST_P(DeviceTest, ADatagramOfOursArrivesWithItsChecksumCompleted) {
  on_wire([](Wire& wire) {
    introduce(wire);
    const int fd = kernel_socket(SOCK_DGRAM);
    const sockaddr_in at = address(kKernel, 4000);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    const std::vector<std::uint8_t> text(1000, 'y');
    OutgoingFrame frame;
    frame.clear();
    const MutableBytes udp = frame.append_header(8);
    store_be<std::uint16_t>(udp, 0, 4001);
    store_be<std::uint16_t>(udp, 2, 4000);
    store_be<std::uint16_t>(udp, 4, 1008);
    const std::uint32_t pseudo =
        (kOurs >> 16) + (kOurs & 0xffff) + (kKernel >> 16) + (kKernel & 0xffff) + 17 + 1008;
    store_be<std::uint16_t>(udp, 6, static_cast<std::uint16_t>((pseudo & 0xffff) + (pseudo >> 16)));
    frame.add_payload(Bytes(text).first(300));
    frame.add_payload(Bytes(text).last(700));
    frame.checksum = {.wanted = true, .start = 0, .offset = 6};
    push_ip(wire, frame, IpProtocol::kUdp);
    ASSERT_EQ(wire.device->transmit({&frame, 1}, Instant{}), 1U);
    pollfd waiting{fd, POLLIN, 0};
    ASSERT_EQ(::poll(&waiting, 1, 2000), 1);
    std::array<std::uint8_t, 2000> got;
    EXPECT_EQ(::recv(fd, got.data(), got.size(), 0), 1000);
    ::close(fd);
  });
}

// A TCP segment of ours, its checksum left to the device.
OutgoingFrame segment(Wire& wire, std::uint16_t from, std::uint16_t to, std::uint32_t seq, std::uint32_t ack,
                      std::uint8_t flags, std::uint16_t window, Bytes options, Bytes payload) {
  OutgoingFrame frame;
  frame.clear();
  const std::size_t header = 20 + options.size();
  const MutableBytes tcp = frame.append_header(header);
  std::fill(tcp.begin(), tcp.end(), std::uint8_t{0});
  store_be(tcp, 0, from);
  store_be(tcp, 2, to);
  store_be(tcp, 4, seq);
  store_be(tcp, 8, ack);
  tcp[12] = static_cast<std::uint8_t>(header / 4 << 4);
  tcp[13] = flags;
  store_be(tcp, 14, window);
  std::copy(options.begin(), options.end(), tcp.begin() + 20);
  frame.add_payload(payload);
  std::uint32_t pseudo = (kOurs >> 16) + (kOurs & 0xffff) + (kKernel >> 16) + (kKernel & 0xffff) + 6 +
                         static_cast<std::uint32_t>(header + payload.size());
  pseudo = (pseudo & 0xffff) + (pseudo >> 16);
  store_be<std::uint16_t>(tcp, 16, static_cast<std::uint16_t>((pseudo & 0xffff) + (pseudo >> 16)));
  frame.checksum = {.wanted = true, .start = 0, .offset = 16};
  push_ip(wire, frame, IpProtocol::kTcp);
  return frame;
}

// A handshake by hand, then a super-segment each way.
TEST_P(DeviceTest, SuperSegmentsCrossBothWays) {
  on_wire([](Wire& wire) {
    introduce(wire);
    const int listener = kernel_socket(SOCK_STREAM);
    const sockaddr_in at = address(kKernel, 5000);
    ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    // Mss 1460, window scale 10: the kernel may send 64 KiB at once.
    const std::array<std::uint8_t, 8> options = {2, 4, 0x05, 0xb4, 1, 3, 3, 10};
    OutgoingFrame syn = segment(wire, 1234, 5000, 99, 0, 0x02, 65535, options, {});
    ASSERT_EQ(wire.device->transmit({&syn, 1}, Instant{}), 1U);
    const auto is_tcp = [](const Frame& f) {
      return ethertype_of(f) == wire::kEtherTypeIpv4 && f.bytes()[23] == 6;
    };
    const Frame syn_ack = wire.receive_until(is_tcp);
    ASSERT_TRUE(syn_ack);
    std::uint32_t theirs = load_be<std::uint32_t>(syn_ack.bytes(), 38) + 1;
    OutgoingFrame ack = segment(wire, 1234, 5000, 100, theirs, 0x10, 65535, {}, {});
    ASSERT_EQ(wire.device->transmit({&ack, 1}, Instant{}), 1U);
    pollfd waiting{listener, POLLIN, 0};
    ASSERT_EQ(::poll(&waiting, 1, 2000), 1);
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ASSERT_GE(fd, 0);

    // Into the kernel: 40 segments in one frame.
    std::vector<std::uint8_t> data(static_cast<std::size_t>(1460) * 40);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    OutgoingFrame large = segment(wire, 1234, 5000, 100, theirs, 0x18, 65535, {}, data);
    large.gso = {GsoType::kTcpV4, 1460, false};
    ASSERT_EQ(wire.device->transmit({&large, 1}, Instant{}), 1U);
    std::vector<std::uint8_t> got;
    while (got.size() < data.size()) {
      pollfd readable{fd, POLLIN, 0};
      ASSERT_EQ(::poll(&readable, 1, 2000), 1);
      std::array<std::uint8_t, 65536> chunk;
      const ssize_t n = ::recv(fd, chunk.data(), chunk.size(), 0);
      ASSERT_GT(n, 0);
      got.insert(got.end(), chunk.begin(), chunk.begin() + n);
    }
    EXPECT_EQ(got, data);

    // Out of the kernel: acknowledged as it comes, until a frame of many segments was seen.
    std::uint32_t seen = 0;
    std::size_t largest = 0;
    const std::uint32_t all = 2 * 1024 * 1024;
    std::uint32_t written = 0;
    while (seen < all) {
      while (written < all) {
        const ssize_t n =
            ::send(fd, data.data(), std::min<std::size_t>(data.size(), all - written), MSG_NOSIGNAL);
        if (n <= 0) break;
        written += static_cast<std::uint32_t>(n);
      }
      const Frame frame = wire.receive_until([&](const Frame& f) { return is_tcp(f) && f.size() > 54 + 20; });
      ASSERT_TRUE(frame);
      const std::uint32_t payload =
          load_be<std::uint16_t>(frame.bytes(), 16) - 20U - (frame.bytes()[46] >> 4) * 4U;
      const std::uint32_t seq = load_be<std::uint32_t>(frame.bytes(), 38);
      if (payload > 1460) {
        EXPECT_EQ(frame.meta().gso.type, GsoType::kTcpV4);
        EXPECT_EQ(frame.meta().gso.size, 1460);
        EXPECT_EQ(frame.meta().checksum, ChecksumState::kPartial);
      }
      largest = std::max<std::size_t>(largest, payload);
      if (seq == theirs) {
        theirs += payload;
        seen += payload;
      }
      OutgoingFrame acked = segment(wire, 1234, 5000, static_cast<std::uint32_t>(100 + data.size()), theirs,
                                    0x10, 65535, {}, {});
      ASSERT_EQ(wire.device->transmit({&acked, 1}, Instant{}), 1U);
    }
    EXPECT_GT(largest, 30000U);
    EXPECT_EQ(wire.counters.dropped(), 0U);
    ::close(fd);
    ::close(listener);
  });
}

TEST_P(DeviceTest, APoolWithoutFramesLosesNothing) {
  on_wire([](Wire& wire) {
    introduce(wire);
    const int fd = kernel_socket(SOCK_DGRAM);
    const sockaddr_in to = address(kOurs, 9);
    ASSERT_EQ(::sendto(fd, "z", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 1);
    std::array<Frame, 4> batch;
    wire.pool.fail_after(1);
    EXPECT_EQ(wire.device->receive(batch, wire.pool, Instant{}), 0U);
    EXPECT_TRUE(wire.receive_until(
        [](const Frame& f) { return ethertype_of(f) == wire::kEtherTypeIpv4 && f.bytes()[23] == 17; }));
    ::close(fd);
  });
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceTest,
                         testing::Values(Kind{"Tap", open_tap_wire}, Kind{"Packet", open_packet_wire}),
                         [](const testing::TestParamInfo<Kind>& kind) {
                           return std::string(kind.param.name);
                         });

// A TCP segment to nobody in particular, for what is only written. Borrows `data`.
OutgoingFrame long_super_segment(Wire& wire, const std::vector<std::uint8_t>& data) {
  OutgoingFrame frame = segment(wire, 1234, 5000, 100, 200, 0x19, 65535, {}, data);
  frame.gso = {GsoType::kTcpV4, 1448, false};
  frame.network_offset = 14;
  store_be<std::uint16_t>(frame.mutable_header(), 16, std::uint16_t{0});
  wire::refresh_ipv4_checksum(frame.mutable_header().subspan(14, 20));
  return frame;
}

TEST(TapTest, ALongSuperSegmentIsOneFrameToTheKernel) {
  run_in_namespace([]() -> std::string {
    Wire wire;
    open_tap_wire(wire);
    if (!wire.why_not.empty()) return wire.why_not;
    EXPECT_TRUE(set_link_up(wire.kernel_interface));
    if (!takes_long_super_segments(wire.kernel_interface))
      return "the kernel takes no IPv4 packet beyond 65,535 bytes (before Linux 6.3)";
    EXPECT_EQ(wire.device->offloads().gso_max_size, kSuperSegmentMax);
    const int sniffer = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(0x0800));
    const std::vector<std::uint8_t> data(1448 * 130, 'x');
    OutgoingFrame frame = long_super_segment(wire, data);
    EXPECT_EQ(wire.device->transmit({&frame, 1}, Instant{}), 1U);
    EXPECT_EQ(wire.counters.dropped(), 0U);
    pollfd waiting{sniffer, POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 2000), 1);
    EXPECT_EQ(::recv(sniffer, nullptr, 0, MSG_TRUNC), static_cast<ssize_t>(frame.size()));
    ::close(sniffer);
    return "";
  });
}

// A kernel whose memory is in small pieces refuses the long one. Here that is a socket whose buffer is too
// small for it.
TEST(TapTest, ALongSuperSegmentThatIsRefusedGoesAsOrdinaryOnes) {
  run_in_namespace([]() -> std::string {
    Wire wire;
    open_tap_wire(wire);
    if (!wire.why_not.empty()) return wire.why_not;
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
      return "no socket pair";
    const int buffer = 100'000;  // the kernel doubles it
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    TapDevice narrow(KernelDescriptor{ends[0]}, "narrow", wire.device->mac(), 1500, wire.device->offloads(),
                     wire::kVnetHeaderLong);
    narrow.count_into(&wire.counters);
    std::vector<std::uint8_t> data(kSuperSegmentMax + 20'000);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    OutgoingFrame frame = long_super_segment(wire, data);
    EXPECT_EQ(narrow.transmit({&frame, 1}, Instant{}), 1U);
    std::vector<std::uint8_t> got;
    for (std::size_t parts = 0;; ++parts) {
      std::vector<std::uint8_t> part(70'000);
      const ssize_t size = ::recv(ends[1], part.data(), part.size(), 0);
      if (size < 0) {
        // What finds no room any more is lost.
        EXPECT_EQ(parts, 3U);
        break;
      }
      part.resize(static_cast<std::size_t>(size));
      const Bytes packet = Bytes(part).subspan(wire::kVnetHeaderLong + 14);
      const auto ip = wire::parse_ipv4(packet);
      EXPECT_TRUE(ip && ip->total_length == packet.size()) << parts;
      got.insert(got.end(), packet.begin() + 40, packet.end());
    }
    EXPECT_EQ(got.size(), std::size_t{3} * 45 * 1448);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), data.begin()));
    EXPECT_EQ(wire.counters.dropped(trace::DropReason::kDevRefused), 1U) << "the rest";
    // Without room for the first part, nothing has left and the caller keeps the frame.
    while (::send(ends[0], data.data(), 1000, 0) > 0) {
    }
    EXPECT_EQ(narrow.transmit({&frame, 1}, Instant{}), 0U);
    ::close(ends[1]);
    return "";
  });
}

TEST(TapTest, TheNameIsTaken) {
  run_in_namespace([]() -> std::string {
    const auto first = open_tap({.name = "taken0"});
    if (!first) return first.error();
    const auto second = open_tap({.name = "taken0"});
    EXPECT_FALSE(second);
    if (!second) {
      EXPECT_EQ(
          second.error(),
          "the interface taken0 is in use by another program: choose another name, or end that program");
    }
    return "";
  });
}

TEST(TapTest, TheMtuAsked) {
  run_in_namespace([]() -> std::string {
    const auto tap = open_tap({.name = "tap%d", .mtu = 9000});
    if (!tap) return tap.error();
    EXPECT_EQ((*tap)->mtu(), 9000U);
    EXPECT_EQ((*tap)->name(), "tap0");
    return "";
  });
}

TEST(TapTest, ABadNameIsRefused) {
  EXPECT_FALSE(open_tap({.name = "a-name-that-is-too-long"}));
  EXPECT_FALSE(open_tap({.name = ""}));
}

TEST(PacketTest, NoSuchInterface) {
  const auto opened = open_packet({.interface = "nosuch0"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error(), "there is no interface 'nosuch0' in this network namespace");
}

}  // namespace
}  // namespace tapir::drivers
