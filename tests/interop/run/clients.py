# SPDX-License-Identifier: Apache-2.0
"""Clients on tapir, servers on the kernel."""

import re
import socket
import subprocess
import threading

from harness import *


def download(megabytes):
    need("curl")
    with Folder(file=megabytes << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        run(tapir("curl", "-sSf", "-m", "100", "-o", folder / "got", url + "file"), timeout=110)
        expect(hash_of(folder / "got") == folder.hashes["file"], "the download differs")


def case_curl():
    download(50)


def case_curl_gigabyte():
    download(1024)


def case_curl_parallel():
    need("curl")
    with Folder(file=1 << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        asked = []
        for i in range(50):
            asked += ["-o", folder / ("got%d" % i), url + "file"]
        run(tapir("curl", "-sSf", "-m", "40", "--parallel", "--parallel-max", "50", *asked))
        for i in range(50):
            expect(hash_of(folder / ("got%d" % i)) == folder.hashes["file"], "download %d differs" % i)


def case_curl_upload():
    need("curl")
    received = {}

    def take(listener):
        connection, _ = listener.accept()
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, body = data.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
            if re.search(rb"(?i)expect: 100-continue", head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            digest = hashlib.sha256(body)
            left = length - len(body)
            while left > 0:
                piece = connection.recv(1 << 20)
                expect(piece, "the upload ended early")
                digest.update(piece)
                left -= len(piece)
            received["hash"] = digest.hexdigest()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with Folder(file=20 << 20) as folder, socket.create_server((KERNELS, 8000)) as listener:
        thread = threading.Thread(target=take, args=(listener,), daemon=True)
        thread.start()
        run(tapir("curl", "-sSf", "-m", "40", "-T", folder / "file", "http://%s:8000/file" % KERNELS))
        thread.join(10)
        expect(received.get("hash") == folder.hashes["file"], "the upload differs")


def case_wget():
    need("wget")
    with Folder(file=20 << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        run(tapir("wget", "-q", "--tries=1", "-T", "20", "-O", folder / "got", url + "file"))
        expect(hash_of(folder / "got") == folder.hashes["file"], "the download differs")


def case_nc():
    """What nc sends just before it ends arrives, all of it."""
    need("nc")
    got = []
    with Folder(file=3 << 20) as folder, socket.create_server((KERNELS, 7000)) as listener:
        def take():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"welcome\n")
                data = b""
                while piece := connection.recv(65536):
                    data += piece
                got.append(hashlib.sha256(data).hexdigest())
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        with open(folder / "file", "rb") as file:
            done = run(tapir("nc", "-N", KERNELS, "7000"), stdin=file)
        thread.join(10)
        expect(done.stdout == b"welcome\n", "nc printed %r" % done.stdout)
        expect(got == [folder.hashes["file"]], "what nc sent differs")


def case_socat():
    need("socat")
    with running(["socat", "TCP-LISTEN:7000,bind=%s,reuseaddr" % KERNELS, "PIPE"]):
        wait_for_kernel(7000)
        text = b"".join(b"line %d\n" % i for i in range(1000))
        done = run(tapir("socat", "-t", "5", "-", "TCP:%s:7000" % KERNELS), input=text)
        expect(done.stdout == text, "socat's echo differs")


def iperf(*arguments):
    need("iperf3")
    with running(["iperf3", "-s", "-1", "-B", KERNELS]):
        wait_for_kernel(5201)
        done = run(tapir("iperf3", "-J", "-c", KERNELS, "-t", "2", *arguments))
        import json
        end = json.loads(done.stdout)["end"]
        expect(end["sum_received"]["bits_per_second"] > 1e8, "iperf3 %s: %s" % (arguments, end["sum_received"]))


def case_iperf3_sends():
    iperf()


def case_iperf3_receives():
    iperf("-R")


def case_iperf3_eight():
    iperf("-P", "8")


def case_iperf3_udp():
    need("iperf3")
    with running(["iperf3", "-s", "-1", "-B", KERNELS]):
        wait_for_kernel(5201)
        run(tapir("iperf3", "-c", KERNELS, "-u", "-b", "50M", "-t", "1"))


def case_redis_client():
    need("redis-server", "redis-cli", "redis-benchmark")
    with Folder() as folder, running(["redis-server", "--bind", KERNELS, "--protected-mode", "no", "--save", "", "--dir", folder.path]):
        wait_for_kernel(6379)
        done = run(tapir("redis-cli", "-h", KERNELS, "set", "animal", "tapir"))
        expect(done.stdout.strip() == b"OK", "redis-cli printed %r" % done.stdout)
        done = run(tapir("redis-cli", "-h", KERNELS, "get", "animal"))
        expect(done.stdout.strip() == b"tapir", "redis-cli printed %r" % done.stdout)
        done = run(tapir("redis-benchmark", "-h", KERNELS, "-t", "get", "-n", "20000", "-q"))
        expect(b"requests per second" in done.stdout, "redis-benchmark printed %r" % done.stdout)


def case_wrk():
    """Threads, each with an epoll set of its own."""
    need("wrk", "nginx")
    with Folder(small=600) as folder, nginx(folder, KERNELS, 8000):
        wait_for_kernel(8000)
        done = run(tapir("wrk", "-t2", "-c32", "-d2s", "http://%s:8000/small" % KERNELS))
        expect(b"Socket errors" not in done.stdout and b"Non-2xx" not in done.stdout, done.stdout.decode())
        rate = float(re.search(rb"Requests/sec: *([0-9.]+)", done.stdout).group(1))
        expect(rate > 500, "%s requests a second" % rate)


def nginx(folder, address, port, prefix=lambda *command: command):
    """nginx in one process; a context manager."""
    write(folder / "nginx.conf", """
daemon off; master_process off; worker_processes 1; pid %(path)s/pid; error_log stderr warn; user root;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; client_body_temp_path %(path)s; proxy_temp_path %(path)s;
  fastcgi_temp_path %(path)s; uwsgi_temp_path %(path)s; scgi_temp_path %(path)s;
  server { listen %(address)s:%(port)d; root %(path)s; location = /via { proxy_pass http://%(kernels)s:9000/; } }
}
""" % {"path": folder.path, "address": address, "port": port, "kernels": KERNELS})
    os.chmod(folder.path, 0o755)
    return running(list(prefix("nginx", "-e", "stderr", "-p", folder.path, "-c", folder / "nginx.conf")))


def case_node_client():
    need("node")
    with Folder(file=5 << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        script = write(folder / "get.js", """
const http = require('http'), crypto = require('crypto');
let left = 10;
for (let i = 0; i < 10; i++) http.get('%sfile', response => {
  const hash = crypto.createHash('sha256');
  response.on('data', piece => hash.update(piece));
  response.on('end', () => { console.log(hash.digest('hex')); });
});
""" % url)
        done = run(tapir("node", script))
        expect(done.stdout.decode().split() == [folder.hashes["file"]] * 10, "node printed %r" % done.stdout)


def case_dig():
    """Names over UDP, and over TCP, from the kernel's dnsmasq."""
    need("dig", "dnsmasq")
    with running(["dnsmasq", "-k", "-u", "root", "--no-resolv", "--no-hosts", "-p", "5300", "--pid-file=", "--address=/tapir.test/10.9.8.7"]):
        for more in ([], ["+tcp"]):
            def asked():
                done = run(tapir("dig", "@" + KERNELS, "-p", "5300", "+short", "+time=2", "+tries=1", *more, "a.tapir.test"), check=False)
                return done.stdout.strip() == b"10.9.8.7"
            wait_until(asked, "dig %s answers" % more)


def certificate(folder):
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tapir", "-keyout", folder / "key", "-out", folder / "cert", "-days", "2"])


def case_openssl_client():
    need("openssl")
    with Folder(file=1 << 20) as folder:
        certificate(folder)
        with running(["openssl", "s_server", "-quiet", "-accept", "%s:4433" % KERNELS, "-cert", folder / "cert", "-key", folder / "key", "-WWW"],
                     cwd=folder.path):
            wait_for_kernel(4433)
            done = run(tapir("openssl", "s_client", "-quiet", "-CAfile", folder / "cert", "-verify_return_error", "-connect", "%s:4433" % KERNELS),
                       input=b"GET /file HTTP/1.0\r\n\r\n")
            expect(hashlib.sha256(done.stdout.split(b"\r\n\r\n", 1)[1]).hexdigest() == folder.hashes["file"], "s_client's file differs")


def case_ssh_client():
    need("ssh", "dropbear", "dropbearkey", "ssh-keygen")
    with Folder(file=5 << 20) as folder:
        os.chmod(folder.path, 0o700)
        run(["dropbearkey", "-t", "ed25519", "-f", folder / "host"])
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id"])
        os.mkdir(folder / ".ssh", 0o700)
        shutil.copy(folder / "id.pub", folder / ".ssh/authorized_keys")
        os.chmod(folder / ".ssh/authorized_keys", 0o600)
        home = os.path.expanduser("~root")
        if os.geteuid() != 0 or not os.access(home, os.W_OK):
            skip("dropbear takes its keys from root's home")
        kept = os.path.join(home, ".ssh/authorized_keys")
        if os.path.exists(kept):
            skip("root has keys of his own")
        made = not os.path.isdir(os.path.dirname(kept))
        os.makedirs(os.path.dirname(kept), 0o700, exist_ok=True)
        shutil.copy(folder / "id.pub", kept)
        os.chmod(kept, 0o600)
        try:
            with running(["dropbear", "-F", "-E", "-r", folder / "host", "-p", "%s:2200" % KERNELS]):
                wait_for_kernel(2200)
                done = run(tapir("ssh", "-F", "none", "-p", "2200", "-i", folder / "id", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                                 "-o", "BatchMode=yes", "root@" + KERNELS, "sha256sum " + folder / "file"))
                expect(done.stdout.split()[0].decode() == folder.hashes["file"], "ssh printed %r" % done.stdout)
        finally:
            os.unlink(kept)
            if made:
                os.rmdir(os.path.dirname(kept))
