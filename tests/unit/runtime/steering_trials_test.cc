// SPDX-License-Identifier: Apache-2.0
#include "runtime/steering_trials.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace tapir::runtime {
namespace {

// A machine on which so many bytes pass in a window, by where the kernel's end works; it gets slower and
// faster, as machines do.
struct Machine {
  std::array<double, 3> speed;  // by ReceiverOn
  double drift = 0;             // of its speed, from window to window
  double noise = 0;             // the most that a window is off by
  double busy = 1;
  double scale = 1;
  std::mt19937 random{1};  // NOLINT(cert-msc51-cpp): the same in every run

  // Runs so many windows; answers the share of them that were spent where most passes.
  double run(SteeringTrials& trials, int windows, ReceiverOn best) {
    int there = 0;
    for (int i = 0; i < windows; ++i) {
      const ReceiverOn where = trials.now();
      there += where == best;
      const double off = 1 + noise * std::uniform_real_distribution<>(-1, 1)(random);
      trials.after({scale * speed[static_cast<std::size_t>(where)] * off, busy, true});
      scale *= 1 + drift;
    }
    return static_cast<double>(there) / windows;
  }
};

constexpr int kMinute = 1000;  // windows of 60 ms

TEST(SteeringTrialsTest, EndsWhereMostPasses) {
  for (const int best : {0, 1, 2}) {
    Machine machine{.speed = {100, 100, 100}, .noise = 0.1};
    machine.speed[static_cast<std::size_t>(best)] = 130;
    SteeringTrials trials;
    machine.run(trials, kMinute, static_cast<ReceiverOn>(best));
    EXPECT_EQ(static_cast<int>(trials.kept()), best);
    EXPECT_GT(machine.run(trials, 10 * kMinute, static_cast<ReceiverOn>(best)), 0.97);
  }
}

TEST(SteeringTrialsTest, StaysWithTheWriterWhereNothingIsClearlyBetter) {
  SteeringTrials trials;
  Machine machine{.speed = {100, 104, 96}};
  EXPECT_GT(machine.run(trials, 10 * kMinute, ReceiverOn::kWriter), 0.98);
  EXPECT_EQ(trials.kept(), ReceiverOn::kWriter);
}

// A machine that gets faster by a hundredth each window does not make the second half of a trial look better.
TEST(SteeringTrialsTest, AMachineThatGetsFasterOrSlowerMakesNoPlaceLookBetter) {
  for (const double drift : {0.01, -0.01}) {
    SteeringTrials trials;
    Machine machine{.speed = {100, 102, 102}, .drift = drift};
    machine.run(trials, kMinute, ReceiverOn::kWriter);
    EXPECT_EQ(trials.kept(), ReceiverOn::kWriter) << drift;
  }
}

TEST(SteeringTrialsTest, FollowsAMachineThatChanges) {
  SteeringTrials trials;
  Machine machine{.speed = {100, 100, 130}};
  machine.run(trials, kMinute, ReceiverOn::kOthers);
  EXPECT_EQ(trials.kept(), ReceiverOn::kOthers);
  machine.speed = {100, 100, 70};
  machine.busy = 0.7;  // with what others do for it
  machine.run(trials, 3 * kMinute, ReceiverOn::kWriter);
  EXPECT_NE(trials.kept(), ReceiverOn::kOthers);
}

TEST(SteeringTrialsTest, TriesEachPlaceInEqualPartsAndWaitsTwiceAsLongAfterEachInVain) {
  SteeringTrials trials;
  std::array<int, 3> windows{};
  int until_first = 0;
  for (; !trials.trying(); ++until_first) trials.after({100, 1, true});
  EXPECT_EQ(until_first, SteeringTrials::kFirstWait);
  int waited = 0;
  std::array<int, 2> waits{};
  for (int& wait : waits) {
    for (; trials.trying(); trials.after({100, 1, true})) ++windows[static_cast<std::size_t>(trials.now())];
    for (waited = 0; !trials.trying(); ++waited) trials.after({100, 1, true});
    wait = waited;
  }
  EXPECT_EQ(waits, (std::array{2 * SteeringTrials::kFirstWait, 4 * SteeringTrials::kFirstWait}));
  EXPECT_EQ(windows, (std::array{8, 4, 4}));
}

// What is better now may not be for long.
TEST(SteeringTrialsTest, AfterATrialThatPaidTheNextComesSoon) {
  SteeringTrials trials;
  Machine machine{.speed = {100, 100, 130}};
  for (int i = 0; i < kMinute && trials.kept() != ReceiverOn::kOthers; ++i)
    machine.run(trials, 1, ReceiverOn::kOthers);
  ASSERT_EQ(trials.kept(), ReceiverOn::kOthers);
  int waited = 0;
  for (; !trials.trying(); ++waited) machine.run(trials, 1, ReceiverOn::kOthers);
  EXPECT_EQ(waited, SteeringTrials::kFirstWait);
}

// Who is not held up by its processor gains nothing, and its peers' processors are left alone.
TEST(SteeringTrialsTest, AProgramThatIsNotBusyIsLeftAlone) {
  SteeringTrials trials;
  Machine machine{.speed = {100, 100, 130}, .busy = 0.7};
  EXPECT_EQ(machine.run(trials, kMinute, ReceiverOn::kWriter), 1);
  machine.busy = 1;
  machine.run(trials, kMinute, ReceiverOn::kOthers);
  EXPECT_EQ(trials.kept(), ReceiverOn::kOthers);
  machine.busy = 0.7;  // which steering itself may have brought about
  machine.run(trials, 1, ReceiverOn::kOthers);
  EXPECT_EQ(trials.kept(), ReceiverOn::kOthers);
  machine.busy = 0.3;
  machine.run(trials, 1, ReceiverOn::kOthers);
  EXPECT_EQ(trials.kept(), ReceiverOn::kWriter);
}

TEST(SteeringTrialsTest, ATrialDuringWhichTheProgramMovesSaysNothing) {
  SteeringTrials trials;
  while (!trials.trying()) trials.after({100, 1, true});
  trials.after({1000, 1, true});
  trials.after({100, 1, false});
  EXPECT_FALSE(trials.trying());
  EXPECT_EQ(trials.now(), ReceiverOn::kWriter);
  int until_next = 0;
  for (; !trials.trying(); ++until_next) trials.after({100, 1, true});
  EXPECT_EQ(until_next, SteeringTrials::kFirstWait);
}

}  // namespace
}  // namespace tapir::runtime
