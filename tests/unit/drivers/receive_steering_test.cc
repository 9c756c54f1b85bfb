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
TEST(ReceiveSteeringTest, AllProcessorsHandleWhatAnInterfaceOfThisNamespaceReceives) {
  const bool root = has_net_admin();
  run_in_namespace([root]() -> std::string {
    const auto tap = open_tap({.name = "steered0"});
    if (!tap) return tap.error();
    const auto before = processors_of_received("steered0");
    if (!before) return before.error();
    EXPECT_EQ(processors_in(*before), 0);
    const auto spread = spread_received("steered0");
    if (!spread && !root) return spread.error();
    EXPECT_TRUE(spread) << spread.error();
    EXPECT_EQ(processors_in(*processors_of_received("steered0")), ::get_nprocs_conf());
    return "";
  });
}

TEST(ReceiveSteeringTest, AnInterfaceThatIsNotThereIsNamed) {
  run_in_namespace([]() -> std::string {
    const auto spread = spread_received("gone0");
    EXPECT_FALSE(spread);
    if (!spread) {
      EXPECT_EQ(spread.error().substr(0, 48), "the processors that handle what gone0 receives: ");
    }
    return "";
  });
}

}  // namespace
}  // namespace tapir::drivers
