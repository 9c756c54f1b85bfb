# SPDX-License-Identifier: Apache-2.0
"""Calls that few programs make of a socket: the same program on the kernel and under `tapir run` says the same."""

import os

from harness import PYTHON, Folder, expect, need, run, tapir

# A quarter of a megabyte between two sockets of 4 KiB buffers, by two threads; prints how long it took.
SMALL_BUFFERS = """
import socket, threading, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
listener.bind(("127.0.0.1", 0))
listener.listen()
sender = socket.socket()
sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
sender.connect(listener.getsockname())
receiver = listener.accept()[0]
began = time.monotonic()
def send():
    sender.sendall(b"x" * (1 << 18))
    sender.close()
thread = threading.Thread(target=send)
thread.start()
got = 0
while piece := receiver.recv(65536):
    got += len(piece)
thread.join()
assert got == 1 << 18, got
print(time.monotonic() - began)
"""

HERE = os.path.dirname(os.path.abspath(__file__))


def case_rare_calls():
    """preadv2, recvmmsg's time-outs, waits with a signal mask, numbers doubled and closed by range, sendfile and splice with what they
    do not take, and what a descriptor can be asked that is no socket's business."""
    need("gcc")
    with Folder() as folder:
        program = folder / "rare_calls"
        run(["gcc", "-O2", "-D_FORTIFY_SOURCE=2", "-w", "-o", program, os.path.join(HERE, "rare_calls.c")])
        kernels = run([program]).stdout.decode().splitlines()
        ours = run(tapir(program)).stdout.decode().splitlines()
        expect(len(kernels) > 100, "the program came to its end on the kernel: %s" % kernels[-1:])
        different = ["kernel: %s; tapir: %s" % pair for pair in zip(kernels, ours) if pair[0] != pair[1]]
        expect(not different and len(kernels) == len(ours), "\n".join(different) or "tapir stopped after %s" % ours[-1:])


def case_signal_driven():
    """SIGIO and SIGURG: what raises them, to whom, and what F_SETSIG tells, as the kernel has it."""
    need("gcc")
    with Folder() as folder:
        program = folder / "signal_driven"
        run(["gcc", "-O2", "-w", "-o", program, os.path.join(HERE, "signal_driven.c"), "-lpthread"])
        kernels = run([program]).stdout.decode().splitlines()
        ours = run(tapir(program)).stdout.decode().splitlines()
        expect(kernels[-1:] == ["done"] and any("SIGURG" in line for line in kernels), "it works on the kernel: %s" % kernels)
        different = ["kernel: %s; tapir: %s" % pair for pair in zip(kernels, ours) if pair[0] != pair[1]]
        expect(not different and len(kernels) == len(ours), "\n".join(different) or "tapir stopped after %s" % ours[-1:])


def case_small_buffers():
    """A window that no segment of the peer fits would let only what a probe carries pass, five times a second."""
    with Folder() as folder:
        seconds = float(run(tapir(PYTHON, "-c", SMALL_BUFFERS), cwd=folder.path).stdout)
    expect(seconds < 10, "256 KiB took %.1f s" % seconds)
