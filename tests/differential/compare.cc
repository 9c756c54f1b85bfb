// SPDX-License-Identifier: Apache-2.0
#include "differential/compare.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "differential/wanted.h"

namespace tapir::differential {
namespace {

// Scripts share a namespace: each gets addresses and ports that the last few thousand did not use.
Place next_place() {
  static unsigned count = 0;
  ++count;
  return {1100 + (count * 10) % 30'000, 256 + count % 60'000};
}

// The first line where they differ, or the size of both.
std::size_t first_difference(const Script& script, const std::vector<std::string>& kernel,
                             const std::vector<std::string>& tapir) {
  for (std::size_t i = 0; i < script.size(); ++i) {
    if (kernel[i] == tapir[i]) continue;
    const Wanted* known = wanted(script[i], kernel[i], tapir[i]);
    if (known == nullptr) return i;
    if (known->ends) break;
  }
  return script.size();
}

// A namespace fills with connections in TIME-WAIT, whose ports are taken from those who bind to any address.
constexpr unsigned kScriptsPerNamespace = 2500;

void renew_namespace(bool privileged) {
  static unsigned scripts = 0;
  if (++scripts % kScriptsPerNamespace != 0) return;
  std::string why;
  if (!use_privileges(true) || !enter_fresh_namespace(why) || !use_privileges(privileged)) {
    std::printf("no fresh network namespace any more: %s\n", why.c_str());
    std::exit(2);
  }
}

}  // namespace

std::optional<std::string> difference(const Script& script, bool privileged, int patience) {
  for (int attempt = 0; attempt <= patience; ++attempt) {
    const int pause_ms = attempt * 3;
    renew_namespace(privileged);
    const Place place = next_place();
    const auto kernel_api = make_kernel(place);
    const auto kernel = run(script, *kernel_api, place, pause_ms);
    const auto tapir_api = make_tapir(place, privileged);
    const auto tapir = run(script, *tapir_api, place, pause_ms);
    const std::size_t at = first_difference(script, kernel, tapir);
    if (at == script.size()) return std::nullopt;
    if (attempt < patience) continue;
    std::string out;
    for (std::size_t i = 0; i <= at; ++i) {
      if (i < at && kernel[i] == tapir[i]) {
        out += "    " + text(script[i]) + " = " + kernel[i] + "\n";
        continue;
      }
      out +=
          "    " + text(script[i]) + "\n        kernel " + kernel[i] + "\n        tapir  " + tapir[i] + "\n";
    }
    return out;
  }
  return std::nullopt;
}

Script shrunk(Script script, bool privileged, int patience) {
  for (std::size_t run_length = std::max<std::size_t>(script.size() / 2, 1);; run_length /= 2) {
    for (std::size_t i = 0; i + run_length <= script.size();) {
      Script shorter = script;
      shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(i),
                    shorter.begin() + static_cast<std::ptrdiff_t>(i + run_length));
      if (!shorter.empty() && difference(shorter, privileged, patience))
        script = std::move(shorter);
      else
        ++i;
    }
    if (run_length <= 1) return script;
  }
}

}  // namespace tapir::differential
