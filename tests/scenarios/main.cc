// SPDX-License-Identifier: Apache-2.0
// Writes packetdrill scripts from seeds: what a random peer does, and what tapir answers, segment by segment.
// The kernel plays them: `drill_player --kernel` (docs/drill.md).
//
//   scenarios sending|receiving FOLDER [--seed S] [--count N] [--closely 1]
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>

#include "scenarios/kinds.h"

namespace {

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace tapir::scenarios;
  static const std::map<std::string_view, std::string (*)(std::uint64_t, bool)> kKinds = {
      {"sending", sending}, {"receiving", receiving}};
  std::uint64_t seed = 1, count = 100, closely = 0;
  const auto kind = argc > 2 ? kKinds.find(argv[1]) : kKinds.end();
  for (int i = 3; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--seed") seed = number_of(argv[i + 1]);
    if (std::string_view(argv[i]) == "--count") count = number_of(argv[i + 1]);
    if (std::string_view(argv[i]) == "--closely") closely = number_of(argv[i + 1]);
  }
  if (kind == kKinds.end()) {
    std::fputs("usage: scenarios sending|receiving FOLDER [--seed S] [--count N] [--closely 1]\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[2];
  std::filesystem::create_directories(folder);
  for (std::uint64_t i = seed; i < seed + count; ++i)
    std::ofstream(folder / fmt::format("{}-{}.pkt", kind->first, i)) << kind->second(i, closely != 0);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "scenarios: %s\n", error.what());
  return 1;
}
