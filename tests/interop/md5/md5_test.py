#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MD5 signatures (RFC 2385) against the kernel's, over TAP: the same key lets both ends talk, another key or none does not.

  md5_test.py LIBTAPIR.SO

Works in a network namespace of its own. Exit status 77, which ctest calls skipped: no root, no /dev/net/tun, or either side has no
TCP_MD5SIG.
"""
import ctypes
import errno
import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading

TCP_MD5SIG = 14
TAPIR, KERNEL = "10.0.0.1", "10.0.0.2"
TEXT = bytes(range(256)) * 400
SECONDS = 20


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def key_for(peer, key):
    address = struct.pack("=H", socket.AF_INET) + struct.pack(">H", 0) + socket.inet_aton(peer)
    return address.ljust(128, b"\0") + struct.pack("=BBHI", 0, 0, len(key), 0) + key.ljust(80, b"\0")


def address_of(host, port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)


class Tapir:
    """Just enough of <tapir/posix.h>."""

    def __init__(self, library):
        self.library = ctypes.CDLL(library, use_errno=True)
        self.library.tapir_stack_create.restype = ctypes.c_void_p
        self.library.tapir_error.restype = ctypes.c_char_p
        for name in ("tapir_send", "tapir_recv"):
            getattr(self.library, name).restype = ctypes.c_ssize_t
        self.stack = ctypes.c_void_p(self.library.tapir_stack_create())
        if self.library.tapir_add_tap(self.stack, b"tap0", f"{TAPIR}/24".encode()) != 0:
            skip(self.library.tapir_error().decode())

    def close(self):
        self.library.tapir_stack_destroy(self.stack)

    def call(self, name, *arguments):
        result = getattr(self.library, name)(self.stack, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
        return result

    def socket(self, key=None):
        fd = self.call("tapir_socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        if key is not None:
            option = key_for(KERNEL, key)
            try:
                self.call("tapir_setsockopt", fd, socket.IPPROTO_TCP, TCP_MD5SIG, option, len(option))
            except OSError as problem:
                if problem.errno != errno.ENOPROTOOPT:
                    raise
                skip("tapir was built without libcrypto")
        return fd

    def listen(self, port, key):
        fd = self.socket(key)
        self.call("tapir_bind", fd, address_of(TAPIR, port), 16)
        self.call("tapir_listen", fd, 8)
        return fd

    def echo(self, listener):
        """Accepts one connection and sends back what comes until its end."""
        fd = self.call("tapir_accept", listener, None, None)
        buffer = ctypes.create_string_buffer(65536)
        while got := self.call("tapir_recv", fd, buffer, len(buffer), 0):
            sent = 0
            while sent < got:
                sent += self.call("tapir_send", fd, buffer.raw[sent:got], got - sent, 0)
        self.call("tapir_close", fd)


def kernel_socket(key):
    made = socket.socket()
    made.settimeout(SECONDS)
    if key is not None:
        try:
            made.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, key_for(TAPIR, key))
        except OSError as problem:
            skip(f"the kernel's TCP_MD5SIG: {problem}")
    return made


def receive_all(connection):
    got = b""
    while piece := connection.recv(65536):
        got += piece
    return got


def counter(name):
    lines = open("/proc/net/netstat").read().splitlines()
    names, values = next((a.split(), b.split()) for a, b in zip(lines[::2], lines[1::2]) if a.startswith("TcpExt"))
    return int(values[names.index(name)])


def kernel_connects(tapir):
    listener = tapir.listen(7, b"secret")
    server = threading.Thread(target=tapir.echo, args=(listener,))
    server.start()
    with kernel_socket(b"secret") as client:
        client.connect((TAPIR, 7))
        sender = threading.Thread(target=lambda: (client.sendall(TEXT), client.shutdown(socket.SHUT_WR)))
        sender.start()
        got = receive_all(client)
        sender.join()
    server.join(SECONDS)
    assert hashlib.sha256(got).digest() == hashlib.sha256(TEXT).digest(), f"{len(got)} bytes of {len(TEXT)} came back"
    for name in ("TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure"):
        assert counter(name) == 0, f"the kernel counted {name}"
    tapir.call("tapir_close", listener)


def tapir_connects(tapir):
    with kernel_socket(b"secret") as listener:
        listener.bind((KERNEL, 9))
        listener.listen()
        client = tapir.socket(b"secret")
        tapir.call("tapir_connect", client, address_of(KERNEL, 9), 16)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(SECONDS)
            tapir.call("tapir_send", client, TEXT[:5000], 5000, 0)
            tapir.call("tapir_close", client)
            got = receive_all(connection)
    assert got == TEXT[:5000], f"{len(got)} bytes came"
    for name in ("TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure"):
        assert counter(name) == 0, f"the kernel counted {name}"


def strangers_are_not_answered(tapir):
    listener = tapir.listen(11, b"secret")
    for key in (b"another", None):
        with kernel_socket(key) as client:
            client.settimeout(1.5)
            try:
                client.connect((TAPIR, 11))
            except TimeoutError:
                continue
            raise AssertionError(f"connected with the key {key}")
    tapir.call("tapir_close", listener)


def main():
    if os.geteuid() != 0:
        skip("network namespaces need root")
    if not os.path.exists("/dev/net/tun"):
        skip("there is no /dev/net/tun")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
        skip("no network namespace may be made")
    tapir = Tapir(sys.argv[1])
    subprocess.run(["ip", "addr", "add", f"{KERNEL}/24", "dev", "tap0"], check=True)
    subprocess.run(["ip", "link", "set", "tap0", "up"], check=True)
    for case in (kernel_connects, tapir_connects, strangers_are_not_answered):
        case(tapir)
        print(f"ok {case.__name__}", flush=True)
    tapir.close()


if __name__ == "__main__":
    main()
