// SPDX-License-Identifier: Apache-2.0
#include "ip/icmp.h"

#include "unit/ip/fixture.h"
#include "wire/checksum.h"

namespace tapir::ip {
namespace {

using trace::Counter;
using trace::DropReason;
using wire::IcmpMessage;
using wire::IcmpType;

struct IcmpTest : ::testing::Test, Host {
  Icmp icmp{interfaces, routes, pool, kKey, Rng(1), knobs, counters, tracer};

  static Data message_of(const IcmpMessage& message, const Data& payload) {
    Data bytes(8 + payload.size());
    wire::emit_icmp(message, bytes);
    std::copy(payload.begin(), payload.end(), bytes.begin() + 8);
    wire::seal_icmp(bytes);
    return bytes;
  }
  Datagram datagram_of(const Data& message, IpAddress to = kUs) {
    Datagram datagram;
    datagram.source = kPeer;
    datagram.destination = to;
    datagram.protocol = IpProtocol::kIcmp;
    datagram.destination_kind = interfaces.classify(to);
    datagram.tos = 0x1a;
    datagram.interface = tap;
    datagram.frame = frame(message);
    return datagram;
  }
  IcmpOutcome input(const Data& message, IpAddress to = kUs) {
    const Datagram datagram = datagram_of(message, to);
    return icmp.input(datagram, kStart);
  }
  // What we sent, as an error would quote it.
  static Data our_packet(IpProtocol protocol = IpProtocol::kTcp, std::size_t transport = 8,
                         IpAddress from = kUs, IpAddress to = kFar) {
    wire::Ipv4Header header;
    header.src = from;
    header.dst = to;
    header.protocol = protocol;
    header.total_length = 1500;
    Data payload(transport);
    if (transport >= 8) {
      store_be<std::uint16_t>(payload, 0, 4000);
      store_be<std::uint16_t>(payload, 2, 80);
      store_be<std::uint32_t>(payload, 4, 0xdeadbeef);
    }
    return packet_of(header, payload);
  }
  static Data packet_from_peer(IpProtocol protocol = IpProtocol::kUdp, std::size_t payload = 100) {
    return packet_of(header_from_peer(protocol), pattern(payload));
  }
  std::optional<Reply> error(const Data& about, IcmpErrorSpec spec = IcmpErrorSpec::port_unreachable(),
                             Instant now = kStart, LinkDestination link = LinkDestination::kHost) {
    return icmp.build_error(spec, about, link, tap, now);
  }
};

TEST_F(IcmpTest, EchoIsAnswered) {
  for (std::size_t size : {0u, 1u, 56u, 60000u}) {
    const Data request = message_of(IcmpMessage::echo(false, 0x1234, 7), pattern(size));
    const IcmpOutcome outcome = input(request);
    ASSERT_TRUE(outcome.reply.has_value());
    const Reply& reply = *outcome.reply;
    const auto message = wire::parse_icmp(reply.frame.bytes());
    EXPECT_EQ(message->type, IcmpType::kEchoReply);
    EXPECT_EQ(message->id(), 0x1234);
    EXPECT_EQ(message->sequence(), 7);
    EXPECT_EQ(flat(message->payload), pattern(size));
    EXPECT_EQ(wire::internet_checksum(reply.frame.bytes()), 0);
    EXPECT_EQ(reply.path.source, kUs);
    EXPECT_EQ(reply.path.destination, kPeer);
    EXPECT_EQ(reply.fields.tos, 0x1a);  // Linux's icmp_reply
    EXPECT_EQ(reply.fields.discovery, PathMtuDiscovery::kDont);
    EXPECT_EQ(reply.fields.protocol, IpProtocol::kIcmp);
  }
  EXPECT_EQ(count(Counter::kIcmpInEchos), 4u);
  EXPECT_EQ(count(Counter::kIcmpOutEchoReps), 4u);
}

TEST_F(IcmpTest, EchoReplyGoesThroughAnOutgoingFrame) {
  const IcmpOutcome outcome = input(message_of(IcmpMessage::echo(false, 1, 1), pattern(56)));
  OutgoingFrame out;
  outcome.reply->fill(out);
  EXPECT_EQ(flat(out), flat(outcome.reply->frame.bytes()));
  EXPECT_EQ(out.interface, tap);
}

TEST_F(IcmpTest, EchoesToAllAreIgnored) {
  const Data request = message_of(IcmpMessage::echo(false, 1, 1), {});
  EXPECT_EQ(input(request, address("10.0.0.255")).dropped, DropReason::kIcmpEchoIgnored);
  knobs.icmp_echo_ignore_broadcasts = false;
  const auto outcome = input(request, address("10.0.0.255"));
  ASSERT_TRUE(outcome.reply.has_value());
  EXPECT_EQ(outcome.reply->path.source, kUs);
  knobs.icmp_echo_ignore_all = true;
  EXPECT_EQ(input(request).dropped, DropReason::kIcmpEchoIgnored);
}

TEST_F(IcmpTest, EchoReplyIsForSockets) {
  EXPECT_TRUE(input(message_of(IcmpMessage::echo(true, 1, 1), pattern(8))).for_sockets);
}

TEST_F(IcmpTest, ShortOrDamagedMessages) {
  EXPECT_EQ(input(Data(7)).dropped, DropReason::kIcmpInvalid);
  Data damaged = message_of(IcmpMessage::echo(false, 1, 1), pattern(8));
  damaged[9] ^= 0x10;
  EXPECT_EQ(input(damaged).dropped, DropReason::kIcmpCsum);
  IcmpMessage unknown;
  unknown.type = static_cast<IcmpType>(19);
  EXPECT_EQ(input(message_of(unknown, {})).dropped, DropReason::kIcmpType);
  EXPECT_EQ(count(Counter::kIcmpInErrors), 3u);
  EXPECT_EQ(count(Counter::kIcmpInCsumErrors), 1u);
}

TEST_F(IcmpTest, QuenchAndRedirectsAreNotObeyed) {
  // A redirect is told to the hub, which knows the switch; nothing is changed here.
  const auto redirected = input(message_of(IcmpMessage::redirect(1, kPeer), our_packet()));
  ASSERT_TRUE(redirected.redirect.has_value());
  EXPECT_FALSE(redirected.error.has_value());
  // Code 4 indexed past tapip's table.
  EXPECT_EQ(input(message_of(IcmpMessage::redirect(4, kPeer), our_packet())).dropped, DropReason::kIcmpType);
  IcmpMessage quench;
  quench.type = IcmpType::kSourceQuench;
  EXPECT_EQ(input(message_of(quench, our_packet())).dropped, DropReason::kIcmpType);
}

TEST_F(IcmpTest, ErrorsNameTheConnection) {
  const auto outcome = input(message_of(IcmpMessage::unreachable(wire::kUnreachablePort), our_packet()));
  ASSERT_TRUE(outcome.error.has_value());
  const DeliveryError& told = *outcome.error;
  EXPECT_EQ(told.kind, DeliveryErrorKind::kPortUnreachable);
  EXPECT_TRUE(told.from_icmp);
  EXPECT_EQ(told.icmp_type, 3);
  EXPECT_EQ(told.icmp_code, 3);
  EXPECT_EQ(told.reporter, kPeer);
  EXPECT_EQ(told.protocol, IpProtocol::kTcp);
  EXPECT_EQ(told.quoted.local, (Endpoint{kUs, 4000}));
  EXPECT_EQ(told.quoted.remote, (Endpoint{kFar, 80}));
  EXPECT_EQ(told.quoted_seq, SeqNum(0xdeadbeef));
}

TEST_F(IcmpTest, KindsOfErrors) {
  const DeliveryErrorKind kinds[] = {
      DeliveryErrorKind::kNetUnreachable,      DeliveryErrorKind::kHostUnreachable,
      DeliveryErrorKind::kProtocolUnreachable, DeliveryErrorKind::kPortUnreachable,
      DeliveryErrorKind::kFragmentationNeeded, DeliveryErrorKind::kSourceRouteFailed,
      DeliveryErrorKind::kNetUnreachable,      DeliveryErrorKind::kHostUnreachable,
      DeliveryErrorKind::kHostUnreachable,     DeliveryErrorKind::kAdminProhibited,
      DeliveryErrorKind::kAdminProhibited,     DeliveryErrorKind::kNetUnreachable,
      DeliveryErrorKind::kHostUnreachable,     DeliveryErrorKind::kAdminProhibited,
      DeliveryErrorKind::kHostUnreachable,     DeliveryErrorKind::kHostUnreachable};
  for (std::uint8_t code = 0; code < 16; ++code) {
    const auto outcome = input(message_of(IcmpMessage::unreachable(code), our_packet(IpProtocol::kUdp)));
    ASSERT_TRUE(outcome.error.has_value());
    EXPECT_EQ(outcome.error->kind, kinds[code]) << int{code};
    EXPECT_FALSE(outcome.error->quoted_seq.has_value());
  }
  EXPECT_EQ(input(message_of(IcmpMessage::unreachable(16), our_packet())).dropped, DropReason::kIcmpType);
  EXPECT_EQ(input(message_of(IcmpMessage::time_exceeded(0), our_packet())).error->kind,
            DeliveryErrorKind::kTimeExceeded);
  EXPECT_EQ(input(message_of(IcmpMessage::parameter_problem(20), our_packet())).error->kind,
            DeliveryErrorKind::kParameterProblem);
  EXPECT_EQ(input(message_of(IcmpMessage::unreachable(wire::kUnreachableFragNeeded, 1300), our_packet()))
                .error->mtu,
            1300u);
}

TEST_F(IcmpTest, QuotesMustBeOfOurPackets) {
  const auto unreachable = IcmpMessage::unreachable(wire::kUnreachablePort);
  EXPECT_EQ(input(message_of(unreachable, our_packet(IpProtocol::kTcp, 8, kPeer))).dropped,
            DropReason::kIcmpNoFlow);
  EXPECT_EQ(input(message_of(unreachable, our_packet(IpProtocol::kTcp, 7))).dropped,
            DropReason::kIcmpInvalid);
  EXPECT_EQ(input(message_of(unreachable, Data(19))).dropped, DropReason::kIcmpInvalid);
  EXPECT_EQ(input(message_of(unreachable, {})).dropped, DropReason::kIcmpInvalid);
  Data lies = our_packet();
  lies[0] = 0x4f;
  EXPECT_EQ(input(message_of(unreachable, lies)).dropped, DropReason::kIcmpInvalid);
  Data later = our_packet();
  store_be<std::uint16_t>(later, 6, 100);
  EXPECT_EQ(input(message_of(unreachable, later)).dropped, DropReason::kIcmpInvalid);
}

// ---- errors sent ----

TEST_F(IcmpTest, TapipBug17_PortUnreachableQuotesThePacketAndNoMore) {
  const Data about = packet_from_peer(IpProtocol::kUdp, 40);
  const auto reply = error(about);
  ASSERT_TRUE(reply.has_value());
  const auto message = wire::parse_icmp(reply->frame.bytes());
  EXPECT_EQ(message->type, IcmpType::kUnreachable);
  EXPECT_EQ(message->code, wire::kUnreachablePort);
  EXPECT_EQ(flat(message->payload), about);  // in network order, every byte
  EXPECT_EQ(wire::internet_checksum(reply->frame.bytes()), 0);
  EXPECT_EQ(reply->path.source, kUs);
  EXPECT_EQ(reply->path.destination, kPeer);
  EXPECT_EQ(reply->fields.tos, 0xc0);
}

TEST_F(IcmpTest, TapipBug18_ErrorsHaveATtl) {
  const auto reply = error(packet_from_peer());
  Ipv4Output output(kKey, Rng(1), knobs, counters);
  OutgoingFrame out;
  reply->fill(out);
  ASSERT_TRUE(output.push_header(out, reply->path, reply->fields, kStart).has_value());
  EXPECT_EQ(wire::parse_ipv4(out.header())->ttl, 64);
}

TEST_F(IcmpTest, TapipBug19_FragmentationNeededCarriesTheMtu) {
  const auto reply = error(packet_from_peer(), IcmpErrorSpec::fragmentation_needed(1280));
  EXPECT_EQ(wire::parse_icmp(reply->frame.bytes())->mtu(), 1280);
}

TEST_F(IcmpTest, AtMost576Bytes) {
  const auto reply = error(packet_from_peer(IpProtocol::kUdp, 1400));
  EXPECT_EQ(reply->frame.size(), 556u);  // and 20 of IP header
}

TEST_F(IcmpTest, TapipBug17_NeverAboutMoreThanTotalLength) {
  Data about = packet_from_peer(IpProtocol::kUdp, 10);
  about.resize(300, 0xaa);
  EXPECT_EQ(error(about)->frame.size(), 8u + 30);
}

TEST_F(IcmpTest, Rfc1812Suppressions) {
  wire::Ipv4Header header = header_from_peer();
  const auto silent = [&](const Data& about) { return !error(about).has_value(); };
  // About ICMP errors, or ICMP of unknown kind; but queries may be answered.
  const Data unreachable = message_of(IcmpMessage::unreachable(1), our_packet());
  header.protocol = IpProtocol::kIcmp;
  EXPECT_TRUE(silent(packet_of(header, unreachable)));
  EXPECT_TRUE(silent(packet_of(header, {})));
  EXPECT_TRUE(silent(packet_of(header, Data{200, 0, 0, 0, 0, 0, 0, 0})));
  EXPECT_FALSE(silent(packet_of(header, message_of(IcmpMessage::echo(false, 1, 1), {}))));
  // Broadcast and multicast, of either layer.
  header = header_from_peer();
  header.dst = address("10.0.0.255");
  EXPECT_TRUE(silent(packet_of(header, pattern(8))));
  header.dst = address("224.0.0.1");
  EXPECT_TRUE(silent(packet_of(header, pattern(8))));
  EXPECT_FALSE(
      error(packet_from_peer(), IcmpErrorSpec::port_unreachable(), kStart, LinkDestination::kBroadcast)
          .has_value());
  // Later fragments; but the first may be answered.
  header = header_from_peer();
  header.fragment_offset = 8;
  EXPECT_TRUE(silent(packet_of(header, pattern(8))));
  header.fragment_offset = 0;
  header.more_fragments = true;
  EXPECT_FALSE(silent(packet_of(header, pattern(8))));
  // Sources that are no single host.
  for (const char* source : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "10.0.0.255", "240.0.0.1"}) {
    header = header_from_peer();
    header.src = address(source);
    EXPECT_TRUE(silent(packet_of(header, pattern(8)))) << source;
  }
  // No way back.
  header.src = kFar;
  EXPECT_TRUE(silent(packet_of(header, pattern(8))));
}

TEST_F(IcmpTest, OnePerSecondAndDestinationSixSavedUp) {
  const Data about = packet_from_peer();
  knobs.icmp_msgs_per_sec = 1'000'000;
  knobs.icmp_msgs_burst = 1'000'000;
  const auto sent_at = [&](Instant now, int tries) {
    int sent = 0;
    for (int i = 0; i < tries; ++i)
      sent += error(about, IcmpErrorSpec::port_unreachable(), now).has_value() ? 1 : 0;
    return sent;
  };
  EXPECT_EQ(sent_at(kStart, 20), 6);
  EXPECT_EQ(sent_at(kStart + 999ms, 20), 0);
  EXPECT_EQ(sent_at(kStart + 1s, 20), 1);
  EXPECT_EQ(sent_at(kStart + 3s, 20), 2);
  EXPECT_EQ(sent_at(kStart + 100s, 20), 6);
  EXPECT_GT(count(Counter::kIcmpOutRateLimitHost), 0u);
  // "Fragmentation needed" is never limited.
  for (int i = 0; i < 100; ++i)
    EXPECT_TRUE(error(about, IcmpErrorSpec::fragmentation_needed(1400), kStart + 100s).has_value());
  // Nor what the mask leaves out.
  knobs.icmp_ratemask = 0;
  EXPECT_EQ(sent_at(kStart + 100s, 20), 20);
}

TEST_F(IcmpTest, GlobalLimitHasItsBurst) {
  add_default_route();
  knobs.icmp_ratelimit_ms = 0;
  const auto sent_at = [&](Instant now, std::uint32_t tries) {
    std::uint32_t sent = 0;
    for (std::uint32_t i = 0; i < tries; ++i) {
      wire::Ipv4Header header = header_from_peer();
      header.src = IpAddress::v4(0x14000000 + i);
      sent +=
          error(packet_of(header, pattern(8)), IcmpErrorSpec::port_unreachable(), now).has_value() ? 1u : 0u;
    }
    return sent;
  };
  // A message costs 0–2, one on average.
  const std::uint32_t burst = sent_at(kStart, 10000);
  EXPECT_GE(burst, 25u);
  EXPECT_LE(burst, 110u);
  std::uint32_t in_ten_seconds = 0;
  for (int i = 1; i <= 500; ++i) in_ten_seconds += sent_at(kStart + i * 20ms, 200);
  EXPECT_GE(in_ten_seconds, 9000u);
  EXPECT_LE(in_ten_seconds, 11500u);
  EXPECT_GT(count(Counter::kIcmpOutRateLimitGlobal), 0u);
}

TEST_F(IcmpTest, NoMemoryMeansNoAnswer) {
  pool.fail_after(1);
  EXPECT_FALSE(error(packet_from_peer()).has_value());
  const Datagram request = datagram_of(message_of(IcmpMessage::echo(false, 1, 1), pattern(8)));
  pool.fail_after(1);
  EXPECT_EQ(icmp.input(request, kStart).dropped, DropReason::kMemory);
}

}  // namespace
}  // namespace tapir::ip
