// SPDX-License-Identifier: Apache-2.0
#include "differential/wanted.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

namespace tapir::differential {
namespace {

bool about(const Op& op, int level, int name) {
  return (op.call == Call::kGet || op.call == Call::kSetInt || op.call == Call::kSetValue) && op.a == level && op.b == name;
}

constexpr Wanted kWanted[] = {
    {"SO_DEBUG needs no capability of the whole machine",
     [](const Op& op, const std::string&, const std::string&) { return about(op, SOL_SOCKET, SO_DEBUG) && op.call != Call::kGet; }},
};

}  // namespace

std::span<const Wanted> wanted_differences() { return kWanted; }

bool is_wanted(const Op& op, const std::string& kernel, const std::string& tapir) {
  return std::any_of(std::begin(kWanted), std::end(kWanted), [&](const Wanted& wanted) { return wanted.covers(op, kernel, tapir); });
}

}  // namespace tapir::differential
