// SPDX-License-Identifier: Apache-2.0
// Explicit congestion notification of one connection (RFC 3168 §6.1; Linux: tcp_sock.ecn_flags).
#pragma once

#include <cstdint>

namespace tapir::tcp {

struct EcnState {
  bool on : 1 = false;          // both ends agreed: data leaves as ECT(0), CE and ECE mean something
  bool wanted : 1 = false;      // our SYN asked for it
  bool demand_cwr : 1 = false;  // CE was seen: every ACK carries ECE until the peer's CWR
  bool cwr_owed : 1 = false;    // the window was cut: CWR goes with the next new data
  bool seen_ect : 1 = false;    // the peer's segments carry ECT (TCPI_OPT_ECN_SEEN)

  // The window was cut; tell the peer (Linux: tcp_ecn_queue_cwr), or no: it was undone
  // (tcp_ecn_withdraw_cwr).
  void owe_cwr() {
    if (on) cwr_owed = true;
  }
  void withdraw_cwr() { cwr_owed = false; }
};

}  // namespace tapir::tcp
