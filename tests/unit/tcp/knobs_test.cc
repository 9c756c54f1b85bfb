// SPDX-License-Identifier: Apache-2.0
#include "tcp/knobs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tcp/initial_window.h"

namespace tapir::tcp {
namespace {

TEST(Knobs, PrintAsLinuxDoes) {
  const Knobs knobs;
  const std::pair<const char*, const char*> defaults[] = {
      {"net.ipv4.tcp_syn_retries", "6"},
      {"net.ipv4.tcp_rto_min_us", "200000"},
      {"net.ipv4.tcp_rto_max_ms", "120000"},
      {"net.ipv4.tcp_comp_sack_delay_ns", "1000000"},
      {"net.ipv4.tcp_invalid_ratelimit", "500"},
      {"net.ipv4.tcp_rmem", "4096\t131072\t33554432"},
      {"net.ipv4.ip_local_port_range", "32768\t60999"},
      {"net.core.somaxconn", "4096"},
      {"net.ipv4.tcp_notsent_lowat", "4294967295"},
      {"net.ipv4.tcp_fin_timeout", "60"},
      {"net.ipv4.tcp_max_tw_buckets", "131072"},
  };
  for (const auto& [name, value] : defaults) EXPECT_EQ(knob_get(knobs, name), value) << name;
}

TEST(Knobs, EveryNameCanBeReadAndSetToWhatItIs) {
  Knobs knobs;
  const auto names = knob_names();
  EXPECT_TRUE(std::ranges::is_sorted(names));
  for (const std::string_view name : names) {
    const auto value = knob_get(knobs, name);
    ASSERT_TRUE(value) << name;
    if (name == "net.ipv4.tcp_available_congestion_control") continue;
    EXPECT_TRUE(knob_set(knobs, name, *value)) << name;
    EXPECT_EQ(knob_get(knobs, name), value) << name;
  }
}

TEST(Knobs, RangesAreLinuxs) {
  Knobs knobs;
  const std::pair<const char*, const char*> refused[] = {
      {"net.ipv4.tcp_syn_retries", "0"},
      {"net.ipv4.tcp_syn_retries", "128"},
      {"net.ipv4.tcp_synack_retries", "256"},
      {"net.ipv4.tcp_tw_reuse", "3"},
      {"net.ipv4.tcp_min_snd_mss", "47"},
      {"net.ipv4.tcp_rto_max_ms", "999"},
      {"net.ipv4.ip_local_port_range", "5 4"},
      {"net.ipv4.ip_local_port_range", "5"},
      {"net.ipv4.tcp_rmem", "0 1 1"},
      {"net.ipv4.tcp_rmem", "1 2 3 4"},
      {"net.core.somaxconn", "-1"},
      {"net.ipv4.tcp_sack", "x"},
      {"net.ipv4.tcp_sack", ""},
      {"net.ipv4.tcp_sack", "1x"},
      {"net.ipv4.tcp_congestion_control", "none"},
      {"net.ipv4.nothing", "1"},
      {"net.ipv4.tcp_available_congestion_control", "reno"},
  };
  for (const auto& [name, value] : refused) {
    const auto before = knob_get(knobs, name);
    const auto result = knob_set(knobs, name, value);
    ASSERT_FALSE(result) << name << ' ' << value;
    EXPECT_FALSE(result.error().empty());
    EXPECT_EQ(knob_get(knobs, name), before);
  }
}

TEST(Knobs, UnitsAreThoseOfTheName) {
  Knobs knobs;
  ASSERT_TRUE(knob_set(knobs, "net.ipv4.tcp_rto_min_us", "5000"));
  EXPECT_EQ(knobs.rto_min, 5ms);
  ASSERT_TRUE(knob_set(knobs, "net.ipv4.tcp_comp_sack_slack_ns", " 7\n"));
  EXPECT_EQ(knobs.tcp_comp_sack_slack, 7ns);
  ASSERT_TRUE(knob_set(knobs, "net.ipv4.tcp_rmem", "4096 540000\t15728640"));
  EXPECT_EQ(knobs.tcp_rmem[1], 540000);
  ASSERT_TRUE(knob_set(knobs, "net.ipv4.tcp_wmem", "8192"));  // a vector in part
  EXPECT_EQ(knobs.tcp_wmem[0], 8192);
  EXPECT_EQ(knobs.tcp_wmem[1], 16384);
}

TEST(InitialWindow, IsLinuxs) {
  Knobs knobs;
  // 64 KiB of window in whole segments; a shift for 32 MiB.
  InitialWindow w = select_initial_window(window_from_buffer(131072), 1460, 0, true, 0, knobs);
  EXPECT_EQ(w.rcv_wnd, 64240U);
  EXPECT_EQ(w.wscale, 10);
  EXPECT_EQ(w.window_clamp, 65535U << 10);
  // packetdrill's defaults.
  knobs.tcp_rmem = {4096, 540000, 15728640};
  w = select_initial_window(window_from_buffer(540000), 1460, 0, true, 0, knobs);
  EXPECT_EQ(w.rcv_wnd, 268640U);  // more than a SYN can say
  EXPECT_EQ(w.wscale, 8);
  w = select_initial_window(window_from_buffer(540000), 1460, 0, false, 0, knobs);
  EXPECT_EQ(w.wscale, 0);
  EXPECT_EQ(w.window_clamp, 65535U);
  // A clamp limits both; initrwnd counts segments.
  w = select_initial_window(270000, 1000, 100000, true, 0, knobs);
  EXPECT_EQ(w.wscale, 1);
  EXPECT_EQ(w.window_clamp, 100000U);
  EXPECT_EQ(select_initial_window(270000, 1000, 0, true, 3, knobs).rcv_wnd, 3000U);
  EXPECT_EQ(select_initial_window(-5, 1000, 0, true, 0, knobs).rcv_wnd, 0U);
}

}  // namespace
}  // namespace tapir::tcp
