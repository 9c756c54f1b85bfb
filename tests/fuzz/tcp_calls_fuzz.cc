// SPDX-License-Identifier: Apache-2.0
// A program that makes arbitrary calls, a peer that sends segments near what the connections expect, a clock
// that jumps, memory that is refused; afterwards nothing may be left. Input: a byte for the memory, then
// operations (a byte each, then their arguments).
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "fuzz/input.h"
#include "fuzz/world.h"
#include "wire/icmp.h"
#include "wire/tcp_segment.h"

namespace tapir::fuzz {
namespace {

constexpr int kOperationsMax = 400;

// What the peer knows of a connection, from the stack's segments.
struct Flow {
  std::uint16_t ours = 0;
  std::uint16_t theirs = 0;
  SeqNum next;          // that we, the peer, should send
  SeqNum acknowledged;  // that the stack sent last, one past
  bool timestamps = false;
  std::uint32_t their_clock = 0;  // the stack's TSval
};

class Session {
 public:
  explicit Session(Input input)
      : input_(input), world_(link::LinkType::kRawIp, memory(input_.u8())), sockets_(world_.sockets()) {
    data_.assign(70000, 'x');
  }

  void run() {
    for (int i = 0; i < kOperationsMax && !input_.empty(); ++i) {
      operation();
      look();
    }
    for (const int fd : open_) (void)sockets_.close(fd, world_.now());
    look();
    world_.expect_nothing_left();
  }

 private:
  static std::size_t memory(std::uint8_t choice) { return std::size_t{choice % 4 == 3 ? 1u : 64u} << 20; }

  void operation() {
    const Instant now = world_.now();
    switch (input_.u8() % 20) {
      case 0:
        keep(sockets_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now));
        break;
      case 1:
        keep(sockets_.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, now));
        break;
      case 2: {
        const sockaddr_in at = address_of(input_.u8() % 2 == 0 ? IpAddress::any_v4() : kOurs, our_port());
        (void)sockets_.bind(some(), reinterpret_cast<const sockaddr*>(&at), sizeof at, now);
        break;
      }
      case 3:
        (void)sockets_.listen(some(), input_.u8() % 4, now);
        break;
      case 4:
        connect(now);
        break;
      case 5: {
        const int fd = some();
        const std::size_t size = input_.u16();
        (void)sockets_.send(fd, data_.data(), size, send_flags(), now);
        break;
      }
      case 6: {
        const int fd = some();
        const std::size_t size = input_.u16();
        const std::uint8_t how = input_.u8();
        (void)sockets_.recv(fd, data_.data(), size,
                            (how & 1 ? MSG_PEEK : 0) | (how & 2 ? MSG_TRUNC : 0) | (how & 4 ? MSG_OOB : 0) |
                                (how & 8 ? MSG_ERRQUEUE : 0),
                            now);
        break;
      }
      case 7: {
        const int fd = some();
        (void)sockets_.shutdown(fd, input_.u8() % 4, now);
        break;
      }
      case 8:
        close(now);
        break;
      case 9:
        keep(sockets_.accept4(some(), nullptr, nullptr, SOCK_NONBLOCK, now));
        break;
      case 10:
        set_option(now);
        break;
      case 11:
        get_option(now);
        break;
      case 12:
        world_.pass(Duration(std::int64_t{1000} << (input_.u8() % 36)));
        break;  // up to 9.5 hours
      case 13:
      case 14:
      case 15:
        segment();
        break;
      case 16:
        icmp();
        break;
      case 17:
        world_.pass_to_timeout();
        break;
      case 18:
        world_.stack().frames().fail_after(input_.u8());
        break;
      default:
        others(now);
        break;
    }
  }

  void keep(const socket::Result<socket::Descriptor>& made) {
    if (made) open_.push_back(*made);
  }
  int some() {
    const std::uint8_t choice = input_.u8();
    return open_.empty() ? 3 : open_[choice % open_.size()];
  }
  std::uint16_t our_port() { return static_cast<std::uint16_t>(80 + input_.u8() % 3); }

  void connect(Instant now) {
    const int fd = some();
    const std::uint8_t where = input_.u8();
    sockaddr_in to = address_of(where % 4 == 0 ? kOurs : kTheirs,
                                where % 8 < 4 ? our_port() : static_cast<std::uint16_t>(1000 + where % 3));
    if (where == 255) to.sin_family = AF_UNSPEC;
    (void)sockets_.connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to, now);
  }

  int send_flags() {
    const std::uint8_t how = input_.u8();
    return MSG_NOSIGNAL | (how & 1 ? MSG_MORE : 0) | (how & 2 ? MSG_OOB : 0) | (how & 4 ? MSG_EOR : 0);
  }

  void close(Instant now) {
    if (open_.empty()) return;
    const std::size_t index = input_.u8() % open_.size();
    (void)sockets_.close(open_[index], now);
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void set_option(Instant now) {
    static constexpr std::array<std::pair<int, int>, 20> kOptions = {{
        {SOL_SOCKET, SO_SNDBUF},         {SOL_SOCKET, SO_RCVBUF},
        {SOL_SOCKET, SO_KEEPALIVE},      {SOL_SOCKET, SO_REUSEADDR},
        {SOL_SOCKET, SO_REUSEPORT},      {SOL_SOCKET, SO_RCVLOWAT},
        {SOL_SOCKET, SO_OOBINLINE},      {IPPROTO_TCP, TCP_NODELAY},
        {IPPROTO_TCP, TCP_CORK},         {IPPROTO_TCP, TCP_MAXSEG},
        {IPPROTO_TCP, TCP_KEEPIDLE},     {IPPROTO_TCP, TCP_KEEPINTVL},
        {IPPROTO_TCP, TCP_KEEPCNT},      {IPPROTO_TCP, TCP_USER_TIMEOUT},
        {IPPROTO_TCP, TCP_LINGER2},      {IPPROTO_TCP, TCP_DEFER_ACCEPT},
        {IPPROTO_TCP, TCP_WINDOW_CLAMP}, {IPPROTO_TCP, TCP_QUICKACK},
        {IPPROTO_IP, IP_RECVERR},        {IPPROTO_IP, IP_TTL},
    }};
    const int fd = some();
    const std::uint8_t choice = input_.u8();
    if (choice % 21 == 20) {
      const linger value{.l_onoff = input_.u8() & 1, .l_linger = input_.u8() % 4};
      (void)sockets_.setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value, now);
      return;
    }
    const auto [level, name] = kOptions[choice % 21];
    const int value = static_cast<std::int16_t>(input_.u16());
    (void)sockets_.setsockopt(fd, level, name, &value, sizeof value, now);
  }

  void get_option(Instant now) {
    const int fd = some();
    const std::uint8_t choice = input_.u8();
    std::array<std::uint8_t, 512> value{};
    socklen_t length = input_.u16() % value.size();
    const int level = choice % 3 == 0 ? SOL_SOCKET : choice % 3 == 1 ? int{IPPROTO_TCP} : int{IPPROTO_IP};
    (void)sockets_.getsockopt(fd, level, choice / 3, value.data(), &length, now);
    require(length <= value.size(), "an option is no longer than its room");
  }

  // A segment of the peer for a connection it knows, or a new one, a little or far beside what is expected.
  void segment() {
    const std::uint8_t which = input_.u8();
    Flow fresh;
    Flow* flow = &fresh;
    if (flows_used_ != 0 && which < 224) {
      flow = &flows_[which % flows_used_];
    } else {
      fresh.ours = our_port();
      fresh.theirs = static_cast<std::uint16_t>(1000 + which % 3);
      fresh.next = SeqNum(input_.u32());
    }
    wire::TcpSegment out;
    out.src_port = flow->theirs;
    out.dst_port = flow->ours;
    const std::uint8_t flags = input_.u8();
    out.flags = flags == 255 ? std::uint16_t{wire::kAck | wire::kPsh} : flags;
    const auto sequence_off = static_cast<std::int8_t>(input_.u8());
    const auto ack_off = static_cast<std::int8_t>(input_.u8());
    const std::uint8_t form = input_.u8();
    const std::uint32_t scale = form & 1 ? 1460 : 1;
    out.seq = flow->next + static_cast<std::uint32_t>(sequence_off) * scale;
    out.ack = flow->acknowledged + static_cast<std::uint32_t>(ack_off) * scale;
    out.window = form & 2 ? static_cast<std::uint16_t>(input_.u8()) : std::uint16_t{65535};
    if (form & 4) out.urgent = input_.u8();
    if (out.has(wire::kSyn)) {
      if (form & 8) out.options.mss = static_cast<std::uint16_t>(input_.u8() * 8);
      if (form & 16) out.options.window_scale = static_cast<std::uint8_t>(input_.u8() % 15);
      out.options.sack_permitted = (form & 32) != 0;
    } else if (form & 8) {
      out.options.sack_count = 1;
      const std::uint8_t begin = input_.u8();
      out.options.sack[0] = {out.ack + begin * 100u, out.ack + begin * 100u + input_.u8() * 100u};
    }
    if (flow->timestamps || form & 64) {
      clock_ += 1;
      out.options.timestamps =
          wire::TcpTimestamps{.value = form & 128 ? clock_ - 1000 : clock_, .echo = flow->their_clock};
    }
    std::array<std::uint8_t, 4096> packet{};
    const std::size_t header = wire::emit_tcp(out, MutableBytes(packet).subspan(wire::kIpv4HeaderMin));
    const std::size_t payload = out.has(wire::kPsh) ? input_.u16() % 3000 : 0;
    send(packet, header + payload, IpProtocol::kTcp);
  }

  // An ICMP error that quotes the last packet of the stack.
  void icmp() {
    const std::uint8_t type = input_.u8();
    const std::uint8_t code = input_.u8();
    if (last_.empty()) return;
    std::array<std::uint8_t, 4096> packet{};
    const wire::IcmpMessage message = type % 2 == 0 ? wire::IcmpMessage::unreachable(code % 16, input_.u16())
                                                    : wire::IcmpMessage::time_exceeded(code % 2);
    const MutableBytes body = MutableBytes(packet).subspan(wire::kIpv4HeaderMin);
    std::size_t size = wire::emit_icmp(message, body);
    std::copy(last_.begin(), last_.end(), body.begin() + static_cast<std::ptrdiff_t>(size));
    size += last_.size();
    wire::seal_icmp(body.first(size));
    send(packet, size, IpProtocol::kIcmp);
  }

  void send(MutableBytes packet, std::size_t size, IpProtocol protocol) {
    wire::Ipv4Header header;
    header.protocol = protocol;
    header.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderMin + size);
    header.src = kTheirs;
    header.dst = kOurs;
    wire::emit_ipv4(header, packet);
    world_.input(Bytes(packet).first(header.total_length), true);
  }

  // What the stack sends tells the peer where its connections are.
  void look() {
    world_.settle([this](Bytes packet) {
      const auto header = wire::parse_ipv4(packet);
      require(header && wire::verify_ipv4_checksum(packet.first(header->header_length)),
              "what is sent is IPv4 with its checksum");
      last_.assign(packet.begin(),
                   packet.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(packet.size(), 64)));
      if (header->protocol != IpProtocol::kTcp || header->is_fragment()) return;
      const auto segment = wire::parse_tcp(packet.subspan(header->header_length));
      require(segment.has_value(), "what is sent can be read");
      if (segment->has(wire::kRst)) return;
      Flow& flow = flow_of(segment->src_port, segment->dst_port);
      if (segment->has(wire::kAck)) flow.next = segment->ack;
      flow.acknowledged = segment->end();
      flow.timestamps = segment->options.timestamps.has_value();
      if (flow.timestamps) flow.their_clock = segment->options.timestamps->value;
    });
  }

  Flow& flow_of(std::uint16_t ours, std::uint16_t theirs) {
    for (std::size_t i = 0; i < flows_used_; ++i)
      if (flows_[i].ours == ours && flows_[i].theirs == theirs) return flows_[i];
    Flow& flow = flows_used_ < flows_.size() ? flows_[flows_used_++] : flows_[next_flow_++ % flows_.size()];
    flow = Flow{};
    flow.ours = ours;
    flow.theirs = theirs;
    return flow;
  }

  void others(Instant now) {
    const int fd = some();
    int value = 0;
    switch (input_.u8() % 6) {
      case 0:
        keep(sockets_.dup(fd));
        break;
      case 1:
        (void)sockets_.ioctl(fd, FIONREAD, &value, now);
        break;
      case 2:
        (void)sockets_.poll_events(fd, POLLIN | POLLOUT | POLLPRI, now);
        break;
      case 3:
        keep(sockets_.epoll_create1(0));
        break;
      case 4: {
        epoll_event event{};
        event.events =
            input_.u8() % 2 == 0 ? std::uint32_t{EPOLLIN | EPOLLOUT} : std::uint32_t{EPOLLIN | EPOLLET};
        const int operation = 1 + input_.u8() % 3;
        const int other = some();
        (void)sockets_.epoll_ctl(fd, operation, other, &event, now);
        break;
      }
      default: {
        std::array<epoll_event, 8> events{};
        (void)sockets_.epoll_wait(fd, events, now);
        break;
      }
    }
  }

  Input input_;
  World world_;
  socket::Sockets& sockets_;
  std::vector<int> open_;
  std::vector<char> data_;
  std::array<Flow, 8> flows_;
  std::size_t flows_used_ = 0;
  std::size_t next_flow_ = 0;
  std::vector<std::uint8_t> last_;
  std::uint32_t clock_ = 5000;
};

}  // namespace
}  // namespace tapir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tapir::fuzz::Session session({data, size});
  session.run();
  return 0;
}
