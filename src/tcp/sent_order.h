// SPDX-License-Identifier: Apache-2.0
// Which of two segments was sent later.
#pragma once

#include "base/seq_num.h"
#include "base/time.h"

namespace tapir::tcp {

// Was what ends at `a_end` sent after what ends at `b_end`? What left in one burst has one time: then the
// sequence tells (RFC 8985 §6.2 step 2, RACK_sent_after; Linux: tcp_skb_sent_after).
inline bool sent_after(Instant a_sent, SeqNum a_end, Instant b_sent, SeqNum b_end) {
  return a_sent > b_sent || (a_sent == b_sent && a_end > b_end);
}

}  // namespace tapir::tcp
