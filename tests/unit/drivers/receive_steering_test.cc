// SPDX-License-Identifier: Apache-2.0
#include "drivers/receive_steering.h"

#include <sys/sysinfo.h>

#include "drivers/tap.h"
#include "unit/drivers/in_namespace.h"

namespace tapir::drivers {
namespace {

int processors_in(const std::string& mask) {
  int count = 0;
  for (const char digit : mask) {
    if (digit != ',')
      count += __builtin_popcount(static_cast<unsigned>(std::stoul(std::string(1, digit), nullptr, 16)));
  }
  return count;
}

// /sys shows the namespace outside, in which there is no such interface.
TEST(ReceiveSteeringTest, OneProcessorOrAllOthersHandleWhatAnInterfaceOfThisNamespaceReceives) {
  const bool root = has_net_admin();
  const int all = ::get_nprocs_conf();
  if (all < 2) GTEST_SKIP() << "one processor";
  run_in_namespace([root, all]() -> std::string {
    const auto tap = open_tap({.name = "steered0"});
    if (!tap) return tap.error();
    const auto before = processors_of_received("steered0");
    if (!before) return before.error();
    EXPECT_EQ(processors_in(*before), 0);
    auto steering = ReceiveSteering::open("steered0");
    if (!root) return "the machine's root alone may set it";
    if (!steering) return steering.error();
    EXPECT_TRUE(steering->keep_on(1));
    const std::string one = *processors_of_received("steered0");
    EXPECT_EQ(processors_in(one), 1);
    EXPECT_EQ(one.back(), '2');
    EXPECT_TRUE(steering->keep_off(1));
    const std::string without = *processors_of_received("steered0");
    EXPECT_EQ(processors_in(without), all - 1);
    EXPECT_EQ(std::stoul(without.substr(without.size() - 1), nullptr, 16) & 3U, 1U);
    EXPECT_TRUE(steering->keep_off(all));
    EXPECT_EQ(processors_in(*processors_of_received("steered0")), all);
    EXPECT_TRUE(steering->leave_to_writer());
    EXPECT_EQ(processors_in(*processors_of_received("steered0")), 0);
    return "";
  });
}

TEST(ReceiveSteeringTest, AnInterfaceThatIsNotThereIsNamed) {
  run_in_namespace([]() -> std::string {
    const auto steering = ReceiveSteering::open("gone0");
    EXPECT_FALSE(steering);
    if (!steering) {
      EXPECT_EQ(steering.error().substr(0, 48), "the processors that handle what gone0 receives: ");
    }
    return "";
  });
}

}  // namespace
}  // namespace tapir::drivers
