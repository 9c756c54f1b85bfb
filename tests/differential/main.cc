// SPDX-License-Identifier: Apache-2.0
// Runs scripts of socket calls on the kernel, in a network namespace of its own, and on tapir, and tells
// where they differ.
//
//   socket_differential matrix [--only TEXT] [--unprivileged]     every generated case
//   socket_differential random [--count N] [--seed S]             seeded sequences of calls; a difference is
//   shrunk
//   socket_differential fairness                                  what sharers of a port get
//   --hasty: a first difference is believed; --all: every one is shown
//   socket_differential list                                      the names of the cases
//
// Exit: 0 no difference, 1 differences, 77 no network namespace to be had here.
#include <signal.h>
#include <sys/time.h>

#include <charconv>
#include <cstdio>
#include <map>
#include <string_view>

#include "differential/compare.h"
#include "differential/fairness.h"
#include "differential/matrix.h"
#include "differential/random.h"

namespace {

using namespace tapir::differential;

constexpr int kShownMax = 40;  // without --all

struct Arguments {
  std::string_view mode;
  std::string_view only;
  unsigned long count = 1000;
  unsigned long seed = 1;
  bool unprivileged = false;
  bool all = false;
  int patience = 3;
};

unsigned long number_of(std::string_view text) {
  unsigned long value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int run_matrix(const Arguments& arguments) {
  int cases = 0;
  int different = 0;
  std::map<std::string, int> by_call;
  for (const Case& one : matrix()) {
    if (one.name.find(arguments.only) == std::string::npos) continue;
    ++cases;
    const auto told = difference(one.script, !arguments.unprivileged, arguments.patience);
    if (!told) continue;
    if (++different <= kShownMax || arguments.all)
      std::printf("DIFFERENT %s\n%s", one.name.c_str(), told->c_str());
    const std::size_t slash = one.name.find('/');
    if (slash != std::string::npos) ++by_call[one.name.substr(slash + 1)];
  }
  for (const auto& [call, count] : by_call) std::printf("  %4d  %s\n", count, call.c_str());
  std::printf("%d cases, %d different\n", cases, different);
  return different == 0 ? 0 : 1;
}

int run_random(const Arguments& arguments) {
  int different = 0;
  for (unsigned long i = 0; i < arguments.count; ++i) {
    const unsigned long seed = arguments.seed + i;
    const Script script = random_script(seed);
    const auto first_told = difference(script, true, arguments.patience);
    if (!first_told) continue;
    const Script small = shrunk(script, true, arguments.patience);
    const auto told = difference(small, true, arguments.patience);
    if (!told) {
      // A machine that is busy: what does not come again is not believed.
      std::printf("seed %lu: different once, and not again\n%s", seed, first_told->c_str());
      continue;
    }
    ++different;
    std::printf("DIFFERENT seed %lu (%zu calls of %zu)\n%s", seed, small.size(), script.size(),
                told->c_str());
    if (different >= 12) break;
  }
  std::printf("%lu sequences from seed %lu, %d different\n", arguments.count, arguments.seed, different);
  return different == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** texts) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view text = texts[i];
    if (i == 1)
      arguments.mode = text;
    else if (text == "--unprivileged")
      arguments.unprivileged = true;
    else if (text == "--all")
      arguments.all = true;
    else if (text == "--hasty")
      arguments.patience = 0;
    else if (i + 1 < count && text == "--only")
      arguments.only = texts[++i];
    else if (i + 1 < count && text == "--count")
      arguments.count = number_of(texts[++i]);
    else if (i + 1 < count && text == "--seed")
      arguments.seed = number_of(texts[++i]);
  }
  if (arguments.mode == "list") {
    for (const Case& one : matrix()) std::printf("%s\n", one.name.c_str());
    return 0;
  }
  if (std::string why; !enter_fresh_namespace(why)) {
    std::printf("skipped: %s\n", why.c_str());
    return 77;
  }
  if (arguments.unprivileged && !use_privileges(false)) return 77;
  // A call that should not wait but does is ended, and told as EINTR.
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const itimerval every{{0, 500'000}, {0, 500'000}};
  ::setitimer(ITIMER_REAL, &every, nullptr);
  if (arguments.mode == "matrix") return run_matrix(arguments);
  if (arguments.mode == "random") return run_random(arguments);
  if (arguments.mode == "fairness") return shares_are_fair() ? 0 : 1;
  std::printf("socket_differential matrix | random | fairness | list\n");
  return 2;
}
