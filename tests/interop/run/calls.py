# SPDX-License-Identifier: Apache-2.0
"""Calls that few programs make of a socket: the same program on the kernel and under `tapir run` says the same."""

import ctypes.util
import os
import socket
import struct

from harness import KERNELS, OURS, PYTHON, Folder, expect, need, run, running, skip, tapir, wait_for_kernel, wait_for_port

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

# Both ends sign (RFC 2385): a server that sends back what it gets, with a port without keys that tells when it is ready, and a client.
TCP_MD5SIG = 14
SIGNED_SERVER = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
listener.setsockopt(socket.IPPROTO_TCP, 14, bytes.fromhex(sys.argv[3]))
ready = socket.create_server((sys.argv[1], 8))
connection = listener.accept()[0]
while piece := connection.recv(65536):
    connection.sendall(piece)
"""
SIGNED_CLIENT = """
import socket, sys, threading
text = bytes(range(256)) * 400
client = socket.socket()
client.settimeout(float(sys.argv[4]))
if sys.argv[3]: client.setsockopt(socket.IPPROTO_TCP, 14, bytes.fromhex(sys.argv[3]))
try:
    client.connect((sys.argv[1], int(sys.argv[2])))
except TimeoutError:
    print("silence")
    sys.exit()
threading.Thread(target=lambda: (client.sendall(text), client.shutdown(socket.SHUT_WR))).start()
got = b""
while piece := client.recv(65536): got += piece
print("echo" if got == text else "%d bytes" % len(got))
"""


def signing_key(peer, key):
    """A struct tcp_md5sig, in hexadecimal digits."""
    address = struct.pack("=H", socket.AF_INET) + bytes(2) + socket.inet_aton(peer)
    return (address.ljust(128, b"\0") + struct.pack("=BBHI", 0, 0, len(key), 0) + key.ljust(80, b"\0")).hex()


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


def case_md5():
    """TCP_MD5SIG of a program under `tapir run`, which links no libcrypto itself, against the kernel's: as the server, whom a client
    with another key or none does not reach, and as the client."""
    if ctypes.util.find_library("crypto") is None:
        skip("there is no libcrypto")
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, bytes.fromhex(signing_key(OURS, b"secret")))
        except OSError as problem:
            skip("the kernel's TCP_MD5SIG: %s" % problem)

    def client(key, seconds):
        return run([PYTHON, "-c", SIGNED_CLIENT, OURS, "7", key, str(seconds)]).stdout.decode().strip()

    with Folder() as folder:
        server = [PYTHON, "-c", SIGNED_SERVER]
        with running(tapir(*server, OURS, "7", signing_key(KERNELS, b"secret")), cwd=folder.path):
            wait_for_port(8)
            expect(client(signing_key(OURS, b"another"), 1.5) == "silence", "another key connected")
            expect(client("", 1.5) == "silence", "no key connected")
            said = client(signing_key(OURS, b"secret"), 20)
            expect(said == "echo", "the kernel's client got: %s" % said)
        with running([*server, KERNELS, "7", signing_key(OURS, b"secret")]):
            wait_for_kernel(8)
            said = run(tapir(PYTHON, "-c", SIGNED_CLIENT, KERNELS, "7", signing_key(KERNELS, b"secret"), "20"), cwd=folder.path).stdout.decode().strip()
            expect(said == "echo", "tapir's client got: %s" % said)
