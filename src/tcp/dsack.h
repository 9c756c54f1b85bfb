// SPDX-License-Identifier: Apache-2.0
// The report of what came twice: the first SACK block of the next ACK (RFC 2883 §4).
#pragma once

#include "base/seq_num.h"
#include "tcp/env.h"
#include "trace/counters.h"

namespace tapir::tcp {

// `duplicate` is owed, in `owed`, instead of what was: one is told at a time. `sack`: the peer takes SACKs.
// False, and nothing is owed: reports are off, or there is nobody to read them (Linux: tcp_dsack_set).
inline bool owe_dsack(SeqRange& owed, SeqRange duplicate, trace::Counter sent, bool sack, Env& env) {
  if (!sack || env.knobs.tcp_dsack == 0) return false;
  owed = duplicate;
  env.counters.add(sent);
  return true;
}

}  // namespace tapir::tcp
