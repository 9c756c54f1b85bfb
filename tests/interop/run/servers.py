# SPDX-License-Identifier: Apache-2.0
"""Servers on tapir, clients on the kernel."""

import http.client
import json
import re
import socket
import threading

from clients import certificate, nginx
from harness import *


def fetch(url, folder, name="got"):
    need("curl")
    run(["curl", "-sSf", "-m", "40", "-o", folder / name, url])
    return hash_of(folder / name)


def many_at_once(path, digest, count=50):
    """`count` downloads at the same time by the kernel."""
    results = []

    def get():
        connection = http.client.HTTPConnection(OURS, 8000, timeout=30)
        connection.request("GET", path)
        results.append(hashlib.sha256(connection.getresponse().read()).hexdigest())

    threads = [threading.Thread(target=get, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    expect(results == [digest] * count, "%d of %d downloads are right" % (results.count(digest), count))


def case_python_http_server():
    with Folder(file=50 << 20, small=10000) as folder, running(tapir(PYTHON, "-m", "http.server", "8000"), cwd=folder.path):
        wait_for_port(8000)
        expect(fetch("http://%s:8000/file" % OURS, folder) == folder.hashes["file"], "the download differs")
        many_at_once("/small", folder.hashes["small"])


def case_python_asyncio():
    """Streams echoed by asyncio, which mixes our sockets and the kernel's socketpair in one epoll set."""
    with Folder() as folder:
        script = write(folder / "echo.py", """
import asyncio
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '0.0.0.0', 8000)
    async with server:
        await server.serve_forever()
asyncio.run(main())
""")
        with running(tapir(PYTHON, script)):
            wait_for_port(8000)
            echo_many(8000)


def echo_many(port, connections=20, size=1 << 20):
    payload = os.urandom(size)
    results = []

    def once():
        with socket.create_connection((OURS, port), timeout=30) as s:
            threading.Thread(target=lambda: (s.sendall(payload), s.shutdown(socket.SHUT_WR)), daemon=True).start()
            back = b""
            while piece := s.recv(1 << 16):
                back += piece
            results.append(back == payload)

    threads = [threading.Thread(target=once, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    expect(results == [True] * connections, "%d of %d echoes are right" % (results.count(True), connections))


def case_python_threads():
    """A thread per connection, blocking calls."""
    with Folder() as folder:
        script = write(folder / "echo.py", """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100
Server(('0.0.0.0', 8000), Echo).serve_forever()
""")
        with running(tapir(PYTHON, script)):
            wait_for_port(8000)
            echo_many(8000)


def case_nginx():
    need("nginx", "curl")
    with Folder(small=600, file=50 << 20) as folder, nginx(folder, OURS, 8000, tapir) as server:
        wait_for_port(8000)
        expect(fetch("http://%s:8000/file" % OURS, folder) == folder.hashes["file"], "the download differs")
        many_at_once("/small", folder.hashes["small"])
        server.send_signal(signal.SIGTERM)
        expect(server.wait(timeout=4) == 0, "nginx ends on SIGTERM: %s" % server.returncode)


def case_nginx_proxy():
    """One of our sockets in, another out."""
    need("nginx", "curl")
    with Folder(index=5 << 20) as folder:
        os.rename(folder / "index", folder / "index.html")
        with kernel_http(folder, 9000), nginx(folder, OURS, 8000, tapir):
            wait_for_kernel(9000)
            wait_for_port(8000)
            expect(fetch("http://%s:8000/via" % OURS, folder) == folder.hashes["index"], "what came through the proxy differs")


def case_redis_server():
    need("redis-server", "redis-cli", "redis-benchmark")
    with Folder() as folder, running(tapir("redis-server", "--protected-mode", "no", "--bind", "0.0.0.0", "--save", "", "--dir", folder.path)):
        wait_for_port(6379)
        cli = ["redis-cli", "-h", OURS]
        expect(run([*cli, "set", "animal", "tapir"]).stdout.strip() == b"OK", "set")
        expect(run([*cli, "get", "animal"]).stdout.strip() == b"tapir", "get")
        big = os.urandom(300000).hex().encode()
        run([*cli, "-x", "set", "big"], input=big)
        expect(run([*cli, "get", "big"]).stdout.strip() == big, "a value of 600 kB")
        done = run(["redis-benchmark", "-h", OURS, "-t", "set,get,lrange_100", "-n", "20000", "-P", "4", "-q"])
        expect(done.stdout.count(b"requests per second") >= 3, "redis-benchmark printed %r" % done.stdout)


def case_futex_calls():
    """A request costs no futex(2): what the program's thread makes of them is bounded by the service thread's ticks, one a millisecond,
    at each of which the two may meet at the lock."""
    need("redis-server", "redis-benchmark", "redis-cli", "strace")
    requests = 40000
    with Folder() as folder:
        # Only futex(2) stops for strace: all other calls run at their speed.
        strace = ["strace", "-f", "--seccomp-bpf", "-e", "trace=futex", "-o", folder / "calls"]
        with running(tapir(*strace, "redis-server", "--protected-mode", "no", "--bind", "0.0.0.0", "--save", "", "--dir", folder.path)) as server:
            wait_for_port(6379)
            with open(folder / "calls") as file:
                main_thread = file.readline().split()[0]
                before = sum(line.split()[0] == main_thread for line in file)
            began = time.monotonic()
            run(["redis-benchmark", "-h", OURS, "-t", "get", "-c", "50", "-n", str(requests), "-q"])
            milliseconds = (time.monotonic() - began) * 1000
            run(["redis-cli", "-h", OURS, "shutdown", "nosave"], check=False)     # strace keeps SIGTERM to itself
            server.wait(timeout=30)
        with open(folder / "calls") as file:
            made = sum(line.split()[0] == main_thread for line in file) - before
    print("%d futex calls of the main thread for %d requests in %d ms" % (made, requests, milliseconds))
    expect(made < 2 * milliseconds and made < requests / 4, "%d futex calls for %d requests in %d ms" % (made, requests, milliseconds))


def iperf_server(*arguments):
    need("iperf3")
    with Folder() as folder:
        control = folder / "control"
        with running(tapir("iperf3", "-s", options=("--control", control))):
            # Not by a connection: that would be a client to it, whose end it answers by listening anew, and the next is reset.
            wait_until(lambda: b":5201" in run([TAPIR, "ss", "-tl", "--control", control], check=False).stdout, "iperf3 listens")
            done = run(["iperf3", "-J", "-c", OURS, "-t", "2", *arguments])
        end = json.loads(done.stdout)["end"]
        expect(end["sum_received"]["bits_per_second"] > 1e8, "iperf3 %s: %s" % (arguments, end["sum_received"]))


def case_iperf3_server_receives():
    iperf_server()


def case_iperf3_server_sends():
    iperf_server("-R")


def case_memcached():
    """Four threads, each with an epoll set and an eventfd of the kernel's in it."""
    need("memcached")
    with running(tapir("memcached", "-u", "root", "-t", "4", "-l", "0.0.0.0", "-U", "0")):
        wait_for_port(11211)
        errors = []

        def client(number):
            try:
                with socket.create_connection((OURS, 11211), timeout=20) as s:
                    file = s.makefile("rwb")
                    for i in range(200):
                        value = os.urandom(500).hex().encode()
                        file.write(b"set k%d 0 0 %d\r\n%s\r\nget k%d\r\n" % (number, len(value), value, number))
                        file.flush()
                        lines = [file.readline() for _ in range(4)]
                        expect(lines[0] == b"STORED\r\n" and lines[2] == value + b"\r\n" and lines[3] == b"END\r\n", "memcached: %r" % lines)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
        expect(not errors and not any(thread.is_alive() for thread in threads), "memcached's clients: %s" % errors)


def case_haproxy():
    need("haproxy", "curl")
    with Folder(file=20 << 20) as folder, kernel_http(folder, 9000):
        config = write(folder / "haproxy.cfg", """
global
  nbthread 2
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend in
  bind 0.0.0.0:8000
  default_backend out
backend out
  server one %s:9000
""" % KERNELS)
        wait_for_kernel(9000)
        with running(tapir("haproxy", "-db", "-f", config)):
            wait_for_port(8000)
            expect(fetch("http://%s:8000/file" % OURS, folder) == folder.hashes["file"], "what came through haproxy differs")


def case_socat_server():
    need("socat", "nc")
    with running(tapir("socat", "TCP-LISTEN:7000,reuseaddr", "PIPE")) as server:
        wait_until(lambda: run(["nc", "-z", OURS, "9"], check=False).returncode == 1, "the stack answers")
        text = b"".join(b"line %d\n" % i for i in range(1000))
        done = None

        def once():
            nonlocal done
            done = run(["nc", "-N", "-w", "10", OURS, "7000"], input=text, check=False)
            return done.returncode == 0
        wait_until(once, "nc reaches socat")
        expect(done.stdout == text, "socat's echo differs")
        expect(server.wait(timeout=10) == 0, "socat ends with %s" % server.returncode)


def case_node_server():
    need("node", "curl")
    with Folder(file=20 << 20) as folder:
        script = write(folder / "serve.js", """
const http = require('http'), fs = require('fs');
http.createServer((request, response) => fs.createReadStream('%s').pipe(response)).listen(8000, '0.0.0.0');
""" % (folder / "file"))
        with running(tapir("node", script)):
            wait_for_port(8000)
            expect(fetch("http://%s:8000/" % OURS, folder) == folder.hashes["file"], "node's answer differs")


def case_dnsmasq():
    """UDP, with IP_PKTINFO. Over TCP dnsmasq answers only at addresses that netlink shows, and those are the kernel's."""
    need("dnsmasq", "dig")
    with running(tapir("dnsmasq", "-k", "-u", "root", "--no-resolv", "--no-hosts", "-p", "5300", "--pid-file=", "--address=/tapir.test/10.9.8.7")):
        def ask(name):
            return run(["dig", "@" + OURS, "-p", "5300", "+short", "+time=1", "+tries=1", name], check=False).stdout.strip()
        wait_until(lambda: ask("a.tapir.test") == b"10.9.8.7", "dnsmasq answers dig")
        for i in range(50):
            expect(ask("b%d.tapir.test" % i) == b"10.9.8.7", "the answer about b%d" % i)


def case_openssl_server():
    need("openssl")
    with Folder(file=1 << 20) as folder:
        certificate(folder)
        with running(tapir("openssl", "s_server", "-quiet", "-4", "-accept", "4433", "-cert", folder / "cert", "-key", folder / "key", "-WWW"), cwd=folder.path):
            wait_for_port(4433)
            done = run(["openssl", "s_client", "-quiet", "-CAfile", folder / "cert", "-verify_return_error", "-connect", "%s:4433" % OURS],
                       input=b"GET /file HTTP/1.0\r\n\r\n")
            expect(hashlib.sha256(done.stdout.split(b"\r\n\r\n", 1)[1]).hexdigest() == folder.hashes["file"], "s_server's file differs")
