// SPDX-License-Identifier: Apache-2.0
// Linux's struct tcp_info by offsets, as of the kernels whose scripts are run (280 bytes): headers of
// distributions are older and shorter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/bytes.h"
#include "sim/drill/code.h"

namespace tapir::sim::drill {

inline constexpr std::size_t kTcpInfoSize = 280;

// Adds every field that lies inside `info`, by its name in Linux ("tcpi_snd_cwnd").
void add_tcp_info(Bytes info, CodeSnapshot& names);
// Adds SK_MEMINFO_RMEM_ALLOC and the others of SO_MEMINFO's array.
void add_meminfo(Bytes meminfo, CodeSnapshot& names);

// The fields that say where a connection stands, in two lines, for a failure report.
std::string describe_tcp_info(Bytes info);

}  // namespace tapir::sim::drill
