#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tapir beside the kernel, as its router and in its place: layers.py TAPIR CASE.

Everything lives in network namespaces that are unnamed and die with their processes; nothing of the machine's is touched.
Exit 77 = skipped, with a reason."""

import json
import os
import re
import select
import shutil
import signal
import socket
import struct
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
    """Kernel to kernel through tapir, against the same through a program that only moves frames and rewrites their MAC addresses; in turns,
    and the better of two each, for a machine that is busy with other tests tells nothing by one."""
    if shutil.which("iperf3") is None:
        skip("no iperf3")
    null = os.path.join(os.path.dirname(TAPIR), "bench_null_forwarder")
    if not os.access(null, os.X_OK):
        skip("bench_null_forwarder is not built")
    up, left, right = router()
    copier = subprocess.Popen([null, "nullA", "nullB"], stdout=subprocess.PIPE, text=True)
    STACK.append(Ended(copier))
    expect(copier.stdout.readline() == "ready\n", "the null forwarder does not start")
    left.take("nullA", "10.3.0.2/24")
    right.take("nullB", "10.4.0.2/24")
    left.run("ip", "route", "add", "10.4.0.0/24", "via", "10.3.0.1")
    right.run("ip", "route", "add", "10.3.0.0/24", "via", "10.4.0.1")
    routed = copied = 0
    for _ in range(2):
        copied = max(copied, iperf(left, right, "10.4.0.2", 2))
        routed = max(routed, iperf(left, right, "10.2.0.2", 2))
    print("routed %.2f Gbit/s, copied %.2f Gbit/s: %.0f %%" % (routed / 1e9, copied / 1e9, 100 * routed / copied))
    expect(routed >= 0.6 * copied, "a router with super-frames is slower than 60 % of a copier")
    expect(up.counters()["IpFragCreates"] == 0, "nothing was fragmented")


class Ended:
    """A process that ends with the test."""

    def __init__(self, process):
        self.process = process

    def close(self):
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


class Trunk:
    """The other host on a trunk: a packet socket on the kernel's end of the TAP, which speaks ARP and answers echo requests with a tag.
    (This needs no VLANs in the kernel, which takes the tag out of a frame and tells it beside.)"""

    ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA = 3, 263, 8

    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(self.ETH_P_ALL))
        self.socket.bind((interface, self.ETH_P_ALL))
        self.socket.setsockopt(self.SOL_PACKET, self.PACKET_AUXDATA, 1)
        self.mac = bytes.fromhex("020000000099")

    def close(self):
        self.socket.close()

    def send(self, vlan, ethertype, to, payload):
        self.socket.send(to + self.mac + struct.pack("!HHH", 0x8100, vlan, ethertype) + payload)

    def receive(self, seconds=10):
        """(VLAN or None, EtherType, payload) of tapir's next frame."""
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, deadline - time.monotonic()))
            expect(ready, "no frame within %d s" % seconds)
            frame, control, _, (_, _, kind, _, source) = self.socket.recvmsg(65536, 256)
            if kind == socket.PACKET_OUTGOING or source == self.mac:
                continue
            vlan = None
            for level, what, data in control:
                if (level, what) == (self.SOL_PACKET, self.PACKET_AUXDATA):
                    status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
                    if status & 0x10:  # TP_STATUS_VLAN_VALID
                        vlan = tci & 0xFFF
            return vlan, struct.unpack("!H", frame[12:14])[0], frame[14:]

    def next_of(self, wanted, seconds=10):
        deadline = time.monotonic() + seconds
        while True:
            vlan, ethertype, payload = self.receive(max(0.01, deadline - time.monotonic()))
            if wanted(ethertype, payload):
                return vlan, payload

    def ping(self, vlan, ours, theirs):
        """An echo request with the tag; the answer comes with it, after an ARP request with it."""
        number = os.urandom(2)
        body = b"\x08\x00\x00\x00" + number + b"\x00\x01tagged"
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, 1, 0, socket.inet_aton(ours), socket.inet_aton(theirs))
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self.send(vlan, 0x0806, b"\xff" * 6, arp(1, self.mac, ours, b"\0" * 6, theirs))
        is_reply = lambda kind, data: kind == 0x0806 and data[6:8] == b"\0\2" and data[14:18] == socket.inet_aton(theirs)
        tag, reply = self.next_of(is_reply)
        expect(tag == vlan, "ARP's answer came on VLAN %s, not %s" % (tag, vlan))
        self.send(vlan, 0x0800, reply[8:14], ip + body)
        while True:
            tag, kind, data = self.receive()
            if kind == 0x0806 and data[6:8] == b"\0\1" and data[24:28] == socket.inet_aton(ours):
                self.send(vlan, 0x0806, reply[8:14], arp(2, self.mac, ours, reply[8:14], theirs))
            if kind == 0x0800 and data[9] == 1 and data[20] == 0 and data[24:26] == number:
                return tag


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp(operation, mac, sender, target_mac, target):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac, socket.inet_aton(sender), target_mac, socket.inet_aton(target)).ljust(46, b"\0")


def vlan():
    up = opened(Up("--dev", "tap8", "--addr", "10.6.0.1/24", "--peer", "none", "--vlan", "42"))
    trunk = opened(Trunk("tap8"))
    expect(trunk.ping(42, "10.6.0.2", "10.6.0.1") == 42, "the answer is tagged")
    before = up.counters().get("IpInReceives", 0)
    trunk.send(43, 0x0806, b"\xff" * 6, arp(1, trunk.mac, "10.6.0.3", b"\0" * 6, "10.6.0.1"))
    expect(trunk.ping(42, "10.6.0.2", "10.6.0.1") == 42, "and still")
    drops = json.loads(run(TAPIR, "nstat", "--drops", "--json", "--control", up.control))
    expect(any(row["reason"] == "VLAN" for row in drops), drops)
    expect(up.counters()["IpInReceives"] > before and up.process.poll() is None, "tapir goes on")
    kernel_vlan("tap8", 42, "10.6.0.2/24", "10.6.0.1")


def vlans():
    """The link itself and two VLANs, three networks on one device."""
    up = opened(Up("--dev", "tap8", "--addr", "10.6.0.1/24", "--peer", "10.6.0.2/24", "--also", "tap8.42=10.7.0.1/24", "--also", "tap8.43=10.8.0.1/24"))
    output = run("ping", "-c", "2", "-i", "0.2", "-W", "2", "10.6.0.1", check=False)
    expect("2 received" in output, output)
    trunk = opened(Trunk("tap8"))
    expect(trunk.ping(42, "10.7.0.2", "10.7.0.1") == 42, "VLAN 42")
    expect(trunk.ping(43, "10.8.0.2", "10.8.0.1") == 43, "VLAN 43")
    links = run(TAPIR, "ip", "--control", up.control, "link")
    expect("tap8.42@tap8: <" in links and "tap8.43@tap8: <" in links, links)
    kernel_vlan("tap8", 42, "10.7.0.2/24", "10.7.0.1")


def kernel_vlan(interface, number, address, ours):
    """The same with the kernel's own VLANs, where it has them."""
    made = subprocess.run(["ip", "link", "add", "link", interface, "name", "kernel.%d" % number, "type", "vlan", "id", str(number)], stderr=subprocess.DEVNULL)
    if made.returncode != 0:
        return
    run("ip", "addr", "add", address, "dev", "kernel.%d" % number)
    run("ip", "link", "set", "kernel.%d" % number, "up")
    output = run("ping", "-c", "3", "-i", "0.2", "-W", "2", ours, check=False)
    expect("3 received" in output, output)


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
    run("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    other = opened(Namespace())
    other.take("wire1", "10.8.1.1/24")
    run("ip", "link", "set", "wire0", "up")
    # It answers when a probe was seen to leave; the next one comes within two seconds (RFC 5227 §2.1.1).
    other.run("sysctl", "-qw", "net.ipv4.conf.wire1.arp_ignore=8")
    up = opened(Up("--dev", "packet:wire0", "--addr", "10.8.1.1/24", "--detect-conflicts"))
    heard = subprocess.Popen([TAPIR, "debug", "arp", "--control", up.control], stdout=subprocess.PIPE, text=True)
    STACK.append(Ended(heard))
    lines = [heard.stdout.readline()]
    other.run("sysctl", "-qw", "net.ipv4.conf.wire1.arp_ignore=0")
    while "address conflict" not in lines[-1]:
        expect(lines[-1] and "address claimed" not in lines[-1], "".join(lines))
        lines.append(heard.stdout.readline())
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
