// SPDX-License-Identifier: Apache-2.0
// Sockets whose events raise signals (fcntl F_SETOWN, F_SETSIG, O_ASYNC). Whom to tell, with which signal,
// and that nobody else's process is told, is the kernel's to know: such a socket's number becomes one end of
// a pair of the kernel's, and an event of ours is made one of the pair, at its other end.
#pragma once

#include <cstdint>

#include "preload/numbers.h"

namespace tapir::preload {

// Makes `fd`, and the other numbers of the same socket, a pair's end; what was asked for of them before stays
// asked for. False, and errno, when there is no pair (ENFILE: more than socket::Sockets::kSignalledMax).
bool relay_signals(int fd, const Number& number);
// Any number is such an end.
bool relays_signals();
// What happened (socket::kSignal*) to the socket that Sockets::signal_number() has given `number`; with the
// stack's lock held.
void relay_signal(int number, std::uint8_t what);

// `fd` becomes the kernel's: `kernels`, a socket there, takes the place of a pair's end; who is told stays
// told. Closes `kernels`.
void end_relay(int fd, const Number& number, int kernels);

// fcntl(2) and ioctl(2) of `fd` that say who is told. Nothing: the request is another.
bool is_owner_command(int command);
bool is_owner_request(unsigned long request);

}  // namespace tapir::preload
