// SPDX-License-Identifier: Apache-2.0
#include "trace/counters.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "trace/drop_reason.h"

namespace tapir::trace {
namespace {

TEST(Counters, CountFromZero) {
  Counters counters;
  EXPECT_EQ(counters.get(Counter::kTcpExtListenOverflows), 0u);
  counters.add(Counter::kTcpExtListenOverflows);
  counters.add(Counter::kTcpExtListenOverflows, 2);
  EXPECT_EQ(counters.get(Counter::kTcpExtListenOverflows), 3u);
  EXPECT_EQ(counters.get(Counter::kTcpExtListenDrops), 0u);
  counters.add(Counter::kTcpCurrEstab, 2);
  counters.subtract(Counter::kTcpCurrEstab);
  EXPECT_EQ(counters.get(Counter::kTcpCurrEstab), 1u);
}

TEST(Counters, CountDropsByReason) {
  Counters counters;
  counters.drop(DropReason::kTcpCsum);
  counters.drop(DropReason::kTcpAoFailure, 2);
  counters.drop(DropReason::kNone);
  EXPECT_EQ(counters.dropped(DropReason::kTcpCsum), 1u);
  EXPECT_EQ(counters.dropped(DropReason::kNone), 0u);
  EXPECT_EQ(counters.dropped(), 3u);
}

TEST(Counters, HaveLinuxsNames) {
  EXPECT_EQ(to_string(Counter::kTcpExtListenOverflows), "TcpExtListenOverflows");
  EXPECT_EQ(group_of(Counter::kTcpExtListenOverflows), "TcpExt");
  EXPECT_EQ(field_of(Counter::kTcpExtListenOverflows), "ListenOverflows");
  EXPECT_EQ(to_string(Counter::kTcpExtTCPRetransFail), "TcpExtTCPRetransFail");
  EXPECT_EQ(group_of(Counter::kIp6InReceives), "Ip6");
  EXPECT_EQ(counter_by_name("IpInReceives"), Counter::kIpInReceives);
  EXPECT_EQ(counter_by_name("IpNoSuchThing"), std::nullopt);
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kCounters; ++i) {
    const auto counter = static_cast<Counter>(i);
    EXPECT_TRUE(names.insert(to_string(counter)).second) << to_string(counter);
    EXPECT_EQ(counter_by_name(to_string(counter)), counter);
  }
}

// The kernel this runs on: what it counts in these groups we count too, in its order (an older kernel has
// fewer).
TEST(Counters, AreInTheKernelsOrder) {
  for (const char* path : {"/proc/net/netstat", "/proc/net/snmp"}) {
    std::ifstream file(path);
    if (!file) GTEST_SKIP() << "no " << path;
    std::string names;
    std::string values;
    while (std::getline(file, names) && std::getline(file, values)) {
      std::istringstream words(names);
      std::string group;
      words >> group;
      group.pop_back();
      if (group != "TcpExt" && group != "IpExt" && group != "Udp") continue;
      std::optional<Counter> last;
      for (std::string field; words >> field;) {
        const std::optional<Counter> counter = counter_by_name(group + field);
        if (!counter) continue;
        EXPECT_TRUE(!last || *last < *counter) << group << field;
        last = counter;
      }
      EXPECT_TRUE(last.has_value()) << group;
    }
  }
}

TEST(DropReason, HasNames) {
  EXPECT_EQ(to_string(DropReason::kNone), "NONE");
  EXPECT_EQ(to_string(DropReason::kTcpRfc7323Paws), "TCP_RFC7323_PAWS");
  EXPECT_EQ(explain(DropReason::kUdpCsum), "UDP checksum");
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    EXPECT_TRUE(names.insert(to_string(static_cast<DropReason>(i))).second) << i;
    EXPECT_FALSE(explain(static_cast<DropReason>(i)).empty());
  }
}

}  // namespace
}  // namespace tapir::trace
