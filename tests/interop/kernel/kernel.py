#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The kernel's programs against tapir over TAP: kernel.py TAPIR PEER CASE. Runs itself again in network and process namespaces of its
own, so that nothing outlives it, however it ends; exit 77 = skipped, with a reason."""

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "up"))
from up import CHARGEN_CYCLE, OURS, TAPIR, Up, connect, exchange, links, read_all, skip, wait_until  # noqa: E402

PEER = os.path.abspath(sys.argv[2])
THEIRS = "10.0.0.2"
NEEDED = ("ip", "nc", "curl", "ping")


def established(up):
    return [row for row in up.json("ss", "-t") if row["state"] != "LISTEN"]


def listens(port):
    with open("/proc/net/tcp", encoding="ascii") as table:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in table.readlines()[1:])


class Kernel(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tapir-kernel-")
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, size):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            for _ in range(0, size, 1 << 20):
                file.write(os.urandom(min(size - file.tell(), 1 << 20)))
        return path

    def digest(self, path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()

    def run_peer(self, port, data):
        """A program on tapir that connects to the kernel: (exit code, what it received, its errors)."""
        with subprocess.Popen([PEER, "peer0", OURS + "/24", THEIRS, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as peer:
            self.addCleanup(peer.kill)
            self.assertEqual(peer.stdout.readline(), b"ready\n")
            subprocess.run(["ip", "addr", "add", THEIRS + "/24", "dev", "peer0"], check=True)
            subprocess.run(["ip", "link", "set", "peer0", "up"], check=True)
            output, errors = peer.communicate(b"\n" + data, timeout=30)
            return peer.returncode, output, errors.decode()

    def nc_to_tapir(self):
        sent = self.file("sent", 5_000_000)
        with Up("--serve", "echo:7") as up:
            got = os.path.join(self.folder, "got")
            with open(sent, "rb") as source, open(got, "wb") as target:
                subprocess.run(["nc", "-N", OURS, "7"], stdin=source, stdout=target, check=True, timeout=30)
            self.assertEqual(self.digest(got), self.digest(sent))
            wait_until(lambda: all(row["state"] == "TIME-WAIT" for row in established(up)), "the connection ends")

    def tapir_to_nc(self):
        kernels = self.file("kernels", 3_000_000)
        ours = os.urandom(2_000_000)
        got = os.path.join(self.folder, "got")
        with open(kernels, "rb") as source, open(got, "wb") as target, subprocess.Popen(["nc", "-l", "-N", "5000"], stdin=source, stdout=target) as nc:
            self.addCleanup(nc.kill)
            wait_until(lambda: listens(5000), "nc listens")
            code, received, errors = self.run_peer(5000, ours)
            self.assertEqual(code, 0, errors)
            self.assertEqual(nc.wait(10), 0)
        self.assertEqual(hashlib.sha256(received).hexdigest(), self.digest(kernels))
        self.assertEqual(self.digest(got), hashlib.sha256(ours).hexdigest())

    def curl(self):
        web = os.path.join(self.folder, "web")
        os.mkdir(web)
        page = self.file("web/page", 50_000_000)
        with Up("--serve", "http:80=" + web):
            got = os.path.join(self.folder, "got")
            subprocess.run(["curl", "-sS", "--fail", "-o", got, "http://%s/page" % OURS], check=True, timeout=40)
            self.assertEqual(self.digest(got), self.digest(page))

    def pings(self):
        with Up() as up:
            ping = subprocess.run(["ping", "-c", "5", "-i", "0.05", "-s", "60000", OURS], capture_output=True, text=True, check=False)
            self.assertIn(" 0% packet loss", ping.stdout)
            self.assertIn(" 0% packet loss", up.tool("ping", "-c", "5", "-i", "0.05", "-s", "60000", THEIRS).stdout)
            # With the MTU of the path in one piece, and of the largest size there is.
            for size in (1472, 65507):
                ping = subprocess.run(["ping", "-c", "1", "-s", str(size), OURS], capture_output=True, text=True, check=False)
                self.assertIn(" 0% packet loss", ping.stdout)

    def bulk(self):
        with Up("--serve", "discard:9,chargen:19") as up:
            with connect(9) as stream:
                block = bytes(1 << 20)
                for _ in range(100):
                    stream.sendall(block)
                stream.shutdown(socket.SHUT_WR)
                self.assertEqual(stream.recv(1), b"")
            with connect(19) as stream:
                data = read_all(stream, 50_000_000)
            cycles = len(data) // len(CHARGEN_CYCLE)
            self.assertEqual(hashlib.sha256(data[:cycles * len(CHARGEN_CYCLE)]).digest(), hashlib.sha256(CHARGEN_CYCLE * cycles).digest())
            wait_until(lambda: not [row for row in established(up) if row["state"] != "TIME-WAIT"], "both connections end")

    def refused(self):
        with Up("--serve", "echo:7") as up:
            with self.assertRaises(ConnectionRefusedError):
                connect(8)
            self.assertEqual(up.json("nstat")["TcpOutRsts"], 1)
        code, _, errors = self.run_peer(5001, b"")
        self.assertEqual((code, errors), (3, "connect: ECONNREFUSED\n"))

    def kernel_end_killed(self):
        script = {
            # In the middle of sending: the kernel sends FIN, or RST when something was not read.
            "sends": "import socket; s = socket.create_connection(('%s', 9)); print(flush=True)\nwhile True: s.sendall(bytes(1 << 20))" % OURS,
            # In the middle of receiving: RST.
            "receives": "import socket; s = socket.create_connection(('%s', 19)); s.recv(1000000); print(flush=True)\nwhile True: s.recv(1000)" % OURS,
            # Stopped with a closed window; killed, its kernel answers the next probe with RST at once.
            "stalls": "import socket, time; s = socket.create_connection(('%s', 19)); print(flush=True); time.sleep(60)" % OURS,
        }
        with Up("--serve", "echo:7,discard:9,chargen:19") as up:
            for name, text in script.items():
                with self.subTest(name), subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as client:
                    self.addCleanup(client.kill)
                    client.stdout.readline()
                    wait_until(lambda: [row for row in established(up) if row["state"] == "ESTAB"], "the connection is there")
                    client.send_signal(signal.SIGKILL)
                    client.wait(5)
                    wait_until(lambda: not [row for row in established(up) if row["state"] != "TIME-WAIT"], "the connection goes away")
            with connect(7) as stream:
                exchange(stream, b"still there")

    def tapir_killed(self):
        up = Up("--serve", "discard:9,chargen:19")
        self.addCleanup(lambda: up.process.kill())  # whichever runs then
        self.addCleanup(shutil.rmtree, up.folder, ignore_errors=True)
        with connect(9) as sends, connect(19) as receives:
            for stream in (sends, receives):
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
                stream.settimeout(20)
            sends.sendall(bytes(10_000_000))
            self.assertEqual(len(read_all(receives, 1_000_000)) >= 1_000_000, True)
            up.process.send_signal(signal.SIGKILL)
            up.process.wait(5)
            wait_until(lambda: "tapir0" not in links(), "the interface goes with its program")
            with self.assertRaises(OSError) as caught:
                deadline = time.monotonic() + 20
                while time.monotonic() < deadline:
                    sends.sendall(bytes(1_000_000))
            self.assertIn(caught.exception.errno, (errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN))
        # What is left of the killed one is in nobody's way.
        up.process = subprocess.Popen(up.process.args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        up.banner = ""
        up.read_banner()
        with connect(9) as stream:
            stream.sendall(b"again")
        up.end()


def main():
    case = sys.argv[3]
    if os.environ.get("TAPIR_KERNEL_INSIDE") != "1":
        how = ["unshare", "-n" if os.geteuid() == 0 else "-Urn", "-p", "-f", "--kill-child", "--mount-proc"]
        if subprocess.run([*how, "true"], capture_output=True, check=False).returncode != 0:
            skip("no namespaces can be made here (%s)" % " ".join(how))
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            skip("there is no /dev/net/tun that may be opened")
        for needed in NEEDED:
            if not shutil.which(needed):
                skip("there is no program '%s'" % needed)
        os.execvpe(how[0], [*how, sys.executable, "-B", __file__, TAPIR, PEER, case], {**os.environ, "TAPIR_KERNEL_INSIDE": "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    result = unittest.TextTestRunner().run(Kernel(case))
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
