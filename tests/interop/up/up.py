#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tapir up` against the kernel: up.py TAPIR CASE. Runs itself again in a new network namespace; exit 77 = skipped, with a reason."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TAPIR = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
OURS = "10.0.0.1"
CHARGEN_CYCLE = b"".join(bytes(32 + (line + column) % 95 for column in range(72)) + b"\r\n" for line in range(95))


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_until(condition, what, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, "not within %s s: %s" % (seconds, what))
        time.sleep(0.01)


class Up:
    """A stack that runs; its control socket is in a folder of its own."""

    def __init__(self, *arguments, prefix=(), owner=None):
        self.folder = tempfile.mkdtemp(prefix="tapir-up-")
        if owner is not None:
            os.chown(self.folder, owner, owner)
        self.control = os.path.join(self.folder, "control")
        self.process = subprocess.Popen([*prefix, TAPIR, "up", "--control", self.control, *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.banner = ""
        self.read_banner()

    def read_banner(self):
        """The last line of the banner is printed when everything is ready."""
        while "Ctrl-C" not in self.banner:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("tapir up ended at once: " + self.process.stderr.read())
            self.banner += line

    def tool(self, *arguments, check=True, **more):
        done = subprocess.run([TAPIR, arguments[0], "--control", self.control, *arguments[1:]], capture_output=True, text=True, timeout=30, **more)
        if check:
            expect(done.returncode == 0, "tapir %s: %d %s" % (arguments, done.returncode, done.stderr))
        return done

    def json(self, *arguments):
        return json.loads(self.tool(arguments[0], "--json", *arguments[1:]).stdout)

    def end(self, how=signal.SIGTERM):
        began = time.monotonic()
        self.process.send_signal(how)
        output, errors = self.process.communicate(timeout=10)
        self.took = time.monotonic() - began
        expect(self.process.returncode == 0, "tapir up: exit %d: %s" % (self.process.returncode, errors))
        expect(not os.path.exists(self.control), "the control socket is left behind")
        shutil.rmtree(self.folder)
        return output

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()
        elif self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def links():
    return {link["ifname"] for link in json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)}


def connect(port):
    return socket.create_connection((OURS, port), timeout=10)


def read_all(stream, count):
    received = bytearray()
    while len(received) < count:
        chunk = stream.recv(1 << 18)
        if not chunk:
            break
        received += chunk
    return bytes(received)


def exchange(stream, data):
    """Sends `data` and reads as much back, both at once; then half-closes and expects the end."""
    stream.setblocking(False)
    received = bytearray()
    sent = 0
    deadline = time.monotonic() + 30
    while len(received) < len(data):
        expect(time.monotonic() < deadline, "the echo stops at %d of %d bytes" % (len(received), len(data)))
        readable, writable, _ = select.select([stream], [stream] if sent < len(data) else [], [], 5)
        if readable:
            chunk = stream.recv(1 << 18)
            expect(chunk, "the echo ends early")
            received += chunk
        if writable:
            sent += stream.send(data[sent:sent + (1 << 18)])
    stream.setblocking(True)
    expect(bytes(received) == data, "the echo is not what was sent")
    stream.shutdown(socket.SHUT_WR)
    expect(stream.recv(1) == b"", "the end is echoed")


# ---- cases ----

def datagrams():
    with Up("--serve", "echo:7,discard:9,chargen:19") as up:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(5)
        for size in (0, 1, 1000, 1472, 1473, 60000):
            data = os.urandom(size)
            client.sendto(data, (OURS, 7))
            expect(client.recv(65536) == data, "a datagram of %d bytes comes back" % size)
        for _ in range(8):
            client.sendto(b"x", (OURS, 19))
            answer = client.recv(65536)
            expect(len(answer) <= 512 and CHARGEN_CYCLE.startswith(answer), "chargen answers a datagram with its pattern")
        client.sendto(b"gone", (OURS, 9))
        # An echo to a service that answers would never end.
        low = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        low.bind(("10.0.0.2", 19))
        low.settimeout(0.2)
        low.sendto(b"x", (OURS, 7))
        try:
            low.recv(10)
            raise AssertionError("a datagram from a reserved port is answered")
        except socket.timeout:
            pass
        refused = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        refused.connect((OURS, 1234))
        refused.send(b"x")
        refused.settimeout(5)
        try:
            refused.recv(1)
            raise AssertionError("a closed UDP port is refused")
        except ConnectionRefusedError:
            pass
        ping = subprocess.run(["ping", "-c", "3", "-i", "0.05", "-s", "60000", OURS], capture_output=True, text=True)
        expect(" 0% packet loss" in ping.stdout, ping.stdout + ping.stderr)
        expect(up.json("nstat")["UdpNoPorts"] == 1, "the refused datagram is counted")


def echo():
    with Up("--serve", "echo") as up:
        for size in (1, 1000, 3_000_000):
            with connect(7) as stream:
                exchange(stream, os.urandom(size))
        # A client that does not read holds up only itself.
        with connect(7) as greedy, connect(7) as other:
            greedy.setblocking(False)
            try:
                while True:
                    greedy.send(b"x" * 65536)
            except BlockingIOError:
                pass
            exchange(other, b"hello")
        wait_until(lambda: not [s for s in up.json("ss") if s["state"] == "ESTAB"], "the connections end")
        try:
            connect(8)
            raise AssertionError("a closed TCP port is refused")
        except ConnectionRefusedError:
            pass


def steered():
    """While the stack is busy, what the kernel's end receives is handled elsewhere than within its writes for a while, to see where most gets
    through, where that may be set."""
    count = os.sysconf("SC_NPROCESSORS_CONF")
    if count < 2 or sorted(os.sched_getaffinity(0)) != list(range(count)):
        skip("one processor, or some that are not ours")
    in_sysfs = ["unshare", "-m", "sh", "-c"]
    writable = subprocess.run([*in_sysfs, "mount -t sysfs none /sys && echo 0 > /sys/class/net/lo/queues/rx-0/rps_cpus"], capture_output=True)
    if writable.returncode != 0:
        skip("sysfs may not be mounted, or not be written: %s" % writable.stderr.decode())

    def mask():
        read = subprocess.run([*in_sysfs, "mount -t sysfs none /sys && cat /sys/class/net/tapir0/queues/rx-0/rps_cpus"],
                              capture_output=True, text=True, check=True)
        return int(read.stdout.replace(",", ""), 16)

    def send_much(stream, stop):
        with contextlib.suppress(OSError):
            while not stop.is_set():
                stream.sendall(bytes(262144))

    def spent(pid):
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    own = 1 << 1
    with Up("--serve", "discard", prefix=("taskset", "-c", "1")) as up, contextlib.ExitStack() as ends:
        expect(mask() == 0, "nothing is steered yet")
        stop = threading.Event()
        for _ in range(4):   # one sender is no match for the stack
            sender = threading.Thread(target=send_much, args=(ends.enter_context(connect(9)), stop))
            sender.start()
            ends.callback(sender.join)
        ends.callback(stop.set)
        began, spent_before = time.monotonic(), spent(up.process.pid)
        seen = set()
        while not {0, own} <= seen:
            seen.add(mask())
            if time.monotonic() > began + 20:
                busy = (spent(up.process.pid) - spent_before) / (time.monotonic() - began)
                if busy < 0.6:   # 0.36 beside three busy programs, 0.8 otherwise
                    skip("the machine has other things to do: the stack had %.2f of a processor" % busy)
                raise AssertionError("a busy stack (%.2f of a processor) has seen the masks %s" % (busy, seen))


def discard():
    with Up("--serve", "discard:9") as up:
        with connect(9) as stream:
            for _ in range(200):
                stream.sendall(b"\0" * 262144)
            stream.shutdown(socket.SHUT_WR)
            expect(stream.recv(1) == b"", "discard closes when the client has")
        expect(up.json("nstat")["TcpPassiveOpens"] == 1, "one connection")


def chargen():
    with Up("--serve", "chargen:19"):
        with connect(19) as stream:
            data = read_all(stream, 5_000_000)
            expect(data == (CHARGEN_CYCLE * (len(data) // len(CHARGEN_CYCLE) + 1))[:len(data)], "RFC 864's pattern")
        with connect(19) as stream:
            stream.shutdown(socket.SHUT_WR)
            expect(len(read_all(stream, 500_000)) >= 500_000, "a client that has shut down its sending still gets")


def web_site(folder):
    big = os.urandom(1 << 20) * 30
    os.mkdir(os.path.join(folder, "sub"))
    for name, data in (("big.bin", big), ("sub/page.html", b"<p>hello"), ("a b&c.txt", b"blank"), ("empty", b"")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    os.symlink("/etc/passwd", os.path.join(folder, "escape"))
    os.mkfifo(os.path.join(folder, "fifo"))
    return big


def http_case():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
        big = web_site(folder)
        with Up("--serve", "http:80=" + folder):
            target = os.path.join(out, "big")
            subprocess.run(["curl", "-sS", "--fail", "-o", target, "http://%s/big.bin" % OURS], check=True, timeout=30)
            with open(target, "rb") as file:
                expect(hashlib.sha256(file.read()).digest() == hashlib.sha256(big).digest(), "30 MB come through whole")
            client = http.client.HTTPConnection(OURS, timeout=10)
            for path, status, body in (("/sub/page.html", 200, b"<p>hello"), ("/a%20b%26c.txt", 200, b"blank"), ("/empty", 200, b""), ("/none", 404, None), ("/sub/page.html?x=1", 200, b"<p>hello")):
                client.request("GET", path)
                used = client.sock
                answer = client.getresponse()
                data = answer.read()
                expect(answer.status == status and (body is None or data == body), "GET %s: %d %r" % (path, answer.status, data[:80]))
                expect(client.sock is used, "the connection is kept")
            client.request("HEAD", "/big.bin")
            answer = client.getresponse()
            expect(answer.status == 200 and int(answer.headers["Content-Length"]) == len(big) and answer.read() == b"", "HEAD")
            client.request("GET", "/")
            answer = client.getresponse().read().decode()
            expect('href="./a%20b%26c.txt">a b&amp;c.txt<' in answer and 'href="./sub/"' in answer, "the index: " + answer)
            client.request("GET", "/sub")
            answer = client.getresponse()
            answer.read()
            expect(answer.status == 301 and answer.headers["Location"] == "sub/", "a folder without its slash")
            with open(os.path.join(folder, "sub", "index.html"), "w", encoding="utf-8") as file:
                file.write("index")
            client.request("GET", "/sub/")
            expect(client.getresponse().read() == b"index", "index.html stands for its folder")
            # Two requests in one segment: two answers, in order; the second ends the connection.
            with connect(80) as stream:
                stream.sendall(b"GET /sub/page.html HTTP/1.1\r\nHost: x\r\n\r\nGET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = read_all(stream, 1 << 20)
                expect(answer.count(b"HTTP/1.1 200 OK") == 2 and b"<p>helloHTTP/1.1" in answer, "pipelining: %r" % answer)


def http_refuses():
    with tempfile.TemporaryDirectory() as folder:
        web_site(folder)
        with Up("--serve", "http:8080=" + os.path.join(folder, "sub"), "--serve", "http:80=" + folder):
            def ask(port, request):
                with connect(port) as stream:
                    stream.sendall(request)
                    return read_all(stream, 1 << 20)
            for path in (b"/../big.bin", b"/%2e%2e/big.bin", b"/..%2fbig.bin", b"//../big.bin", b"/page.html/../../big.bin"):
                answer = ask(8080, b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
                expect(re.match(rb"HTTP/1.1 40[34] ", answer), "%r is refused: %r" % (path, answer[:80]))
            for request, status in ((b"GET /escape HTTP/1.0\r\n\r\n", 403), (b"GET /fifo HTTP/1.0\r\n\r\n", 403), (b"POST / HTTP/1.0\r\n\r\n", 405), (b"nonsense\r\n\r\n", 400),
                                    (b"GET / HTTP/2.0\r\n\r\n", 505), (b"GET /%zz HTTP/1.0\r\n\r\n", 400), (b"GET /%00 HTTP/1.0\r\n\r\n", 400), (b"GET x HTTP/1.0\r\n\r\n", 400),
                                    (b"GET / HTTP/1.1\r\nx\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nx: " + b"y" * 9000 + b"\r\n\r\n", 431)):
                answer = ask(80, request)
                expect(answer.startswith(b"HTTP/1.1 %d " % status), "%r: %r" % (request[:40], answer[:80]))


def many_connections():
    with Up("--serve", "echo:7,http:80=.") as up:
        count = 500
        streams = [connect(7) for _ in range(count)]
        for round_trip in range(3):
            for stream in streams:
                stream.send(b"%d" % round_trip)
            for stream in streams:
                expect(stream.recv(10) == b"%d" % round_trip, "each its own echo")
        expect(len([s for s in up.json("ss", "-t") if s["state"] == "ESTAB"]) == count, "ss shows them all")
        for stream in streams:
            stream.close()
        wait_until(lambda: not [s for s in up.json("ss", "-t") if s["state"] == "ESTAB"], "all are closed")


def tools():
    with Up("--serve", "echo:7,discard:9") as up, connect(7) as stream:
        stream.send(b"x")
        stream.recv(1)
        text = up.tool("ss", "-a").stdout
        expect(re.search(r"LISTEN\s+0\s+\d+\s+0\.0\.0\.0:7\b", text) and re.search(r"ESTAB\s+0\s+0\s+10\.0\.0\.1:7\s+10\.0\.0\.2:\d+", text), text)
        expect("LISTEN" not in up.tool("ss").stdout and "ESTAB" not in up.tool("ss", "-l").stdout, "ss -l")
        expect("cwnd:" in up.tool("ss", "-t", "-i").stdout, "ss -i")
        expect({s["netid"] for s in up.json("ss", "-u", "-a")} == {"udp"}, "ss -u")
        text = up.tool("nstat").stdout
        expect(re.search(r"^TcpPassiveOpens\s+1\s", text, re.M), text)
        expect(list(up.json("nstat", "TcpPassive*")) == ["TcpPassiveOpens"] and "TcpExtSyncookiesSent" in up.json("nstat", "-z"), "patterns, -z")
        up.tool("nstat", "--drops")
        text = up.tool("ping", "-c", "3", "-i", "0.05", "10.0.0.2").stdout
        expect(len(re.findall(r"64 bytes from 10\.0\.0\.2: icmp_seq=\d ttl=64 time=[\d.]+ ms", text)) == 3 and "3 packets transmitted, 3 received, 0% packet loss" in text and "rtt min/avg/max/mdev" in text, text)
        lines = [json.loads(line) for line in up.tool("ping", "--json", "-c", "2", "-i", "0.05", "-s", "60000", "10.0.0.2").stdout.splitlines()]
        expect(lines[-1]["summary"]["received"] == 2 and lines[0]["bytes"] == 60008, lines)
        done = up.tool("ping", "-c", "1", "-W", "5", "10.0.0.77", check=False)
        expect(done.returncode == 1 and "Destination Host Unreachable" in done.stdout and "+1 errors" in done.stdout, done.stdout)
        done = up.tool("ping", "-c", "1", "8.8.8.8", check=False)
        expect(done.returncode == 1 and "unreachable" in done.stderr, done.stderr)
        expect(up.tool("sysctl", "net.ipv4.tcp_syn_retries").stdout == "net.ipv4.tcp_syn_retries = 6\n", "sysctl NAME")
        expect(up.tool("sysctl", "net.ipv4.tcp_syn_retries=3", "-n").stdout == "3\n" and up.json("sysctl", "net/ipv4/tcp_syn_retries") == {"net.ipv4.tcp_syn_retries": "3"}, "sysctl NAME=VALUE")
        expect(len(up.json("sysctl", "-a")) > 30 and len(up.json("sysctl", "net.core")) > 0, "sysctl -a and the front of names")
        for argument in ("net.ipv4.none", "net.ipv4.tcp_syn_retries=many"):
            done = up.tool("sysctl", argument, check=False)
            expect(done.returncode == 1 and done.stderr, "sysctl " + argument)


def ended_by_interrupt(process):
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=5)
    return process.returncode, output, errors


def streams():
    with Up("--serve", "echo:7,chargen:19") as up:
        def start(*arguments, text=True):
            return subprocess.Popen([TAPIR, arguments[0], "--control", up.control, *arguments[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text)

        def talk():
            with connect(7) as stream:
                exchange(stream, b"hello")

        def lines_of(process, count, expression):
            """The first `count` lines that match, while somebody talks."""
            found = []
            deadline = time.monotonic() + 10
            while len(found) < count:
                expect(time.monotonic() < deadline, "lines like %s" % expression)
                talk()
                while len(found) < count and select.select([process.stdout], [], [], 0.1)[0]:
                    line = os.read(process.stdout.fileno(), 65536).decode()
                    found += [l for l in line.splitlines() if re.search(expression, l)]
            return found

        capture = start("capture", "-p", "7")
        lines_of(capture, 2, r"tapir0 < 10\.0\.0\.2:\d+ > 10\.0\.0\.1:7 S 0:0\(0\) win \d+ <mss 1460,")
        code, _, errors = ended_by_interrupt(capture)
        expect(code == 0, "Ctrl-C ends a capture: %d %s" % (code, errors))
        trace = start("trace", "--layer", "tcp")
        lines_of(trace, 2, r"tcp .*ESTABLISHED")
        code, _, errors = ended_by_interrupt(trace)
        expect(code == 0, "Ctrl-C ends a trace: %d %s" % (code, errors))
        ping = start("ping", "-i", "0.05", "10.0.0.2")
        lines_of(ping, 2, "icmp_seq")
        code, output, errors = ended_by_interrupt(ping)
        expect(code == 0 and "0% packet loss" in output, "Ctrl-C ends a ping with its summary: %d %s %s" % (code, output, errors))
        # In pcapng, to a pipe, with the bulk of chargen: nothing is lost but by the bound, and the stack goes on.
        capture = start("capture", "-w", "-", "-c", "2000", text=False)
        header = capture.stdout.read(4)
        with connect(19) as stream:
            read_all(stream, 40_000_000)
        with connect(7) as stream:
            exchange(stream, b"still there")
        with connect(19) as stream:
            while capture.poll() is None and select.select([capture.stdout], [], [], 0)[0]:
                if not os.read(capture.stdout.fileno(), 1 << 20):
                    break
                stream.recv(1 << 18)
        expect(header == b"\x0a\x0d\x0d\x0a", "a section header begins the file")
        capture.terminate()
        capture.stdout.close()   # it may wait for us to read
        capture.wait(5)
        # The reader of a pipe that goes ends the capture, and the stack.
        capture = start("capture")
        capture.stdout.close()
        deadline = time.monotonic() + 5
        while capture.poll() is None:
            expect(time.monotonic() < deadline, "a capture whose reader is gone ends")
            talk()
            time.sleep(0.05)
        # A running stream does not hold up the end.
        trace = start("trace")
        talk()
    trace.wait(5)


def pcap():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "all.pcapng")
        with Up("--serve", "echo:7", "--pcap", file) as up:
            live = os.path.join(folder, "live.pcapng")
            capture = subprocess.Popen([TAPIR, "capture", "--control", up.control, "-w", live], stderr=subprocess.PIPE)
            wait_until(lambda: os.path.exists(live) and os.path.getsize(live) > 0, "the capture begins")
            with connect(7) as stream:
                exchange(stream, b"hello")
            wait_until(lambda: os.path.getsize(live) > 1000, "the capture fills")
            expect(ended_by_interrupt(capture)[0] == 0, "Ctrl-C ends it")
        if not shutil.which("tshark"):
            skip("there is no tshark to read the files")
        for each in (file, live):
            done = subprocess.run(["tshark", "-r", each, "-o", "tcp.check_checksum:FALSE", "-T", "fields", "-e", "tcp.flags.str", "-e", "tcp.len", "-e", "_ws.malformed", "-Y", "tcp"], capture_output=True, text=True)
            rows = [line.split("\t") for line in done.stdout.splitlines()]
            expect(len(rows) >= 8 and "S" in rows[0][0] and all(len(row) < 3 or not row[2] for row in rows), "%s: %s %s" % (each, done.stdout, done.stderr))
            expect(["5"] * 2 == [row[1] for row in rows if row[1] != "0"], "hello both ways: %s" % rows)


def impaired_by_config():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "up.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write('dev = "bad0"\naddr = "10.9.0.1/24"\nmtu = 1400\nserve = ["echo:7", "discard"]\n'
                      'impair = "loss 2%, delay 1ms, reorder 1%, duplicate 1%, corrupt 0.1%"\n[sysctl]\n"net.ipv4.tcp_syn_retries" = 2\n')
        with Up("--config", file, "--addr", "10.0.0.1/24", "--sysctl", "net.ipv4.tcp_synack_retries=1") as up:
            expect("bad0" in links() and "10.0.0.1/24" in up.banner and "MTU 1400" in up.banner, up.banner)
            with connect(7) as stream:
                exchange(stream, os.urandom(500_000))
            expect(up.json("sysctl", "net.ipv4.tcp_syn_retries", "net.ipv4.tcp_synack_retries") == {"net.ipv4.tcp_syn_retries": "2", "net.ipv4.tcp_synack_retries": "1"}, "both sources of sysctls")


def packet_device():
    subprocess.run(["ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"], check=True)
    subprocess.run(["ip", "addr", "add", "10.0.0.2/24", "dev", "veth0"], check=True)
    subprocess.run(["ip", "link", "set", "veth0", "up"], check=True)
    subprocess.run(["ip", "link", "set", "veth1", "up"], check=True)
    with Up("--dev", "packet:veth1", "--serve", "echo:7") as up:
        with connect(7) as stream:
            exchange(stream, os.urandom(1_000_000))
        expect("10.0.0.2" in up.tool("ping", "-c", "1", "10.0.0.2").stdout, "ping")
    expect("veth1" in links(), "an interface that was there stays")


def private_namespace():
    if os.geteuid() != 0:
        skip("to become a user who may open /dev/net/tun and no more takes root")
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    if subprocess.run([*user, TAPIR, "--version"], capture_output=True).returncode != 0:
        skip("other users cannot run " + TAPIR)
    before = links()
    with tempfile.TemporaryDirectory() as folder:
        # In a mount namespace of its own, the device is everybody's.
        everybodys = ("unshare", "-m", "--", "sh", "-c", 'mknod -m 666 "$0/tun" c 10 200 && mount --bind "$0/tun" /dev/net/tun && exec "$@"', folder)
        os.chmod(folder, 0o777)
        with Up("--serve", "echo:7", prefix=(*everybodys, *user), owner=65534) as up:
            expect(links() == before, "nothing is made in the caller's namespace")
            found = re.search(r"nsenter (-t \d+ .*-n) ping 10\.0\.0\.1", up.banner)
            expect(found and "new user and network namespace" in up.banner, up.banner)
            done = subprocess.run([*user, "nsenter", *found.group(1).split(), "ping", "-c", "1", OURS], capture_output=True, text=True)
            expect(done.returncode == 0, done.stdout + done.stderr)


def ends():
    took = []
    for how in (signal.SIGINT, signal.SIGTERM):
        for arguments in ((), ("--serve", "echo:7,chargen:19,http:80=.")):
            up = Up(*arguments)
            expect("tapir0" in links(), "the interface is there")
            streams_open = []
            if arguments:
                streams_open = [connect(19) for _ in range(3)] + [connect(7)]
                streams_open[0].recv(1000)
            up.end(how)
            took.append(up.took)
            expect("tapir0" not in links(), "the interface is gone")
            for stream in streams_open:
                stream.close()
    # The machine may be busy for one of them.
    expect(min(took) < 1, "it took %s s to end" % took)


def errors():
    with tempfile.TemporaryDirectory() as folder:
        bad = os.path.join(folder, "bad.toml")
        with open(bad, "w", encoding="utf-8") as out:
            out.write('dev = "tap7"\n\nimpair = "loss"\n')
        unknown = os.path.join(folder, "unknown.toml")
        with open(unknown, "w", encoding="utf-8") as out:
            out.write('dev = "tap7"\nservice = "echo"\n')
        syntax = os.path.join(folder, "syntax.toml")
        with open(syntax, "w", encoding="utf-8") as out:
            out.write('dev = \n')
        plain = os.path.join(folder, "plain")
        with open(plain, "w", encoding="utf-8"):
            pass
        subprocess.run(["ip", "tuntap", "add", "taken0", "mode", "tun"], check=True)
        subprocess.run(["ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"], check=True)
        subprocess.run(["ip", "addr", "add", "10.5.0.1/24", "dev", "veth0"], check=True)
        with Up("--dev", "first0", "--addr", "10.6.0.1/24") as running:
            cases = (
                (("--addr", "10.0.0"), 2, "--addr: '10.0.0' is no IPv4 address"),
                (("--addr", "10.0.0.0/24"), 2, "no address that a host can have"),
                (("--addr", "10.0.0.1/24", "--addr", "10.0.0.1/8"), 2, "given twice"),
                (("--peer", "10.0.0.1/24"), 2, "the stack's own address"),
                (("--gateway", "10.1.0.1"), 2, "none of the stack's networks"),
                (("--mtu", "10"), 2, "10 is no MTU"),
                (("--serve", "finger:79"), 2, "'finger:79' is no service"),
                (("--serve", "echo:70000"), 2, "from 1 to 65535"),
                (("--serve", "http:80"), 2, "which folder"),
                (("--serve", "http:80=/nonexistent"), 1, "cannot be served"),
                (("--serve", "echo:7,discard:7"), 1, "port 7 of the stack is in use"),
                (("--impair", "loss 200%"), 2, "--impair: "),
                (("--sysctl", "x"), 2, "is no NAME=VALUE"),
                (("--sysctl", "net.ipv4.nothing=1"), 1, "--sysctl: .*net.ipv4.nothing"),
                (("--config", bad), 2, "bad.toml:3: impair: "),
                (("--config", unknown), 2, "unknown.toml:2: there is no option 'service'"),
                (("--config", syntax), 2, "syntax.toml:1: "),
                (("--config", folder + "/none.toml"), 2, "cannot be read"),
                (("--dev", "averyverylongname"), 2, "1 to 15 characters"),
                (("--dev", "usb:0"), 2, "is no device"),
                (("--dev", "packet:none0"), 1, "none0"),
                (("--dev", "taken0"), 1, "taken0"),
                (("--dev", "first0"), 1, "first0 is in use"),
                (("--addr", "10.5.0.9/24"), 1, "veth0 .* has 10.5.0.1"),
                (("--control", running.control), 1, "is served by another program already"),
                (("--control", plain), 1, "no socket"),
                (("--control", folder + "/none/control"), 1, "cannot be made"),
                (("--pcap", folder + "/none/x.pcapng"), 1, "cannot be written"),
                (("--nonsense",), 2, "nonsense"),
            )
            for arguments, code, expression in cases:
                control = [] if "--control" in arguments else ["--control", os.path.join(folder, "control")]
                done = subprocess.run([TAPIR, "up", *control, *arguments], capture_output=True, text=True, timeout=10)
                expect(done.returncode == code and re.search(expression, done.stderr), "%s: exit %d: %s" % (arguments, done.returncode, done.stderr))
                if code == 1:
                    expect(len(done.stderr.strip().splitlines()) == 1, "one sentence: " + done.stderr)
            expect("tapir0" not in links(), "nothing is left of what failed")
        denied = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", TAPIR, "up", "--control", "/tmp/none"], capture_output=True, text=True, timeout=10)
        # The test may be run from a folder that this user cannot enter.
        if "tapir up: " in denied.stderr:
            expect(denied.returncode == 1 and "/dev/net/tun" in denied.stderr or "namespace" in denied.stderr, denied.stderr)


def nobody_serves():
    with tempfile.TemporaryDirectory() as folder:
        control = os.path.join(folder, "control")
        for arguments in (("ss",), ("nstat",), ("ping", "10.0.0.2"), ("sysctl", "-a"), ("capture",), ("trace",)):
            done = subprocess.run([TAPIR, arguments[0], "--control", control, *arguments[1:]], capture_output=True, text=True, timeout=10)
            expect(done.returncode == 1 and "no stack serves the control socket" in done.stderr and not done.stdout, "%s: %d %s" % (arguments, done.returncode, done.stderr))


CASES = {"http": http_case, **{case.__name__: case for case in (datagrams, echo, steered, discard, chargen, http_refuses, many_connections, tools, streams, pcap, impaired_by_config,
                                                             packet_device, private_namespace, ends, errors, nobody_serves)}}


def main():
    case = sys.argv[2]
    if os.environ.get("TAPIR_UP_INSIDE") != "1":
        how = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
        if subprocess.run([*how, "true"], capture_output=True).returncode != 0:
            skip("no network namespace can be made here (%s)" % " ".join(how))
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            skip("there is no /dev/net/tun that may be opened")
        for needed in ("ip", "ping", "curl", "setpriv", "nsenter", "taskset"):
            if not shutil.which(needed):
                skip("there is no program '%s'" % needed)
        os.execvpe(how[0], [*how, sys.executable, __file__, TAPIR, case], {**os.environ, "TAPIR_UP_INSIDE": "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    CASES[case]()


if __name__ == "__main__":
    main()
