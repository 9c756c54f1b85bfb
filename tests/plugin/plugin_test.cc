// SPDX-License-Identifier: Apache-2.0
// packetdrill's part, by its rules: the library is loaded with dlopen, gets a table to fill, and is then
// driven with raw IP packets, one thread that reads the script and one that makes the calls that wait. No
// time is real but a few milliseconds of waiting for threads.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "plugin/player/table.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"

namespace tapir {
namespace {

// The table as the tool's own sources lay it out, by position: in the tests' words, not the plugin's header.
using player::Entry;
using enum player::Entry;

const IpAddress kOurs = IpAddress::v4(192, 168, 0, 1);
const IpAddress kPeers = IpAddress::v4(192, 0, 2, 1);
constexpr std::uint16_t kPort = 8080;
constexpr std::uint16_t kPeerPort = 5555;

class Tool {
 public:
  explicit Tool(const char* flags = "sysctl=none") {
    library_ = ::dlopen(TAPIR_PLUGIN, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library_ == nullptr) {
      ADD_FAILURE() << ::dlerror();
      std::abort();
    }
    auto* init =
        reinterpret_cast<void (*)(const char*, void*)>(::dlsym(library_, "packetdrill_interface_init"));
    EXPECT_NE(init, nullptr);
    init(flags, table_.data());
  }
  ~Tool() { call<void>(kFree); }

  template <typename Result, typename... Args>
  Result call(Entry entry, Args... args) {
    return reinterpret_cast<Result (*)(void*, Args...)>(table_[entry])(table_[kUserdata], args...);
  }
  const std::array<void*, kEntries>& table() const { return table_; }

  int socket() { return call<int>(kSocket, int{AF_INET}, int{SOCK_STREAM}, int{IPPROTO_TCP}); }
  int bind_and_listen(int fd) {
    const sockaddr_in address = at(kOurs, kPort);
    const int bound =
        call<int>(kBind, fd, reinterpret_cast<const sockaddr*>(&address), socklen_t{sizeof(address)});
    return bound != 0 ? bound : call<int>(kListen, fd, 5);
  }
  static sockaddr_in at(const IpAddress& address, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    out.sin_addr.s_addr = htonl(address.v4_bits());
    return out;
  }

  void inject(wire::TcpSegment segment, std::size_t payload = 0) {
    segment.src_port = kPeerPort;
    segment.dst_port = kPort;
    const std::size_t length = wire::tcp_header_length(segment.options, segment.has(wire::kSyn)) + payload;
    std::vector<std::uint8_t> packet(wire::kIpv4HeaderMin + length);
    wire::Ipv4Header ip;
    ip.total_length = static_cast<std::uint16_t>(packet.size());
    ip.ttl = 64;
    ip.protocol = IpProtocol::kTcp;
    ip.src = kPeers;
    ip.dst = kOurs;
    wire::emit_ipv4(ip, packet);
    const MutableBytes tcp = MutableBytes(packet).subspan(wire::kIpv4HeaderMin);
    wire::emit_tcp(segment, tcp);
    store_be(tcp, wire::kTcpChecksumOffset, wire::transport_checksum(ip.src, ip.dst, IpProtocol::kTcp, tcp));
    EXPECT_EQ(call<int>(kNetdevSend, static_cast<const void*>(packet.data()), packet.size()), 0);
  }

  struct Packet {
    wire::TcpSegment segment;
    std::size_t payload = 0;
    long long at = 0;      // microseconds
    std::size_t size = 0;  // 0: none
  };
  Packet receive() {
    std::vector<std::uint8_t> buffer(65536);
    std::size_t size = buffer.size();
    Packet packet;
    EXPECT_EQ(call<int>(kNetdevReceive, static_cast<void*>(buffer.data()), &size, &packet.at), 0);
    packet.size = size;
    if (size == 0) return packet;
    buffer.resize(size);
    const auto ip = wire::parse_ipv4(buffer);
    EXPECT_TRUE(ip.has_value());
    EXPECT_TRUE(wire::verify_ipv4_checksum(Bytes(buffer).first(ip->header_length)));
    const auto tcp = wire::parse_tcp(Bytes(buffer).subspan(ip->header_length, ip->payload_length()));
    EXPECT_TRUE(tcp.has_value());
    packet.segment = *tcp;
    packet.payload = tcp->payload.size();
    packet.segment.payload = {};
    packet.segment.option_bytes = {};
    return packet;
  }
  long long now() {
    timeval tv{};
    EXPECT_EQ(call<int>(kGettimeofday, &tv, static_cast<struct timezone*>(nullptr)), 0);
    return static_cast<long long>(tv.tv_sec) * 1'000'000 + tv.tv_usec;
  }
  void sleep(unsigned usecs) { EXPECT_EQ(call<int>(kUsleep, useconds_t{usecs}), 0); }

  // A handshake from the peer's side; returns the ISN of ours.
  SeqNum shake_hands() {
    wire::TcpSegment syn;
    syn.seq = SeqNum(1000);
    syn.flags = wire::kSyn;
    syn.window = 32792;
    syn.options.mss = 1000;
    inject(syn);
    const Packet answer = receive();
    EXPECT_EQ(answer.segment.flags, wire::kSyn | wire::kAck);
    EXPECT_EQ(answer.segment.ack, SeqNum(1001));
    inject(ack_of(answer.segment.seq + 1));
    return answer.segment.seq;
  }
  static wire::TcpSegment ack_of(SeqNum ack, SeqNum seq = SeqNum(1001)) {
    wire::TcpSegment segment;
    segment.seq = seq;
    segment.ack = ack;
    segment.flags = wire::kAck;
    segment.window = 32792;
    return segment;
  }

 private:
  void* library_ = nullptr;
  std::array<void*, kEntries> table_{};
};

TEST(Plugin, FillsEveryEntry) {
  Tool tool;
  for (std::size_t i = 0; i < kEntries; ++i) EXPECT_NE(tool.table()[i], nullptr) << "entry " << i;
}

TEST(Plugin, ServesAConnection) {
  Tool tool;
  const int listener = tool.socket();
  ASSERT_GE(listener, 0);
  ASSERT_EQ(tool.bind_and_listen(listener), 0);
  const SeqNum iss = tool.shake_hands();
  sockaddr_in peer{};
  socklen_t length = sizeof(peer);
  const int fd = tool.call<int>(kAccept, listener, reinterpret_cast<sockaddr*>(&peer), &length);
  ASSERT_GE(fd, 0);
  EXPECT_NE(fd, listener);
  // The tool compares the peer's address with the SYN it injected.
  EXPECT_EQ(ntohs(peer.sin_port), kPeerPort);
  EXPECT_EQ(ntohl(peer.sin_addr.s_addr), kPeers.v4_bits());
  // Real descriptors, or the close() at the tool's end fails.
  EXPECT_GE(::fcntl(fd, F_GETFD), 0);

  tool.inject(Tool::ack_of(iss + 1), 700);
  EXPECT_EQ(tool.receive().segment.ack, SeqNum(1701));
  std::vector<char> data(1000, 1);
  int queued = 0;
  EXPECT_EQ(tool.call<int>(kIoctl, fd, static_cast<unsigned long>(FIONREAD), &queued), 0);
  EXPECT_EQ(queued, 700);
  EXPECT_EQ(tool.call<ssize_t>(kRead, fd, static_cast<void*>(data.data()), data.size()), 700);
  std::fill(data.begin(), data.end(), 0);
  EXPECT_EQ(tool.call<ssize_t>(kWrite, fd, static_cast<const void*>(data.data()), data.size()), 1000);
  const Tool::Packet sent = tool.receive();
  EXPECT_EQ(sent.payload, 1000U);
  EXPECT_EQ(sent.segment.seq, iss + 1);

  std::array<std::uint8_t, 280> info{};
  socklen_t info_length = info.size();
  EXPECT_EQ(tool.call<int>(kGetsockopt, fd, int{SOL_TCP}, int{TCP_INFO}, static_cast<void*>(info.data()),
                           &info_length),
            0);
  EXPECT_EQ(info[0], TCP_ESTABLISHED);
  EXPECT_EQ(tool.call<int>(kClose, fd), 0);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(tool.call<int>(kClose, listener), 0);
}

TEST(Plugin, TimeIsItsOwn) {
  Tool tool;
  const long long begin = tool.now();
  EXPECT_GT(tool.now(), begin);  // the tool polls the clock: it must move
  tool.sleep(2'000'000);
  EXPECT_GE(tool.now() - begin, 2'000'000);
  EXPECT_LT(tool.now() - begin, 2'000'100);
}

TEST(Plugin, RetransmissionsComeAtTheirTimes) {
  Tool tool;
  const int listener = tool.socket();
  ASSERT_EQ(tool.bind_and_listen(listener), 0);
  tool.shake_hands();
  const int fd =
      tool.call<int>(kAccept, listener, static_cast<sockaddr*>(nullptr), static_cast<socklen_t*>(nullptr));
  ASSERT_GE(fd, 0);
  const char byte = 0;
  ASSERT_EQ(tool.call<ssize_t>(kWrite, fd, static_cast<const void*>(&byte), std::size_t{1}), 1);
  const Tool::Packet first = tool.receive();
  std::vector<long long> gaps;
  long long last = first.at;
  for (int i = 0; i < 4; ++i) {
    const Tool::Packet again = tool.receive();
    ASSERT_EQ(again.segment.seq, first.segment.seq);
    gaps.push_back((again.at - last + 500) / 1000);
    last = again.at;
  }
  // A probe of the tail may come first; from then on each wait is twice the one before.
  EXPECT_NEAR(static_cast<double>(gaps[3]), 2.0 * static_cast<double>(gaps[2]), 2.0);
  EXPECT_GE(tool.now(), last);  // waiting for a packet moved the clock
}

TEST(Plugin, NothingToComeIsAnEmptyPacket) {
  Tool tool;
  const int fd = tool.socket();
  ASSERT_GE(fd, 0);
  EXPECT_EQ(tool.receive().size, 0U);
}

// The tool's second thread: the call sleeps until the packet comes, and its first look at the clock is the
// time of its return.
TEST(Plugin, ACallThatWaitsReturnsWhenItsPacketCame) {
  Tool tool;
  const int listener = tool.socket();
  ASSERT_EQ(tool.bind_and_listen(listener), 0);
  const long long begin = tool.now();
  std::atomic<int> accepted{-2};
  std::atomic<long long> returned{0};
  std::thread waiter([&] {
    const int fd =
        tool.call<int>(kAccept, listener, static_cast<sockaddr*>(nullptr), static_cast<socklen_t*>(nullptr));
    returned = tool.now();
    accepted = fd;
  });
  // As the tool does: until the thread sleeps in the kernel.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(accepted, -2);
  tool.sleep(300'000);
  wire::TcpSegment syn;
  syn.seq = SeqNum(1000);
  syn.flags = wire::kSyn;
  syn.window = 32792;
  tool.inject(syn);
  const Tool::Packet answer = tool.receive();
  tool.sleep(100'000);
  tool.inject(Tool::ack_of(answer.segment.seq + 1));
  tool.sleep(1000);
  waiter.join();
  EXPECT_GE(accepted, 0);
  EXPECT_NEAR(static_cast<double>(returned - begin), 400'000.0, 50.0);
}

TEST(Plugin, AWaitEndsByTheClockOfTheTool) {
  Tool tool;
  const int fd = tool.socket();
  ASSERT_EQ(tool.bind_and_listen(fd), 0);
  const long long begin = tool.now();
  std::atomic<int> ready{-2};
  std::atomic<long long> returned{0};
  std::thread waiter([&] {
    std::array<char, sizeof(int) + 2 * sizeof(short)> entry{};
    const short events = 1;  // POLLIN
    std::memcpy(entry.data(), &fd, sizeof(fd));
    std::memcpy(entry.data() + sizeof(int), &events, sizeof(events));
    const int count =
        tool.call<int>(kPoll, static_cast<void*>(entry.data()), static_cast<unsigned long>(1), 250);
    returned = tool.now();
    ready = count;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  tool.sleep(240'000);
  EXPECT_EQ(ready, -2);
  tool.sleep(20'000);
  tool.sleep(1000);
  waiter.join();
  EXPECT_EQ(ready, 0);
  EXPECT_NEAR(static_cast<double>(returned - begin), 250'000.0, 50.0);
}

TEST(Plugin, ConnectsAndLearnsAddresses) {
  Tool tool("sysctl=none,local=192.168.0.1,mtu=1400");
  const int fd = tool.socket();
  ASSERT_EQ(tool.call<int>(kFcntl, fd, int{F_SETFL}, int{O_RDWR | O_NONBLOCK}), 0);
  EXPECT_EQ(tool.call<int>(kFcntl, fd, int{F_GETFL}), O_RDWR | O_NONBLOCK);
  const sockaddr_in address = Tool::at(kPeers, kPort);
  EXPECT_EQ(
      tool.call<int>(kConnect, fd, reinterpret_cast<const sockaddr*>(&address), socklen_t{sizeof(address)}),
      -1);
  EXPECT_EQ(errno, EINPROGRESS);
  const Tool::Packet syn = tool.receive();
  EXPECT_EQ(syn.segment.flags, wire::kSyn);
  EXPECT_EQ(syn.segment.options.mss, 1360);
}

TEST(Plugin, ForeignDescriptorsAreTheSystems) {
  Tool tool;
  int ends[2] = {-1, -1};
  ASSERT_EQ(tool.call<int>(kPipe, static_cast<int*>(ends)), 0);
  EXPECT_EQ(tool.call<ssize_t>(kWrite, ends[1], static_cast<const void*>("hello"), std::size_t{5}), 5);
  char text[8] = {};
  EXPECT_EQ(tool.call<ssize_t>(kRead, ends[0], static_cast<void*>(text), sizeof(text)), 5);
  EXPECT_STREQ(text, "hello");
  EXPECT_EQ(tool.call<int>(kClose, ends[0]), 0);
  EXPECT_EQ(tool.call<int>(kClose, ends[1]), 0);
  EXPECT_EQ(tool.call<int>(kClose, ends[1]), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Plugin, SplicesFromAPipe) {
  Tool tool;
  const int listener = tool.socket();
  ASSERT_EQ(tool.bind_and_listen(listener), 0);
  tool.shake_hands();
  const int fd =
      tool.call<int>(kAccept, listener, static_cast<sockaddr*>(nullptr), static_cast<socklen_t*>(nullptr));
  int ends[2] = {-1, -1};
  ASSERT_EQ(tool.call<int>(kPipe, static_cast<int*>(ends)), 0);
  const std::vector<char> zeros(500);
  ASSERT_EQ(::write(ends[1], zeros.data(), zeros.size()), 500);
  loff_t zero = 0;
  EXPECT_EQ(tool.call<int>(kSplice, ends[0], &zero, fd, &zero, std::size_t{500}, 0U), 500);
  EXPECT_EQ(tool.receive().payload, 500U);
  ::close(ends[0]);
  ::close(ends[1]);
}

// Several scripts on one command line: each has a stack of its own.
TEST(Plugin, StartsAfresh) {
  for (int i = 0; i < 3; ++i) {
    Tool tool;
    const int listener = tool.socket();
    ASSERT_EQ(tool.bind_and_listen(listener), 0) << "the port is free again";
    // Left open, closed by the system's close as the tool does at a script's end.
    EXPECT_EQ(::close(listener), 0);
  }
}

}  // namespace
}  // namespace tapir
