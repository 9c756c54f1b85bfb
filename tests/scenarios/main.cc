// SPDX-License-Identifier: Apache-2.0
// Writes packetdrill scripts from seeds: what a random peer does, and what tapir answers, segment by segment.
// The kernel plays them: `drill_player --kernel` (docs/drill.md).
//
//   scenarios sending|receiving FOLDER [--seed S] [--count N] [--closely]
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "scenarios/kinds.h"

namespace {

constexpr const char* kUsage =
    "usage: scenarios sending|receiving FOLDER [--seed S] [--count N] [--closely]\n"
    "  --seed S     the first script's seed; the next ones count on (1)\n"
    "  --count N    how many scripts (100)\n"
    "  --closely    TCP_INFO is asserted after everything that is done, not now and then\n";

bool read_number(const char* text, std::uint64_t& into) {
  const std::string_view all = text;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), into);
  return error == std::errc() && end == all.data() + all.size();
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace tapir::scenarios;
  static const std::map<std::string_view, std::string (*)(std::uint64_t, bool)> kKinds = {
      {"sending", sending}, {"receiving", receiving}};
  std::uint64_t seed = 1, count = 100;
  bool closely = false;
  const auto kind = argc > 2 ? kKinds.find(argv[1]) : kKinds.end();
  bool understood = kind != kKinds.end();
  for (int i = 3; i < argc && understood; ++i) {
    const std::string_view option = argv[i];
    if (option == "--closely")
      closely = true;
    else if (option == "--seed" && i + 1 < argc)
      understood = read_number(argv[++i], seed);
    else if (option == "--count" && i + 1 < argc)
      understood = read_number(argv[++i], count);
    else
      understood = false;
  }
  if (!understood) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[2];
  std::filesystem::create_directories(folder);
  for (std::uint64_t i = seed; i < seed + count; ++i) {
    const std::filesystem::path file = folder / fmt::format("{}-{}.pkt", kind->first, i);
    std::ofstream out(file);
    out << kind->second(i, closely);
    if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "scenarios: %s\n", error.what());
  return 1;
}
