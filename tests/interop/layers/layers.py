#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tapir beside the kernel, as its router and in its place: layers.py TAPIR CASE.

Everything lives in network namespaces that are unnamed and die with their processes; nothing of the machine's is touched.
Exit 77 = skipped, with a reason."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TAPIR = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def run(*command, check=True):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=40)
    if check:
        expect(done.returncode == 0, "%s: %s" % (" ".join(command), done.stdout))
    return done.stdout


class Namespace:
    """A network namespace, held by a sleeping process."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "100"])
        deadline = time.monotonic() + 5
        own = os.readlink("/proc/self/ns/net")
        while os.readlink("/proc/%d/ns/net" % self.holder.pid) == own:
            expect(time.monotonic() < deadline, "no new namespace")
            time.sleep(0.01)
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-n"]
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command, check=True):
        return run(*self.enter, *command, check=check)

    def take(self, link, address=None, gateway=None):
        """Moves an interface of ours here."""
        run("ip", "link", "set", link, "netns", str(self.holder.pid))
        if address:
            self.run("ip", "addr", "add", address, "dev", link)
        self.run("ip", "link", "set", link, "up")
        if gateway:
            self.run("ip", "route", "add", "default", "via", gateway)

    def close(self):
        self.holder.kill()
        self.holder.wait()


class Up:
    def __init__(self, *arguments):
        self.folder = tempfile.mkdtemp(prefix="tapir-layers-")
        self.control = os.path.join(self.folder, "control")
        self.process = subprocess.Popen([TAPIR, "up", "--control", self.control, *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        banner = ""
        while "Ctrl-C" not in banner:
            line = self.process.stdout.readline()
            expect(line, "tapir up ended at once: " + self.process.stderr.read() if not line else "")
            banner += line
        self.banner = banner

    def counters(self):
        return json.loads(run(TAPIR, "nstat", "-z", "--json", "--control", self.control))

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.process.returncode


STACK = []  # what is to be closed, last first


def opened(thing):
    STACK.append(thing)
    return thing


def pings(namespace, address, *options):
    output = namespace.run("ping", "-c", "3", "-i", "0.2", "-W", "2", *options, address, check=False)
    return output, "3 received" in output


def router(*arguments):
    up = opened(Up("--dev", "tapA", "--addr", "10.1.0.1/24", "--peer", "none", "--also", "tapB=10.2.0.1/24", "--sysctl",
                   "net.ipv4.ip_forward=1", *arguments))
    left, right = opened(Namespace()), opened(Namespace())
    left.take("tapA", "10.1.0.2/24", "10.1.0.1")
    right.take("tapB", "10.2.0.2/24", "10.2.0.1")
    return up, left, right


def tapip14_forward():
    _, left, right = router()
    output, answered = pings(left, "10.2.0.2")
    expect(answered and "ttl=63" in output, output)
    output, answered = pings(left, "10.2.0.2", "-t", "1")
    expect("Time to live exceeded" in output, output)
    output, answered = pings(left, "192.0.2.1")
    expect("Unreachable" in output, output)
    output, answered = pings(right, "10.1.0.2", "-s", "4000")
    expect(answered, "fragments pass: " + output)


def tapip14_frag_needed():
    _, left, right = router()
    # The router's own MTU of the right side is lower than the left's: the kernel learns it.
    right.run("ip", "link", "set", "tapB", "mtu", "1400")
    output, _ = pings(left, "10.2.0.2", "-M", "do", "-s", "1300")
    expect("3 received" in output, output)


def iperf(left, right, address, seconds=3):
    server = subprocess.Popen([*right.enter, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 5
        while ":5201" not in right.run("ss", "-ltn"):
            expect(time.monotonic() < deadline, "iperf3 does not listen")
            time.sleep(0.02)
        result = json.loads(left.run("iperf3", "-c", address, "-t", str(seconds), "-J"))
        return result["end"]["sum_received"]["bits_per_second"]
    finally:
        server.kill()
        server.wait()


def forward_speed():
    """Kernel to kernel through tapir, against the same through a program that only copies frames from one TAP to the other."""
    if shutil.which("iperf3") is None:
        skip("no iperf3")
    _, left, right = router()
    routed = iperf(left, right, "10.2.0.2")
    while STACK:
        STACK.pop().close()
    null = opened(NullForwarder())
    left, right = opened(Namespace()), opened(Namespace())
    left.take("nullA", "10.1.0.2/24")
    right.take("nullB", "10.1.0.3/24")
    copied = iperf(left, right, "10.1.0.3")
    null.close()
    print("routed %.2f Gbit/s, copied %.2f Gbit/s: %.0f %%" % (routed / 1e9, copied / 1e9, 100 * routed / copied))
    expect(routed >= 0.6 * copied, "a router with super-frames is slower than 60 % of a copier")


class NullForwarder:
    """Two TAPs, vnet headers and offloads as tapir's, and a loop of read and write."""

    def __init__(self):
        program = r"""
import fcntl, os, select, struct
def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name, 0x0002 | 0x1000 | 0x4000))
    fcntl.ioctl(fd, 0x400454d8, struct.pack("i", 12))
    fcntl.ioctl(fd, 0x400454d0, 0x0f)
    return fd
a, b = tap(b"nullA"), tap(b"nullB")
print("ready", flush=True)
poll = select.poll()
poll.register(a, select.POLLIN)
poll.register(b, select.POLLIN)
buffer = bytearray(70000)
view = memoryview(buffer)
while True:
    for fd, _ in poll.poll():
        other = b if fd == a else a
        for _ in range(64):
            try:
                size = os.readv(fd, [buffer])
                os.write(other, view[:size])
            except BlockingIOError:
                break
            except OSError:
                break
"""
        self.process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        expect(self.process.stdout.readline() == "ready\n", "the copier does not start")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def tun():
    up = opened(Up("--dev", "tun:tun7", "--addr", "10.5.0.1/24", "--peer", "10.5.0.2/24", "--serve", "echo:7"))
    expect("a TUN interface" in up.banner, up.banner)
    output = run("ping", "-c", "3", "-i", "0.2", "-W", "2", "10.5.0.1", check=False)
    expect("3 received" in output, output)
    output = run(TAPIR, "ping", "--control", up.control, "-c", "2", "10.5.0.2", check=False)
    expect("2 received" in output, output)
    echoed = subprocess.run(["nc", "-N", "-w", "5", "10.5.0.1", "7"], input="over a TUN" * 20000, stdout=subprocess.PIPE, text=True, timeout=20)
    expect(echoed.stdout == "over a TUN" * 20000, "%d bytes came back" % len(echoed.stdout))


def vlan():
    up = opened(Up("--dev", "tap8", "--addr", "10.6.0.1/24", "--peer", "none", "--vlan", "42"))
    made = subprocess.run(["ip", "link", "add", "link", "tap8", "name", "tap8.42", "type", "vlan", "id", "42"], stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        skip("no VLANs in this kernel: " + made.stderr.strip())
    run("ip", "addr", "add", "10.6.0.2/24", "dev", "tap8.42")
    run("ip", "link", "set", "tap8.42", "up")
    output = run("ping", "-c", "3", "-i", "0.2", "-W", "2", "10.6.0.1", check=False)
    expect("3 received" in output, output)
    expect(up.process.poll() is None, "tapir ended")


def tapip8_topology_local():
    before = run("sysctl", "-n", "net.ipv4.ip_forward")
    gateway = opened(Namespace())
    run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "in0")
    gateway.take("in0", "10.9.0.9/24", "10.9.0.1")
    run("ip", "addr", "add", "10.9.0.1/24", "dev", "out0")
    run("ip", "link", "set", "out0", "up")
    up = opened(Up("--dev", "tap9", "--addr", "10.0.0.1/24", "--peer", "10.0.0.2/24", "--topology", "local"))
    output = run(TAPIR, "ping", "--control", up.control, "-c", "2", "10.9.0.9", check=False)
    expect("2 received" in output, "through the kernel: " + output)
    up.close()
    expect(run("sysctl", "-n", "net.ipv4.ip_forward") == before, "forwarding is as it was")


def tapip7_topology_bridge():
    gateway = opened(Namespace())
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "gw0")
    gateway.take("gw0", "10.20.133.1/24")
    gateway.run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
    run("ip", "addr", "add", "10.20.133.21/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", "10.20.133.1")
    up = opened(Up("--topology", "bridge"))
    expect("10.20.133.21/24" in up.banner and "place of the kernel" in up.banner, up.banner)
    expect("10.20.133.21" not in run("ip", "-4", "addr", "show"), "the kernel gave its address away")
    output, answered = pings(gateway, "10.20.133.21")
    expect(answered, "the gateway reaches tapir: " + output)
    output = run(TAPIR, "ping", "--control", up.control, "-c", "2", "198.51.100.1", check=False)
    expect("2 received" in output, "tapir reaches what is behind the gateway: " + output)
    expect(up.close() == 0, "it ends well")
    shown = run("ip", "-4", "addr", "show", "eth0")
    expect("10.20.133.21/24" in shown, "the kernel has its address again: " + shown)
    expect("default via 10.20.133.1" in run("ip", "route"), "and its default route")
    expect("tapirbr0" not in run("ip", "link"), "the bridge is gone")


def announce():
    opened(Up("--dev", "tapC", "--addr", "10.7.0.1/24", "--peer", "10.7.0.2/24", "--sysctl", "net.ipv4.conf.all.arp_notify=1"))
    run("ping", "-c", "1", "-W", "2", "10.7.0.1")
    expect("10.7.0.1" in run("ip", "neigh"), "known")


def conflict():
    """The kernel has the address already: tapir finds out and does not use it."""
    run("ip", "tuntap", "add", "tapD", "mode", "tap")
    run("ip", "addr", "add", "10.8.0.1/24", "dev", "tapD")
    run("ip", "link", "set", "tapD", "up")
    run("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    other = opened(Namespace())
    other.take("wire1", "10.8.1.1/24")
    run("ip", "link", "set", "wire0", "up")
    up = opened(Up("--dev", "packet:wire0", "--addr", "10.8.1.1/24", "--detect-conflicts"))
    time.sleep(8)  # three probes take five to seven seconds (RFC 5227)
    output, answered = pings(other, "10.8.1.1")
    expect(answered, "its own address still answers")
    shown = run(TAPIR, "ping", "--control", up.control, "-c", "1", "10.8.1.2", check=False)
    expect("1 received" not in shown, shown)


def main():
    case = globals()[sys.argv[2]]
    if os.geteuid() != 0:
        skip("takes root, for TAP devices in namespaces")
    if shutil.which("ip") is None or shutil.which("ping") is None or not os.path.exists("/dev/net/tun"):
        skip("ip, ping or /dev/net/tun is missing")
    if os.environ.get("TAPIR_LAYERS_INSIDE") is None:
        os.environ["TAPIR_LAYERS_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    run("ip", "link", "set", "lo", "up")
    try:
        case()
    finally:
        while STACK:
            STACK.pop().close()


if __name__ == "__main__":
    main()
