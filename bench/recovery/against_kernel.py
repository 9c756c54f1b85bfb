#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tapir's sender beside the kernel's, over the same bad wire and to the same receiver, which is the kernel.

  tapir:   [tapir, chargen and http] --impair-- TAP [kernel, reads]
  kernel:  [kernel, the same services] TAP [tapir routes] --impair-- TAP [kernel, reads]

Both have tapir's `impair` in front of the reader's TAP: 100 Mbit/s, 20 ms round trip, a queue of one bandwidth-delay product, loss on data
only, with the same seeds. Runs of both alternate. Everything happens in two network namespaces of its own; root is needed.

With --fairness both send at once through that bottleneck, cubic both, without loss.

  against_kernel.py [--tapir BIN] [--seeds N] [--seconds S] [--loss 0,0.1,1,5] [--responses N] [--reorder] [--fairness RUNS]
                    [--rtt MS] [--control reno,cubic] [--each]

Prints a table of medians, and how tapir stands to the kernel.
"""
import argparse
import contextlib
import http.client
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BASE = f"tapir-recovery-{os.getpid()}"
READER, SENDER = f"{BASE}-r", f"{BASE}-s"
RTT_MS = 20
RESPONSE_BYTES = 10_000
TCP_CONGESTION = 13


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def enter(namespace):
    """The calling thread's sockets are made in `namespace` from now on."""
    with open(f"/run/netns/{namespace}") as file:
        libc_setns(file.fileno())


def libc_setns(descriptor):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000) != 0:
        raise OSError("setns")


def in_namespace(namespace, work):
    """Runs `work` in a thread of its own in `namespace`; its result."""
    result = []

    def body():
        enter(namespace)
        result.append(work())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if not result:
        raise RuntimeError("a measurement failed")
    return result[0]


def describe(loss, seed, reorder):
    """What is done to what the stack sends over its first device, which is the data in both set-ups. All of the round trip lies there."""
    frames = 100_000_000 // 8 * RTT_MS // 1000 // 1514 + 1   # of a bandwidth-delay product
    parts = ["out", "rate 100mbit", f"delay {RTT_MS}ms", f"limit {2 * frames + 1}", f"seed {seed}"]
    if loss:
        parts.append(f"loss {loss}%")
    if reorder:
        parts.append(f"reorder 5% {RTT_MS // 2}ms")
    return ", ".join(parts)


@contextlib.contextmanager
def namespaces():
    for name in (READER, SENDER):
        run("ip", "netns", "add", name)
    try:
        for name in (READER, SENDER):
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in (READER, SENDER):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def stack(arguments, impair):
    control = tempfile.mktemp(prefix=f"{BASE}-", suffix=".sock")
    process = subprocess.Popen(["ip", "netns", "exec", READER, TAPIR, "up", "--dev", "tap0", "--addr", "10.0.0.1/24", "--peer", "10.0.0.2/24",
                                "--control", control, "--impair", impair, *arguments],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            if os.path.exists(control):
                break
            if process.poll() is not None:
                sys.exit(f"tapir up: {process.stderr.read()}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


class KernelServices:
    """chargen on 19 and http on 80, by the kernel in the sender's namespace, with the congestion control that is asked for."""

    def __init__(self, control):
        self.sockets = [in_namespace(SENDER, lambda port=port: self.listen(port, control)) for port in (19, 80)]
        for listener, serve in zip(self.sockets, (self.chargen, self.http)):
            threading.Thread(target=self.accept, args=(listener, serve), daemon=True).start()

    @staticmethod
    def listen(port, control):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, control.encode())
        got = listener.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).rstrip(b"\0").decode()
        if got != control:
            raise RuntimeError(f"the kernel runs {got}, not {control}")
        listener.bind(("10.1.0.2", port))
        listener.listen()
        return listener

    @staticmethod
    def accept(listener, serve):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    @staticmethod
    def chargen(connection):
        block = bytes(262144)
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(block)

    @staticmethod
    def http(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % RESPONSE_BYTES + bytes(RESPONSE_BYTES)
        waiting = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                waiting += data
                while b"\r\n\r\n" in waiting:
                    _, waiting = waiting.split(b"\r\n\r\n", 1)
                    connection.sendall(answer)

    def close(self):
        for listener in self.sockets:
            # A thread in accept() is woken by this, not by close().
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def goodput(address, seconds):
    """Mbit/s of payload from the second second on."""
    reader = socket.create_connection((address, 19), timeout=10)
    with reader:
        begin = time.monotonic()
        total, counted, first = 0, 0, None
        while (now := time.monotonic()) < begin + 1 + seconds:
            got = len(reader.recv(1 << 20))
            if got == 0:
                raise RuntimeError("the sender ended")
            if now >= begin + 1:
                if first is None:
                    first = now
                else:
                    counted += got
            total += got
        return counted * 8 / (time.monotonic() - first) / 1e6


def response_times(address, count):
    """Milliseconds of each of `count` responses on one connection, after ten to warm it."""
    connection = http.client.HTTPConnection(address, 80, timeout=60)
    times = []
    for i in range(count + 10):
        begin = time.monotonic()
        connection.request("GET", "/ten")
        if len(connection.getresponse().read()) != RESPONSE_BYTES:
            raise RuntimeError("a response was cut short")
        if i >= 10:
            times.append((time.monotonic() - begin) * 1000)
    connection.close()
    return times


def shares(addresses, settle, seconds):
    """Bytes that came from each in `seconds`, all at once, after `settle` seconds; the second begins a second after the first."""
    begin = time.monotonic()
    counts = [0] * len(addresses)

    def read(index, address):
        enter(READER)
        time.sleep(index)
        with socket.create_connection((address, 19), timeout=10) as reader:
            while (now := time.monotonic()) < begin + settle + seconds:
                got = len(reader.recv(1 << 18))
                if now >= begin + settle:
                    counts[index] += got

    threads = [threading.Thread(target=read, args=each) for each in enumerate(addresses)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def measure(kind, control, impair, work, serve=()):
    """`work(address of the sender)` in the reader's namespace; `serve`: what the router serves itself."""
    with namespaces():
        if kind == "tapir":
            with tempfile.TemporaryDirectory() as pages:
                pathlib.Path(pages, "ten").write_bytes(bytes(RESPONSE_BYTES))
                with stack(["--serve", f"chargen:19,http:80={pages}", "--sysctl", f"net.ipv4.tcp_congestion_control={control}"], impair):
                    return in_namespace(READER, lambda: work("10.0.0.1"))
        with stack(["--also", "tap1=10.1.0.1/24", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", f"net.ipv4.tcp_congestion_control={control}", *serve],
                   impair):
            run("ip", "-n", READER, "link", "set", "tap1", "netns", SENDER)
            run("ip", "-n", SENDER, "addr", "add", "10.1.0.2/24", "dev", "tap1")
            run("ip", "-n", SENDER, "link", "set", "tap1", "up")
            run("ip", "-n", SENDER, "route", "add", "10.0.0.0/24", "via", "10.1.0.1")
            run("ip", "-n", READER, "route", "add", "10.1.0.0/24", "via", "10.0.0.1")
            services = KernelServices(control)
            try:
                return in_namespace(READER, lambda: work("10.1.0.2"))
            finally:
                services.close()


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    global TAPIR, RTT_MS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tapir", default=str(pathlib.Path(__file__).resolve().parents[2] / "build/release/bin/tapir"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--loss", default="0,0.1,1,5", help="percent, separated by commas")
    parser.add_argument("--responses", type=int, default=200, help="per seed; 0: none")
    parser.add_argument("--reorder", action="store_true", help="5 %% reordering by up to half a round trip, too")
    parser.add_argument("--rtt", type=int, default=20, help="of the path, ms")
    parser.add_argument("--control", default="reno,cubic", help="congestion controls, separated by commas")
    parser.add_argument("--each", action="store_true", help="every run's figure to standard error")
    parser.add_argument("--fairness", type=int, default=0, help="so many runs of both at once")
    options = parser.parse_args()
    TAPIR = options.tapir
    RTT_MS = options.rtt
    if os.geteuid() != 0:
        sys.exit("against_kernel.py makes network namespaces: it needs root")
    print("| | kernel | tapir | tapir / kernel |\n|---|---|---|---|")
    at = "" if RTT_MS == 20 else f", {RTT_MS} ms"
    conditions = []
    for loss in options.loss.split(","):
        if loss:
            conditions.append((f"{loss} % loss{at}", loss, False))
    if options.reorder:
        conditions.append((f"5 % reordered{at}", "0", True))
    for name, loss, reorder in conditions:
        for control in options.control.split(","):
            figures = {"kernel": [], "tapir": []}
            for seed in range(1, options.seeds + 1):
                for kind, all_of_kind in figures.items():
                    impair = describe(loss if loss != "0" else "", seed, reorder)
                    all_of_kind.append(measure(kind, control, impair, lambda address: goodput(address, options.seconds)))
            kernel, tapir = (statistics.median(figures[kind]) for kind in ("kernel", "tapir"))
            if options.each:
                for kind, all_of_kind in figures.items():
                    print(f"{name}, {control}, {kind}:", *(f"{figure:.1f}" for figure in all_of_kind), file=sys.stderr, flush=True)
            print(f"| {name}, {control}, Mbit/s | {kernel:.1f} | {tapir:.1f} | {tapir / kernel:.2f} |", flush=True)
    if options.responses:
        figures = {"kernel": [], "tapir": []}
        for seed in range(1, options.seeds + 1):
            for kind, all_of_kind in figures.items():
                all_of_kind += measure(kind, "cubic", describe("2", seed, False), lambda address: response_times(address, options.responses))
        for what, share in (("median", 0.5), ("p99", 0.99)):
            kernel, tapir = (percentile(figures[kind], share) for kind in ("kernel", "tapir"))
            print(f"| 10 kB response, 2 % loss, {what}, ms | {kernel:.0f} | {tapir:.0f} | {tapir / kernel:.2f} |", flush=True)
    indices = []
    for run_number in range(options.fairness):
        counts = measure("kernel", "cubic", describe("", run_number + 1, False), lambda _: shares(["10.0.0.1", "10.1.0.2"], 8, 20), ("--serve", "chargen:19"))
        indices.append(sum(counts) ** 2 / (2 * sum(count * count for count in counts)))
        print(f"tapir {counts[0] * 8 / 20e6:.1f}, the kernel {counts[1] * 8 / 20e6:.1f} Mbit/s", file=sys.stderr, flush=True)
    if indices:
        print(f"| Jain's index, cubic beside cubic | | | {statistics.median(indices):.3f} |", flush=True)


if __name__ == "__main__":
    main()
