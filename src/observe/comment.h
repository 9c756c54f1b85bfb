// SPDX-License-Identifier: Apache-2.0
// What a captured packet's connection was like when it passed: a pcapng comment, which tshark filters as
// frame.comment.
#pragma once

#include <string>

#include "inet/endpoint.h"
#include "stack/stack.h"

namespace tapir::observe {

// "ESTABLISHED cwnd 10 ssthresh - unacked 3 retrans 0 rto 204ms rtt 0.35ms snd_wnd 65280 rcv_wnd 64256 ca
// Open"; of a record that is small only its state. Empty: there is none. For whoever holds the stack's lock.
std::string connection_comment(stack::Stack& stack, const FourTuple& tuple, Instant now);

}  // namespace tapir::observe
