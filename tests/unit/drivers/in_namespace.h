// SPDX-License-Identifier: Apache-2.0
// A test's body in a child process with a network namespace of its own; skipped, with the reason, where none
// may be made.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "drivers/netns.h"

namespace tapir::drivers {

// `body` uses EXPECT and ASSERT as ever, and returns why it cannot run here, or "".
template <typename Body>
void run_in_namespace(Body body) {
  constexpr int kSkip = 77;
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto entered = enter_private_network_namespace();
    std::string why = entered ? "" : entered.error();
    if (why.empty()) why = body();
    if (!why.empty()) std::printf("skipped: %s\n", why.c_str());
    std::fflush(nullptr);
    ::_exit(testing::Test::HasFailure() ? 1 : why.empty() ? 0 : kSkip);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "the child died of signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == kSkip) GTEST_SKIP() << "no device or namespace here (the reason stands above)";
  ASSERT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace tapir::drivers
