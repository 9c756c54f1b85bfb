#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The shell and the tools of a running stack, against the kernel: shell.py TAPIR CASE. Runs itself again in a new network namespace;
exit 77 = skipped, with a reason."""

import json
import os
import pty
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

LSAN_SUPPRESSIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan_suppressions.txt")

TAPIR = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
OURS, KERNEL = "10.0.0.1", "10.0.0.2"
# What machines that are busy with other tests may take for what takes no time.
PATIENCE = 20


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_until(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, "not within %s s: %s" % (seconds, what))
        time.sleep(0.02)


def run(*words, check=True, **more):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, **more)
    if check:
        expect(done.returncode == 0, "%s: exit %d: %s" % (" ".join(words), done.returncode, done.stdout + done.stderr))
    return done


class Up:
    """A stack beside the kernel on tap0; `with` ends it."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="tapir-shell-")
        self.control = os.path.join(self.folder, "control")
        device = () if "--dev" in options else ("--dev", "tap0")
        self.process = subprocess.Popen([TAPIR, "up", "--control", self.control, *device, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        banner = ""
        while "Ctrl-C" not in banner:
            line = self.process.stdout.readline()
            expect(line, "tapir up ended at once: " + (self.process.stderr.read() if not line else ""))
            banner += line

    def tool(self, name, *words, check=True, **more):
        return run(TAPIR, name, "--control", self.control, *words, check=check, **more)

    def text(self, name, *words, **more):
        return self.tool(name, *words, **more).stdout

    def json(self, name, *words):
        return json.loads(self.text(name, "--json", *words))

    def refused(self, name, *words):
        """The sentence with which it refuses."""
        done = self.tool(name, *words, check=False)
        expect(done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) >= 1, "%s %s: %s" % (name, words, done))
        return done.stderr

    def counter(self, name):
        return self.json("nstat", "-z").get(name, 0)

    def holds(self, name):
        return next(row["value"] for row in self.json("stat") if row["name"] == name)

    def start(self, name, *words, stdin=subprocess.DEVNULL):
        return subprocess.Popen([TAPIR, name, "--control", self.control, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def listening(self, port):
        return any(row["local"].endswith(":%d" % port) for row in self.json("ss", "-al"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=10)
        finally:
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, *words, rows=24, columns=80, **environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # libedit keeps two strings for good, which a build with sanitizers would end the shell for.
            os.execve(words[0], words, {**os.environ, "TERM": "xterm", "LSAN_OPTIONS": f"suppressions={LSAN_SUPPRESSIONS}", **environment})
        self.resize(rows, columns)
        self.seen = ""

    def resize(self, rows, columns):
        import fcntl
        import termios
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def takes_keys(self):
        """The program reads keys, not lines. In line mode Ctrl-D would become a NUL for who then reads keys."""
        import termios
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        except OSError:
            return False
        return True

    def wait_for(self, expression, seconds=PATIENCE):
        """What was seen up to the match, which is then forgotten."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(expression, self.seen)):
            expect(time.monotonic() < deadline and (self.read(0.2) or time.monotonic() < deadline), "%r does not come; seen: %r" % (expression, self.seen[-600:]))
        text, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return text

    def ended(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("it does not end; seen: %r" % self.seen[-600:])


def mac_of(link):
    return json.loads(run("ip", "-j", "link", "show", link).stdout)[0]["address"]


def raw_frames(link="tap0"):
    """A packet socket of the kernel on the wire to the stack."""
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    frames.bind((link, 0))
    return frames


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(payload, protocol, source=KERNEL, destination=OURS, broken=False, ttl=64, total=None, ident=7, fragment=0):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total or 20 + len(payload), ident, fragment, ttl, protocol, 0, socket.inet_aton(source), socket.inet_aton(destination))
    value = checksum(header) ^ (0x1234 if broken else 0)
    return header[:10] + struct.pack("!H", value) + header[12:] + payload


def ethernet(stack_mac, ethertype, payload, source=None):
    return bytes.fromhex(stack_mac.replace(":", "")) + bytes.fromhex((source or mac_of("tap0")).replace(":", "")) + struct.pack("!H", ethertype) + payload


def stack_mac(up):
    return next(link["address"] for link in json.loads(up.text("ip", "-j", "link")) if link["ifname"] == "tap0")


# ---- tapip's features by their numbers ----


def case_TapipRow01_tap_device_is_made_configured_and_removed():
    with Up("--dev", "mine0", "--mtu", "1400"):
        link = json.loads(run("ip", "-j", "addr", "show", "mine0").stdout)[0]
        expect(link["mtu"] == 1400 and "UP" in link["flags"] and link["addr_info"][0]["local"] == KERNEL, link)
    expect("mine0" not in run("ip", "link").stdout, "the interface goes with the stack")


def case_TapipRow02_the_stack_has_a_mac_of_its_own_and_the_taps_mtu():
    with Up("--mtu", "1300") as up:
        run("ping", "-c", "1", "-W", "5", OURS)
        neighbour = json.loads(run("ip", "-j", "neigh", "show", OURS).stdout)[0]["lladdr"]
        expect(neighbour == stack_mac(up) != mac_of("tap0"), neighbour)
        expect(json.loads(up.text("ip", "-j", "link"))[1]["mtu"] == 1300, "the MTU is the tap's")


def case_TapipRow03_loopback_is_the_whole_net():
    with Up() as up:
        for address in ("127.0.0.1", "127.1.2.3", OURS):
            expect(" 0% packet loss" in up.text("ping", "-c", "2", "-i", "0.01", address), address)
        expect(up.json("ip", "-s", "link", "show", "lo")[0]["stats64"]["rx"]["packets"] >= 12, "requests and answers pass lo")


def case_TapipRow04_devices_count_what_passes():
    with Up() as up:
        run("ping", "-c", "3", "-i", "0.05", "-W", "5", OURS)
        link = up.json("ip", "-s", "link", "show", "tap0")[0]
        for way in ("rx", "tx"):
            expect(link["stats64"][way]["packets"] >= 3 and link["stats64"][way]["bytes"] >= 3 * 98, link)
        expect("RX packets" in up.text("ifconfig"), "ifconfig tells them too")


def case_TapipRow06_unknown_and_rarp_frames_are_dropped_and_counted():
    with Up() as up:
        wire, mac = raw_frames(), stack_mac(up)
        for ethertype in (0x8035, 0x88cc):  # RARP, LLDP
            wire.send(ethernet(mac, ethertype, bytes(60)))
        wait_until(lambda: {row["reason"]: row["count"] for row in up.json("nstat", "--drops")}.get("UNHANDLED_PROTO", 0) + sum(
            row["count"] for row in up.json("nstat", "--drops") if row["reason"].startswith("L2")) >= 2, "both are counted: " + up.text("nstat", "--drops"))


def case_TapipRow07_in_the_hosts_stead_on_a_bridge():
    """The host's interface is a port of a bridge; tapir has the host's address, and a gateway that is another machine."""
    far = subprocess.Popen(["unshare", "-n", "sleep", "60"])
    try:
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        wait_until(lambda: os.readlink("/proc/%d/ns/net" % far.pid) != os.readlink("/proc/self/ns/net"), "the namespace")
        for ours, port in (("host0", "port0"), ("gate0", "port1")):
            run("ip", "link", "add", ours, "type", "veth", "peer", "name", port)
            run("ip", "link", "set", port, "master", "br0", "up")
        run("ip", "link", "set", "host0", "up")
        run("ip", "link", "set", "gate0", "netns", str(far.pid))
        inside = ("nsenter", "-t", str(far.pid), "-n")
        run(*inside, "ip", "addr", "add", "10.20.133.1/24", "dev", "gate0")
        run(*inside, "ip", "addr", "add", "192.0.2.1/32", "dev", "gate0")
        run(*inside, "ip", "link", "set", "gate0", "up")
        with Up("--dev", "packet:host0", "--addr", "10.20.133.21/24", "--gateway", "10.20.133.1") as up:
            expect(" 0% packet loss" in up.text("ping", "-c", "2", "-i", "0.1", "192.0.2.1"), "behind the gateway")
            expect(" 0% packet loss" in run(*inside, "ping", "-c", "2", "-i", "0.1", "-W", "5", "10.20.133.21").stdout, "from the gateway")
    finally:
        far.kill()
        far.wait()


def case_TapipRow08_beside_the_kernel_with_a_default_route_over_it():
    with Up("--gateway", KERNEL) as up:
        run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")  # a host behind the gateway
        expect(" 0% packet loss" in up.text("ping", "-c", "1", "192.0.2.1"), "it is reached over the gateway")
        expect("default via 10.0.0.2 dev tap0" in up.text("ip", "route"), up.text("ip", "route"))


def case_TapipRow09_the_arp_cache_waits_retries_and_gives_up():
    with Up() as up:
        asking = up.start("ping", "-c", "1", "-W", "20", "10.0.0.77")
        wait_until(lambda: "INCOMPLETE" in up.text("arpcache"), "it is being asked")
        out = asking.communicate(timeout=40)[0].decode()
        expect("Destination Host Unreachable" in out, out)
        expect("FAILED" in up.text("arpcache") or "10.0.0.77" not in up.text("arpcache"), up.text("arpcache"))


def arp(operation, sender_mac, sender_ip, target_ip, target_mac="00:00:00:00:00:00"):
    pack = lambda mac: bytes.fromhex(mac.replace(":", ""))
    return struct.pack("!HHBBH", 1, 0x800, 6, 4, operation) + pack(sender_mac) + socket.inet_aton(sender_ip) + pack(target_mac) + socket.inet_aton(target_ip)


def case_TapipRow10_arp_cheating_and_unsolicited_replies_teach_nothing():
    with Up() as up:
        wire, mac = raw_frames(), stack_mac(up)
        wire.send(ethernet(mac, 0x806, arp(2, mac_of("tap0"), "10.0.0.66", OURS, mac)))           # nobody asked
        wire.send(ethernet(mac, 0x806, arp(1, "02:00:00:00:00:99", "10.0.0.67", OURS)))              # not the sender it says
        wire.send(ethernet(mac, 0x806, arp(1, mac_of("tap0"), "10.0.0.68", OURS)))                   # an honest request
        wait_until(lambda: "10.0.0.68" in up.text("arpcache"), "the request teaches")
        expect("10.0.0.66" not in up.text("arpcache") and "10.0.0.67" not in up.text("arpcache"), up.text("arpcache"))


def case_TapipRow11_broken_ip_headers_are_dropped():
    with Up() as up:
        wire, mac = raw_frames(), stack_mac(up)
        echo = b"\x08\x00\x00\x00\x00\x01\x00\x01"
        echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
        good = ipv4(echo, 1)
        wire.send(ethernet(mac, 0x800, ipv4(echo, 1, broken=True)))
        wire.send(ethernet(mac, 0x800, b"\x65" + good[1:]))                       # version 6
        wire.send(ethernet(mac, 0x800, b"\x43" + good[1:]))                       # a header of 12 bytes
        wire.send(ethernet(mac, 0x800, ipv4(echo, 1, total=4000)))                # longer than the frame
        wire.send(ethernet(mac, 0x800, good + bytes(18)))                         # padding is cut off
        wait_until(lambda: up.counter("IcmpInEchos") == 1, "the padded one is answered")
        expect(up.counter("IpInHdrErrors") + up.counter("IpExtInTruncatedPkts") + up.counter("IpExtInCsumErrors") >= 4, up.text("nstat"))


def case_TapipRow12_longest_prefix_wins_then_the_metric():
    with Up() as up:
        up.tool("ip", "route", "add", "192.0.0.0/8", "via", "10.0.0.3")
        up.tool("ip", "route", "add", "192.0.2.0/24", "via", "10.0.0.4", "metric", "20")
        up.tool("ip", "route", "add", "192.0.2.0/24", "via", "10.0.0.5", "metric", "10")
        expect("via 10.0.0.5 " in up.text("ip", "route", "get", "192.0.2.9"), up.text("ip", "route"))
        expect("via 10.0.0.3 " in up.text("ip", "route", "get", "192.9.9.9"), up.text("ip", "route"))
        up.tool("ip", "route", "del", "192.0.2.0/24", "metric", "10")
        expect("via 10.0.0.4 " in up.text("ip", "route", "get", "192.0.2.9"), up.text("ip", "route"))
        expect("no way to 8.8.8.8" in up.refused("ip", "route", "get", "8.8.8.8"), "")
        expect("src 10.0.0.1" in up.text("ip", "route", "get", KERNEL), "the source is the interface's address")


def case_TapipRow13_output_asks_for_the_next_hop_not_the_destination():
    with Up("--gateway", KERNEL) as up:
        up.tool("ping", "-c", "1", "-W", "0.2", "198.51.100.9", check=False)
        addresses = up.text("arpcache")
        expect(KERNEL in addresses and "198.51.100.9" not in addresses, addresses)


def case_TapipRow15_large_packets_are_cut_and_put_together():
    with Up() as up:
        expect(" 0% packet loss" in run("ping", "-c", "2", "-i", "0.05", "-W", "5", "-s", "60000", OURS).stdout, "the kernel's fragments")
        expect(" 0% packet loss" in up.text("ping", "-c", "2", "-i", "0.05", "-s", "60000", KERNEL), "tapir's fragments")
        expect(up.counter("IpReasmOKs") >= 4 and up.counter("IpFragCreates") >= 100 and up.holds("fragments") == 0, up.text("nstat"))


def case_TapipRow16_echo_requests_are_answered_byte_for_byte():
    with Up():
        done = run("ping", "-c", "3", "-i", "0.05", "-W", "5", "-p", "a55a", "-s", "1400", OURS).stdout
        expect(" 0% packet loss" in done and "wrong data" not in done, done)


def case_TapipRow17_icmp_errors_are_sent():
    with Up() as up:
        ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ask.settimeout(PATIENCE)
        ask.connect((OURS, 9999))
        ask.send(b"x")
        try:
            ask.recv(1)
            raise AssertionError("nobody listens there")
        except ConnectionRefusedError:
            pass
        wire, mac = raw_frames(), stack_mac(up)
        wire.send(ethernet(mac, 0x800, ipv4(b"payload.", 200)))
        wait_until(lambda: up.counter("IcmpOutDestUnreachs") >= 2, "protocol unreachable: " + up.text("nstat"))


def case_TapipRow18_every_icmp_type_is_taken_without_harm():
    with Up() as up:
        wire, mac = raw_frames(), stack_mac(up)
        before = up.counter("IcmpInMsgs")
        for kind in range(19):
            message = struct.pack("!BBHHH", kind, 0, 0, 1, 1) + ipv4(b"\0\7\0\7\0\x10\0\0", 17, source=OURS, destination=KERNEL)
            message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
            wire.send(ethernet(mac, 0x800, ipv4(message, 1, ident=kind + 1)))
        wait_until(lambda: up.counter("IcmpInMsgs") - before >= 19, "all are counted: " + up.text("nstat", "Icmp*"))
        expect("packets transmitted" in up.text("ping", "-c", "1", KERNEL), "and the stack lives")


def through_nc(up, port, data, *options):
    """Sends `data` from the kernel to `nc -l` on the stack; what nc printed."""
    nc = up.start("nc", "-l", *options, str(port))
    wait_until(lambda: up.listening(port), "nc listens")
    if "-u" in options:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(data, (OURS, port))
        wait_until(lambda: select.select([nc.stdout], [], [], 0)[0], "it prints")
        nc.send_signal(signal.SIGINT)
    else:
        with socket.create_connection((OURS, port), timeout=PATIENCE) as stream:
            stream.sendall(data)
    return nc.communicate(timeout=PATIENCE)[0]


def case_TapipRow19_stream_and_datagram_sockets_carry_bytes():
    with Up() as up:
        data = os.urandom(300000)
        expect(through_nc(up, 7000, data) == data, "TCP")
        expect(through_nc(up, 7001, b"a datagram", "-u") == b"a datagram", "UDP")


def case_TapipRow20_an_end_wakes_who_waits():
    with Up() as up:
        with socket.create_server((KERNEL, 7002)) as server:
            nc = up.start("nc", KERNEL, "7002", stdin=subprocess.PIPE)
            stream = server.accept()[0]
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()  # a reset
            errors = nc.communicate(timeout=PATIENCE)[1].decode()
            expect(nc.returncode == 1 and "reset" in errors.lower(), errors)


def case_TapipRow21_only_own_addresses_are_bound_and_a_port_once():
    with Up() as up:
        expect("Cannot assign requested address" in up.refused("nc", "-l", "9.9.9.9", "7003"), "not ours")
        nc = up.start("nc", "-l", "7003")
        wait_until(lambda: up.listening(7003), "nc listens")
        expect("Address already in use" in up.refused("nc", "-l", "7003"), "taken")
        nc.send_signal(signal.SIGINT)
        nc.communicate(timeout=PATIENCE)


def case_TapipRow22_udp_echo_and_checksums():
    with Up("--serve", "echo:7") as up:
        ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ask.settimeout(PATIENCE)
        ask.sendto(b"hello", (OURS, 7))
        expect(ask.recv(100) == b"hello", "the echo")
        wire, mac = raw_frames(), stack_mac(up)
        wire.send(ethernet(mac, 0x800, ipv4(struct.pack("!HHHH", 5, 7, 12, 0xbeef) + b"bad!", 17)))
        wait_until(lambda: up.counter("UdpInCsumErrors") == 1, "a wrong checksum is dropped and counted")


def case_TapipRow23_ping_sockets_get_what_is_theirs():
    """Several pingers at a time; each sees its own answers only, though all that comes is ICMP."""
    with Up() as up:
        pings = [up.start("ping", "-c", "3", "-i", "0.05", "-s", str(size), KERNEL) for size in (100, 200, 300)]
        for ping, size in zip(pings, (100, 200, 300)):
            out = ping.communicate(timeout=PATIENCE)[0].decode()
            expect(out.count("%d bytes from" % (size + 8)) == 3 and out.count("bytes from") == 3, out)


def case_TapipRow24_states_are_told_as_they_change():
    with Up("--serve", "echo:7") as up:
        out = up.text("shell", "-c", "debug -n tcpstate; snc -c 127.0.0.1:7; debug -c", input="x\n")
        expect("SYN-SENT -> ESTABLISHED" in out and "ESTABLISHED -> FIN-WAIT-1" in out and "CLOSE-WAIT" in out, out)


def case_TapipRow25_open_refuse_close_and_time_wait():
    with Up("--serve", "echo:7") as up:
        expect("Connection refused" in up.refused("nc", KERNEL, "7099"), "refused")
        expect(up.tool("nc", "-N", "127.0.0.1", "7", input="hello\n").stdout == "hello\n", "the echo, then FIN both ways")
        rows = up.json("ss", "-t", "state", "time-wait")
        expect(len(rows) == 1 and rows[0]["peer"] == "127.0.0.1:7", "the side that closed first waits: %s" % rows)


def case_TapipRow26_ports_are_not_counted_up():
    with Up("--serve", "discard:9") as up:
        ports = []
        for _ in range(6):
            up.tool("nc", "-z", "127.0.0.1", "9")
        ports = [int(row["local"].rsplit(":")[-1]) for row in up.json("ss", "-a", "dport = :9")]
        expect(len(set(ports)) == len(ports) >= 6, ports)
        expect([b - a for a, b in zip(sorted(ports), sorted(ports)[1:])] != [1] * (len(ports) - 1), ports)


def case_TapipRow27_the_backlog_is_told():
    with Up("--serve", "echo:7") as up:
        row = up.json("ss", "-lt", "sport = :7")[0]
        expect(row["state"] == "LISTEN" and row["send_q"] == 4096 or row["send_q"] >= 128, row)


def case_TapipRow28_out_of_order_and_lost_segments_arrive_in_order():
    with Up("--impair", "loss 2%, reorder 5%, delay 1ms") as up:
        data = os.urandom(400000)
        expect(through_nc(up, 7004, data) == data, "not one byte is lost or moved")


def case_TapipRow29_what_is_sent_respects_the_window():
    with Up() as up:
        data = os.urandom(2000000)
        with socket.create_server((KERNEL, 7005)) as server:
            nc = up.start("nc", "-N", KERNEL, "7005", stdin=subprocess.PIPE)
            stream = server.accept()[0]
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            import threading
            threading.Thread(target=lambda: (nc.stdin.write(data), nc.stdin.close())).start()
            received = b""
            while chunk := stream.recv(65536):
                received += chunk
            stream.close()
            nc.wait(timeout=PATIENCE)
        expect(received == data, "%d of %d bytes" % (len(received), len(data)))


def case_TapipRow30_prompt_interrupt_resize_and_end():
    with Up() as up:
        shell = Terminal(TAPIR, "shell", "--control", up.control, HOME=up.folder)
        shell.wait_for("tapir> ")
        shell.type("ping %s\r" % KERNEL)
        shell.wait_for("icmp_seq=2")
        shell.type("\x03")
        shell.wait_for("packet loss")
        shell.wait_for("tapir> ")
        shell.type("half a li\x03")
        shell.wait_for(r"\^C\s+.*tapir> ")
        shell.resize(20, 40)
        shell.type("hel\t\r")
        shell.wait_for("arpcache")
        shell.wait_for("tapir> ")
        shell.type("nosuch\r")
        shell.wait_for("no command 'nosuch'")
        shell.wait_for("tapir> ")
        shell.type("\x1b[A\x1b[A\r")  # two lines up: help
        shell.wait_for("arpcache")
        shell.wait_for("tapir> ")
        shell.type("\x04")
        expect(shell.ended() == 0, "the status of the last command: help")


def case_TapipRow31_help_clear_exit():
    with Up() as up:
        out = up.text("shell", "-c", "help; clear; exit; ping 10.0.0.2")
        for command in ("arpcache", "debug", "ifconfig", "ping2", "route", "snc", "stat", "ss", "ip", "traceroute", "arping", "nc", "capture"):
            expect(re.search(r"^  %s +\S" % command, out, re.M), command)
        expect("\x1b[2J" in out and "PING" not in out, "exit leaves")


def case_TapipRow32_debug_by_topic_blocking_or_not():
    with Up() as up:
        out = up.text("shell", "-c", "debug -n icmp arp; ping -c 1 %s; debug -c arp; debug -c; ping -c 1 %s" % (KERNEL, KERNEL))
        expect(re.search(r"^ +\d+\.\d{6} arp ", out, re.M) and re.search(r"^ +\d+\.\d{6} icmp ", out, re.M), out)
        expect(" icmp " not in out.split("packet loss")[-2].split("PING")[-1], "cleared: " + out)
        blocking = up.start("debug", "icmp")
        ping = up.start("ping", "-i", "0.05", KERNEL)
        line = blocking.stdout.readline().decode()
        ping.send_signal(signal.SIGINT)
        blocking.send_signal(signal.SIGINT)
        ping.communicate(timeout=PATIENCE)
        blocking.communicate(timeout=PATIENCE)
        expect(" icmp " in line and blocking.returncode == 0, line)
        expect("there is no topic 'tpc'" in up.refused("debug", "tpc"), "")
        expect("for a shell" in up.refused("debug", "-n", "tcp"), "")


def case_TapipRow33_tables():
    with Up() as up:
        up.tool("ping", "-c", "1", KERNEL)
        expect(re.search(r"REACHABLE +\d+ +%s +%s +tap0" % (mac_of("tap0"), KERNEL), up.text("arpcache")), up.text("arpcache"))
        expect(re.search(r"10\.0\.0\.0 +0\.0\.0\.0 +255\.255\.255\.0 +U +0 +tap0", up.text("route")), up.text("route"))
        expect("inet 10.0.0.1  netmask 255.255.255.0  broadcast 10.0.0.255" in up.text("ifconfig"), up.text("ifconfig"))
        expect({"frames", "sockets", "connections", "half-open", "time-wait", "neighbours", "fragments", "budget"} <= {row["name"] for row in up.json("stat")}, up.text("stat"))


def case_TapipRow34_ping_with_its_options():
    with Up() as up:
        out = up.text("ping", "-c", "3", "-i", "0.05", "-s", "1000", "-t", "9", KERNEL)
        expect("PING 10.0.0.2 (10.0.0.2) 1000(1028) bytes of data." in out and out.count("1008 bytes from 10.0.0.2: icmp_seq=") == 3, out)
        expect(re.search(r"3 packets transmitted, 3 received, 0% packet loss, time \d+ms\nrtt min/avg/max/mdev = ", out), out)
        expect("65508" in up.refused("ping", "-s", "65508", KERNEL), "no packet is that long")
        expect("names are not looked up" in up.refused("ping", "localhost"), "")
        expect(up.tool("ping", "-c", "1", "-W", "0.2", "10.0.0.99", check=False).returncode == 1, "nobody answers")


def case_TapipRow35_ping2_tells_what_the_stack_does():
    with Up() as up:
        out = up.text("ping2", "-c", "1", KERNEL)
        expect(" arp " in out and " icmp " in out and "1 received" in out, out)


def case_TapipRow36_snc_listens_and_connects():
    with Up() as up:
        listener = up.start("snc", "-b", "0.0.0.0:7006")
        wait_until(lambda: up.listening(7006), "snc listens")
        up.tool("snc", "-c", OURS + ":7006", input="one way\n")
        expect(listener.communicate(timeout=PATIENCE)[0] == b"one way\n", "what was sent is printed")
        udp = up.start("snc", "-u", "-b", OURS + ":7007")
        wait_until(lambda: any(row["netid"] == "udp" for row in up.json("ss", "-ua")), "snc -u listens")
        up.tool("snc", "-u", "-c", OURS + ":7007", input="a datagram\n")
        wait_until(lambda: select.select([udp.stdout], [], [], 0)[0], "it prints")
        udp.send_signal(signal.SIGINT)
        expect(udp.communicate(timeout=PATIENCE)[0] == b"a datagram\n", "UDP")
        expect("either -b" in up.refused("snc"), "")
        expect("no ADDRESS:PORT" in up.refused("snc", "-c", "nowhere"), "")


def case_TapipRow37_TapipBug28_each_build_switch_is_a_preset_that_does_what_it_says():
    presets = {preset["name"]: preset for preset in json.load(open(os.path.join(ROOT, "CMakePresets.json")))["configurePresets"]}
    expect({"release", "debug", "asan", "tsan", "fuzz"} <= set(presets), sorted(presets))
    for name, sanitizer in (("asan", "address"), ("tsan", "thread")):
        expect(sanitizer in json.dumps(presets[name]["cacheVariables"]), presets[name])
    with Up() as up:  # what tapip's CONFIG_DEBUG_* chose when it was built is chosen at run time
        expect(up.tool("shell", "-c", "debug -n all; debug -c").returncode == 0, "")


def case_TapipRow38_nothing_leaks():
    with Up("--serve", "echo:7", "--sysctl", "net.ipv4.tcp_fin_timeout=1") as up:
        run("ping", "-c", "1", "-W", "5", OURS)
        up.tool("ping", "-c", "1", KERNEL)
        before = {row["name"]: row["value"] for row in up.json("stat")}
        for _ in range(5):
            with socket.create_connection((OURS, 7), timeout=PATIENCE) as stream:
                stream.sendall(b"x" * 100000)
                received = 0
                while received < 100000:
                    received += len(stream.recv(65536))
        run("ping", "-c", "2", "-i", "0.05", "-W", "5", "-s", "30000", OURS)
        names = ("frames", "sockets", "connections", "half-open", "time-wait", "orphans", "fragments", "transmissions", "replies")
        wait_until(lambda: all(up.holds(name) == before[name] for name in names), "back to %s: %s" % (before, up.text("stat")))


def case_TapipRow40_the_pages_are_there_and_tell_of_every_command():
    for page in ("docs/tapir.md", "docs/recipes.md", "docs/one-connection.md", "docs/departures.md", "ARCHITECTURE.md"):
        expect(os.path.getsize(os.path.join(ROOT, page)) > 1000, page)
    page = open(os.path.join(ROOT, "docs/tapir.md")).read()
    commands = re.findall(r"^  ([a-z0-9]+) +\S", run(TAPIR, "--help").stdout.split("Subcommands:")[-1].split("SUBCOMMANDS:")[-1], re.M)
    expect(len(commands) >= 20, commands)
    for command in commands:
        expect(re.search(r"^#+ .*\b%s\b" % command, page, re.M), "docs/tapir.md has no section of %s" % command)
        options = set(re.findall(r"--([a-z][a-z0-9_-]+)", run(TAPIR, command, "--help").stdout)) - {"help", "control", "json"}
        told = page.split("\n## ")
        section = next(part for part in told if re.match(r".*\b%s\b" % command, part.splitlines()[0]))
        if command not in ("drill", "run"):
            for option in options:
                expect("--" + option in section or re.search(r"`-\w", section), "%s --%s is not told" % (command, option))


# ---- tapip's bugs by their numbers: those that a tool shows; the others are unit tests and scripts ----


def case_TapipBug16_calls_that_a_socket_cannot_do_are_refused():
    """tapip called null pointers for _read on UDP, _recv on TCP, _accept on UDP; all of them happen here."""
    with Up("--serve", "echo:7") as up:
        expect(up.tool("nc", "-u", "-q", "1", "127.0.0.1", "7", input="u\n").stdout == "u\n", "UDP")
        expect(up.tool("nc", "-N", "127.0.0.1", "7", input="t\n").stdout == "t\n", "TCP")


def case_TapipBug22_ping_heeds_its_ttl_and_sizes_are_checked():
    with Up("--gateway", KERNEL) as up:
        capture = up.start("capture", "-c", "1", "-w", os.path.join(up.folder, "ttl.pcapng"), "icmp and ip[8] == 9")
        wait_until(lambda: os.path.exists(os.path.join(up.folder, "ttl.pcapng")), "the capture begins")
        time.sleep(0.1)
        up.tool("ping", "-c", "2", "-i", "0.2", "-t", "9", KERNEL)
        capture.communicate(timeout=PATIENCE)
        expect(capture.returncode == 0, "a request with TTL 9 was seen")
        expect(up.tool("ping", "-c", "1", "-s", "65507", KERNEL).returncode == 0, "the longest")
        expect(up.tool("ping", "-c", "1", "-s", "65508", KERNEL, check=False).returncode == 2, "one more")


def case_TapipBug26_more_words_than_tapips_argv_are_taken_or_refused():
    with Up() as up:
        out = up.text("shell", "-c", "sysctl " + " ".join(["net.ipv4.tcp_sack"] * 40))
        expect(out.count("net.ipv4.tcp_sack = 1") == 40, out)
        done = up.tool("shell", "-c", "sysctl " + "x " * 5000, check=False)
        expect(done.returncode == 2 and "too many arguments" in done.stderr, done.stderr)


# ---- the tools beside those they are named after ----


def case_ip_changes_what_it_shows():
    with Up() as up:
        up.tool("ip", "addr", "add", "10.7.0.1/24", "dev", "tap0")
        expect("inet 10.7.0.1/24 brd 10.7.0.255 scope global tap0" in up.text("ip", "addr"), up.text("ip", "addr"))
        expect("10.7.0.0/24 dev tap0 proto kernel scope link src 10.7.0.1" in up.text("ip", "route"), up.text("ip", "route"))
        expect("File exists" in up.refused("ip", "addr", "add", "10.7.0.1/24", "dev", "tap0"), "twice")
        run("ip", "addr", "add", "10.7.0.2/24", "dev", "tap0")
        expect(" 0% packet loss" in run("ping", "-c", "1", "-W", "5", "10.7.0.1").stdout, "it is answered")
        up.tool("ip", "addr", "del", "10.7.0.1/24", "dev", "tap0")
        expect("10.7.0" not in up.text("ip", "addr") + up.text("ip", "route"), "gone")
        up.tool("ip", "neigh", "add", "10.0.0.50", "lladdr", "02:00:00:00:00:50", "dev", "tap0")
        expect("10.0.0.50 dev tap0 lladdr 02:00:00:00:00:50 PERMANENT" in up.text("ip", "neigh"), up.text("ip", "neigh"))
        up.tool("ip", "neigh", "flush", "all")
        expect("PERMANENT" in up.text("ip", "neigh"), "permanent ones stay")
        up.tool("ip", "neigh", "del", "10.0.0.50", "dev", "tap0")
        expect("10.0.0.50" not in up.text("ip", "neigh"), "deleted")
        expect(re.search(r"^2:\ttap0\n\tinet  224\.0\.0\.1$", up.text("ip", "maddr"), re.M), up.text("ip", "maddr"))
        up.tool("ip", "maddr", "add", "239.1.2.3", "dev", "tap0")
        expect("\tinet  239.1.2.3\n" in up.text("ip", "maddr", "show", "dev", "tap0"), up.text("ip", "maddr"))
        expect("File exists" in up.refused("ip", "maddr", "add", "239.1.2.3", "dev", "tap0"), "twice")
        up.tool("ip", "maddr", "del", "239.1.2.3", "dev", "tap0")
        # Linux waits for IGMP's reports before it forgets a group; so do we.
        wait_until(lambda: "239.1.2.3" not in up.text("ip", "maddr"), "it is left")
        for words in (("maddr", "add", "10.0.0.7", "dev", "tap0"), ("maddr", "add", "239.1.2.3"), ("maddr", "del", "239.9.9.9", "dev", "tap0")):
            up.refused("ip", *words)
        up.tool("ip", "link", "set", "tap0", "mtu", "1200")
        expect("mtu 1200" in up.text("ip", "link", "show", "tap0"), "")
        up.tool("ip", "link", "set", "tap0", "down")
        expect("state DOWN" in up.text("ip", "link") and "tap0" not in up.text("ip", "route"), "down")
        expect(run("ping", "-c", "1", "-W", "1", OURS, check=False).returncode != 0, "and silent")
        up.tool("ip", "link", "set", "tap0", "up")
        expect(" 0% packet loss" in run("ping", "-c", "1", "-W", "5", OURS).stdout, "up again")
        for words in (("addr", "add", "300.0.0.1/24", "dev", "tap0"), ("addr", "add", "10.9.9.9/24"), ("route", "add", "nonsense"), ("nosuch",), ("route", "add", "10.1.0.0/16", "via", "99.9.9.9"),
                      ("link", "set", "tap0", "mtu", "9"), ("neigh", "add", "10.0.0.9", "lladdr", "zz", "dev", "tap0"), ("addr", "show", "none0")):
            expect(up.refused("ip", *words).startswith("tapir ip: "), words)


def case_ip_prints_the_same_keys_as_iproute2():
    with Up() as up:
        up.tool("ping", "-c", "1", KERNEL)
        run("ping", "-c", "1", "-W", "5", OURS)
        for words, local in ((("route", "get", OURS), ("route", "get", KERNEL)), (("route", "get", KERNEL), ("route", "get", OURS)), (("route", "get", "127.1.2.3"),) * 2):
            shape = lambda text: text.replace(OURS, "A").replace(KERNEL, "A").replace(" \n", "\n").rstrip()
            expect(shape(run("ip", *words).stdout) == shape(up.text("ip", *local)), (run("ip", *words).stdout, up.text("ip", *local)))
        for words in (("addr",), ("route",), ("neigh",)):
            theirs = json.loads(run("ip", "-j", "-4", *words).stdout)
            ours = json.loads(up.text("ip", "-j", *words))
            known = set().union(*(row.keys() for row in ours))
            # What there is here is called as there.
            for key in set().union(*(row.keys() for row in theirs)) & {"ifindex", "ifname", "flags", "mtu", "operstate", "addr_info", "dst", "dev", "lladdr", "state", "protocol", "scope", "prefsrc"}:
                expect(key in known, "ip %s: %s is missing of %s" % (words, key, known))
        theirs = [line.split(" qdisc")[0] for line in run("ip", "addr", "show", "tap0").stdout.splitlines()[:1]]
        ours = [line.split(" qdisc")[0] for line in up.text("ip", "addr", "show", "tap0").splitlines()[:1]]
        # The same shape: "N: tap0: <FLAGS> mtu 1500".
        shape = lambda line: re.sub(r"^\d+", "N", re.sub("<.*>", "<>", line))
        expect(shape(theirs[0]) == shape(ours[0]), (theirs, ours))


def case_a_new_size_of_the_terminal_ends_no_command():
    with Up() as up:
        shell = Terminal(TAPIR, "shell", "--control", up.control, HOME=up.folder)
        shell.wait_for("tapir> ")
        shell.type("ping -i 0.2 %s\r" % KERNEL)
        shell.wait_for("icmp_seq=2")
        shell.resize(20, 60)
        seen = shell.wait_for("icmp_seq=6")
        expect("interrupted" not in seen and "statistics" not in seen, seen)
        shell.type("\x03")
        seen = shell.wait_for("tapir> ")
        expect("^C\r\n--- %s ping statistics ---" % KERNEL in seen, seen)
        shell.type("ss -x\r")
        seen = shell.wait_for("tapir> ")
        expect("tapir ss: The following argument was not expected: -x" in seen and "^C" not in seen, seen)
        # What Ctrl-C ends leaves the prompt at the begin of a line.
        shell.type("nc -l 7000\r")
        wait_until(lambda: up.listening(7000), "nc listens")
        shell.type("\x03")
        expect(re.search(r"\^C\r\n[^\n]*tapir> $", shell.wait_for("tapir> ")), "on a line of its own")
        shell.type("\x04")
        expect(shell.ended() == 0, "Ctrl-D leaves")


def case_ss_has_sss_columns_and_filters():
    with Up("--serve", "echo:7,http:80=.") as up:
        with socket.create_connection((OURS, 7)) as stream:
            stream.sendall(b"x")
            stream.recv(1)
            # iproute2 writes the last two words of its header together.
            header = lambda text: text.splitlines()[0].replace("PortProcess", "Port Process").split()
            for letters in ("-tn", "-wan", "-tuan"):
                expect(header(up.text("ss", letters)) == header(run("ss", letters).stdout), (letters, up.text("ss", letters)))
            expect(up.json("ss", "-wa") == up.json("ss", "-0a") == [], "no RAW, no packet socket")
            expect(len(up.json("ss", "-t")) == 1, "one established")
            expect({row["local"] for row in up.json("ss", "-lt")} == {"0.0.0.0:7", "0.0.0.0:80"}, "listening")
            expect(len(up.json("ss", "-ta", "sport", "=", ":7")) == 2 and not up.json("ss", "-ta", "sport = :99"), "by port")
            expect(len(up.json("ss", "state", "established", "dst", "10.0.0.0/24")) == 1, "by state and net")
            expect(len(up.json("ss", "-ta", "( sport = :7 or sport = :80 ) and not dst 10.0.0.2")) == 2, "an expression")
            expect('users:(("tapir",pid=%d))' % up.process.pid in up.text("ss", "-tp"), up.text("ss", "-tp"))
            text = up.text("ss", "-tieom")
            expect("cwnd:" in text and "skmem:(r" in text and "sk:" in text, text)
            for words in (("state", "nosuch"), ("sport", "="), ("(",), ("nosuch",)):
                up.refused("ss", *words)


def case_ping_says_what_ping_says():
    with Up() as up:
        shape = lambda text: [re.sub(r"[\d.]+( ?ms)", r"T\1", re.sub(r"= [\d./]+ ms", "= T ms", line)).replace(OURS, "A").replace(KERNEL, "A") for line in text.splitlines()]
        ours, theirs = up.text("ping", "-c", "2", "-i", "0.3", KERNEL), run("ping", "-c", "2", "-i", "0.3", OURS).stdout
        expect(shape(ours) == shape(theirs), (shape(ours), shape(theirs)))


def case_traceroute_finds_routers():
    """stack -- kernel (tap0, router) -- veth -- a second namespace."""
    far = subprocess.Popen(["unshare", "-n", "sleep", "60"])
    try:
        with Up("--gateway", KERNEL) as up:
            run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0")
            wait_until(lambda: os.readlink("/proc/%d/ns/net" % far.pid) != os.readlink("/proc/self/ns/net"), "the namespace")
            run("ip", "link", "set", "far0", "netns", str(far.pid))
            run("ip", "addr", "add", "10.8.0.1/24", "dev", "near0")
            run("ip", "link", "set", "near0", "up")
            inside = ("nsenter", "-t", str(far.pid), "-n")
            run(*inside, "ip", "addr", "add", "10.8.0.2/24", "dev", "far0")
            run(*inside, "ip", "link", "set", "far0", "up")
            run(*inside, "ip", "route", "add", "default", "via", "10.8.0.1")
            for how in ((), ("-I",)):
                lines = up.text("traceroute", *how, "10.8.0.2").splitlines()
                expect(lines[0] == "traceroute to 10.8.0.2 (10.8.0.2), 30 hops max, 60 byte packets", lines)
                expect(re.fullmatch(r" 1  10\.0\.0\.2 \(10\.0\.0\.2\)(  [\d.]+ ms){3}", lines[1]), lines)
                expect(re.fullmatch(r" 2  10\.8\.0\.2 \(10\.8\.0\.2\)(  [\d.]+ ms){3}", lines[2]) and len(lines) == 3, lines)
            hops = [json.loads(line) for line in up.text("traceroute", "--json", "-q", "1", "10.8.0.2").splitlines()]
            expect([hop["hop"] for hop in hops] == [1, 2] and hops[1]["probes"][0]["from"] == "10.8.0.2", hops)
            silent = up.tool("traceroute", "-m", "3", "-w", "0.3", "-q", "2", "10.8.0.99", check=False)
            expect(silent.returncode == 1, silent)
    finally:
        far.kill()
        far.wait()


def case_arping_says_who_has_an_address():
    with Up() as up:
        out = up.text("arping", "-c", "2", "-i", "0.05", KERNEL)
        expect(out.startswith("ARPING 10.0.0.2 from 10.0.0.1 tap0\n"), out)
        expect(re.search(r"^Unicast reply from 10\.0\.0\.2 \[%s\]  [\d.]+ms$" % mac_of("tap0"), out, re.M), out)
        expect("Sent 2 probes (1 broadcast(s))\nReceived 2 response(s)\n" in out, out)
        expect(up.tool("arping", "-c", "1", "-i", "0.2", "10.0.0.99", check=False).returncode == 1, "nobody")
        expect(up.tool("arping", "-D", "-c", "1", KERNEL, check=False).returncode == 1, "-D: taken")
        expect(up.tool("arping", "-D", "-c", "1", "-i", "0.2", "10.0.0.98", check=False).returncode == 0, "-D: free")
        expect("knows no ARP" in up.refused("arping", "127.0.0.1"), "")


def case_nc_both_ways_and_half_closed():
    with Up() as up:
        server = up.start("nc", "-lN", "7008", stdin=subprocess.PIPE)
        wait_until(lambda: up.listening(7008), "nc listens")
        with socket.create_connection((OURS, 7008), timeout=PATIENCE) as stream:
            stream.sendall(b"question\n")
            stream.shutdown(socket.SHUT_WR)
            expect(server.stdout.readline() == b"question\n", "what we said")
            server.stdin.write(b"answer\n")
            server.stdin.close()
            expect(stream.recv(100) == b"answer\n" and stream.recv(1) == b"", "its answer, and its end, after ours")
        server.wait(timeout=PATIENCE)
        nc = up.start("nc", "-w", "1", "10.0.0.99", "7")
        expect(nc.wait(timeout=PATIENCE) == 1, "nobody answers in time")
        nc = up.start("nc", "-lk", "7009", stdin=subprocess.DEVNULL)
        wait_until(lambda: up.listening(7009), "nc -k listens")
        for word in (b"one", b"two"):
            with socket.create_connection((OURS, 7009), timeout=PATIENCE) as stream:
                stream.sendall(word)
        received = b""
        while len(received) < 6:
            received += os.read(nc.stdout.fileno(), 100)
        nc.send_signal(signal.SIGINT)
        nc.wait(timeout=PATIENCE)
        expect(received == b"onetwo", received)
        wait_until(lambda: up.holds("sockets") == 0, "Ctrl-C leaves no socket behind: " + up.text("ss", "-a"))


def case_capture_takes_tcpdumps_expressions_and_comments_on_packets():
    with Up("--serve", "echo:7") as up:
        path = os.path.join(up.folder, "c.pcapng")
        capture = up.start("capture", "-w", path, "tcp and port 7")
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0, "it begins")
        with socket.create_connection((OURS, 7)) as stream:
            stream.sendall(b"hello")
            stream.recv(10)
        run("ping", "-c", "1", "-W", "5", OURS)
        wait_until(lambda: os.path.getsize(path) > 900, "the packets are written")
        time.sleep(0.2)
        capture.send_signal(signal.SIGINT)
        capture.communicate(timeout=PATIENCE)
        data = open(path, "rb").read()
        expect(b"ESTABLISHED cwnd 10 " in data and b"SYN-RECEIVED" in data, "states are in the comments")
        if shutil.which("tshark"):
            lines = run("tshark", "-r", path, "-T", "fields", "-e", "_ws.col.Protocol", "-Y", "frame.comment contains \"ESTABLISHED\"").stdout.split()
            expect(lines and set(lines) <= {"TCP", "ECHO"}, lines)
        expect("is not understood" in up.refused("capture", "tcp", "prot", "7"), "")


def case_up_pcap_comments_on_packets_too():
    folder = tempfile.mkdtemp(prefix="tapir-pcap-")
    path = os.path.join(folder, "all.pcapng")
    try:
        with Up("--serve", "echo:7", "--pcap", path, "--also", "tap1=10.5.0.1/24"):
            with socket.create_connection((OURS, 7)) as stream:
                stream.sendall(b"hello")
                stream.recv(10)
        data = open(path, "rb").read()
        expect(b"ESTABLISHED cwnd 10 " in data and b"SYN-RECEIVED" in data, "states are in the comments")
        expect(b"tap0" in data and b"tap1" in data, "every interface is in it")
        if shutil.which("tshark"):
            seen = run("tshark", "-r", path, "-Y", "frame.comment contains \"ESTABLISHED\"").stdout
            expect("TCP" in seen or "ECHO" in seen, seen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def case_debug_socket_tells_the_calls():
    with Up() as up:
        done = run(TAPIR, "shell", "--control", up.control, "-c", "debug -n socket; nc -d -w 2 %s 9; debug -c" % KERNEL, check=False)
        expect(re.search(r"socket +fd \d+ +socket ", done.stdout), done.stdout)
        expect(re.search(r"socket +fd \d+ +connect +error EINPROGRESS", done.stdout), done.stdout)
        expect(re.search(r"socket +fd \d+ +close +result 0", done.stdout), done.stdout)


def case_nc_moves_bulk_without_waiting():
    """Its two ends are waited on together: nothing polls."""
    with Up() as up:
        server = up.start("nc", "-l", "7010", stdin=subprocess.DEVNULL)
        wait_until(lambda: up.listening(7010), "nc listens")
        began = time.monotonic()
        data = os.urandom(1 << 20) * 16
        with socket.create_connection((OURS, 7010), timeout=PATIENCE) as stream:
            reader = subprocess.Popen(["wc", "-c"], stdin=server.stdout, stdout=subprocess.PIPE)
            stream.sendall(data)
        out, _ = reader.communicate(timeout=PATIENCE)
        server.wait(timeout=PATIENCE)
        expect(int(out) == len(data), "%s of %d bytes" % (out, len(data)))
        # 5 ms for each 64 KB would be more than a second of waiting alone.
        print("%.0f MB/s" % (len(data) / (time.monotonic() - began) / 1e6))


def case_netstat_nstat_sysctl():
    with Up() as up:
        run("ping", "-c", "1", "-W", "5", OURS)
        text = up.text("netstat", "-s")
        for sentence in ("Ip:\n", "total packets received", "Icmp:\n", "echo requests received: 1", "Tcp:\n", "active connection openings", "Udp:\n"):
            expect(sentence in text, (sentence, text))
        expect(up.text("netstat", "-i").splitlines()[0].split()[:2] == ["Iface", "MTU"], up.text("netstat", "-i"))
        expect(up.text("sysctl", "-w", "net.ipv4.tcp_sack=0") == "net.ipv4.tcp_sack = 0\n", "set")
        expect("is no NAME=VALUE" in up.refused("sysctl", "-w", "net.ipv4.tcp_sack"), "")
        expect(up.text("sysctl", "net.ipv4.conf.tap0.rp_filter", "net.ipv4.conf.default.rp_filter") == "net.ipv4.conf.tap0.rp_filter = 0\nnet.ipv4.conf.default.rp_filter = 0\n", "of one interface")


def case_shell_has_its_own_stack_and_scripts():
    out = run(TAPIR, "shell", "-c", "ping -c 1 %s; ip -br addr" % KERNEL)
    expect(" 0% packet loss" in out.stdout and "10.0.0.1/24" in out.stdout and not out.stderr, out)
    expect("tapir0" not in run("ip", "link").stdout and "tap0" not in run("ip", "link").stdout, "the stack went with the shell")
    out = run(TAPIR, "shell", input="# a comment\nss -tan\n\nsysctl 'net.ipv4.tcp_sack' # and another\nexit\nping 10.0.0.2\n")
    expect("State" in out.stdout and "net.ipv4.tcp_sack = 1" in out.stdout and "PING" not in out.stdout, out)
    failed = run(TAPIR, "shell", "-c", "ping -c 1", check=False)
    expect(failed.returncode == 2 and "ADDRESS" in failed.stderr or "destination" in failed.stderr, failed)
    expect(run(TAPIR, "shell", "-c", "nosuch", check=False).returncode == 127, "unknown")
    expect(run(TAPIR, "shell", "--control", "/nonexistent", "-c", "ss", check=False).returncode == 1, "no stack there")
    expect(run(TAPIR, "shell", "--addr", "nonsense", "-c", "ss", check=False).returncode == 2, "what `up` refuses")


def case_shell_takes_keys_from_when_the_prompt_stands():
    with tempfile.TemporaryDirectory() as home:
        shell = Terminal(TAPIR, "shell", HOME=home)
        for _ in range(30):
            shell.wait_for("tapir> ")
            expect(shell.takes_keys(), "the prompt stands, and the terminal still reads lines")
            shell.type("help exit\r")
        shell.wait_for("tapir> ")
        shell.type("\x04")
        expect(shell.ended() == 0, "Ctrl-D leaves")


def case_shell_debug_lines_do_not_disturb_the_prompt():
    with Up() as up:
        shell = Terminal(TAPIR, "shell", "--control", up.control, HOME=up.folder)
        shell.wait_for("tapir> ")
        shell.type("debug -n icmp\r")
        shell.wait_for("tapir> ")
        shell.type("ss -t")
        shell.wait_for("ss -t")
        run("ping", "-c", "1", "-W", "5", OURS)
        seen = shell.wait_for("tapir> ss -t")
        expect("\x1b[35micmp\x1b[0m" in seen, "coloured, and the line is drawn again: %r" % seen)
        shell.type("an\r")
        shell.wait_for("Recv-Q")
        shell.wait_for("tapir> ")
        shell.type("\x04")
        expect(shell.ended() == 0, "Ctrl-D leaves")


CASES = {name[5:]: function for name, function in list(globals().items()) if name.startswith("case_")}


def main():
    case = sys.argv[2]
    if os.environ.get("TAPIR_SHELL_INSIDE") != "1":
        how = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
        if subprocess.run([*how, "true"], capture_output=True).returncode != 0:
            skip("no network namespace can be made here (%s)" % " ".join(how))
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            skip("there is no /dev/net/tun that may be opened")
        for needed in ("ip", "ping", "ss", "nsenter"):
            if not shutil.which(needed):
                skip("there is no program '%s'" % needed)
        with tempfile.TemporaryDirectory(prefix="tapir-shell-") as folder:
            done = subprocess.run([*how, sys.executable, __file__, TAPIR, case],
                                  env={**os.environ, "TAPIR_SHELL_INSIDE": "1", "TAPIR_CONTROL": os.path.join(folder, "default")})
        sys.exit(done.returncode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    CASES[case]()


if __name__ == "__main__":
    main()
