# SPDX-License-Identifier: Apache-2.0
"""Calls that few programs make of a socket: the same program on the kernel and under `tapir run` says the same."""

import os

from harness import Folder, expect, need, run, tapir

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
