// SPDX-License-Identifier: Apache-2.0
#include "wire/icmp.h"

#include <gtest/gtest.h>

#include <vector>

#include "wire/checksum.h"

namespace tapir::wire {
namespace {

TEST(Icmp, RoundTripOfEachForm) {
  const IpAddress gateway = IpAddress::v4(10, 0, 0, 254);
  for (const IcmpMessage& message :
       {IcmpMessage::echo(false, 0x1234, 7), IcmpMessage::echo(true, 1, 0xffff),
        IcmpMessage::unreachable(kUnreachableFragNeeded, 1400), IcmpMessage::unreachable(kUnreachablePort),
        IcmpMessage::time_exceeded(kTimeExceededReassembly), IcmpMessage::parameter_problem(20),
        IcmpMessage::redirect(kRedirectHost, gateway)}) {
    std::vector<std::uint8_t> bytes = {0, 0, 0, 0, 0, 0, 0, 0, 'd', 'a', 't'};
    EXPECT_EQ(emit_icmp(message, bytes), kIcmpHeaderLength);
    seal_icmp(bytes);
    EXPECT_EQ(internet_checksum(bytes), 0);
    const auto parsed = parse_icmp(bytes);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->type, message.type);
    EXPECT_EQ(parsed->code, message.code);
    EXPECT_EQ(parsed->rest, message.rest);
    EXPECT_EQ(parsed->payload.size(), 3U);
  }
}

TEST(Icmp, FieldsOfTheSecondWord) {
  EXPECT_EQ(IcmpMessage::echo(false, 0x1234, 7).id(), 0x1234);
  EXPECT_EQ(IcmpMessage::echo(false, 0x1234, 7).sequence(), 7);
  EXPECT_EQ(IcmpMessage::unreachable(kUnreachableFragNeeded, 1400).mtu(), 1400);
  EXPECT_EQ(IcmpMessage::parameter_problem(20).pointer(), 20);
  EXPECT_EQ(IcmpMessage::redirect(kRedirectHost, IpAddress::v4(10, 0, 0, 254)).gateway(),
            IpAddress::v4(10, 0, 0, 254));
}

TEST(Icmp, WhatIsAnError) {
  for (int type = 0; type < 256; ++type) {
    IcmpMessage message;
    message.type = static_cast<IcmpType>(type);
    EXPECT_EQ(message.is_error(), type == 3 || type == 4 || type == 5 || type == 11 || type == 12) << type;
  }
}

TEST(Icmp, ShortMessagesAreRefused) {
  const std::vector<std::uint8_t> bytes(kIcmpHeaderLength);
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(parse_icmp(Bytes(bytes).first(size)));
  EXPECT_TRUE(parse_icmp(bytes)->payload.empty());
}

}  // namespace
}  // namespace tapir::wire
