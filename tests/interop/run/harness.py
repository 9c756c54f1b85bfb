# SPDX-License-Identifier: Apache-2.0
"""What the cases of run.py share: a namespace of the test's own, programs of the kernel's and under `tapir run`, files and folders."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TAPIR = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
OURS = "10.0.0.1"
KERNELS = "10.0.0.2"
PYTHON = "/usr/bin/python3"


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def need(*programs):
    """Skips the case when a program is not installed."""
    for program in programs:
        if shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None:
            skip("%s is not installed (./dev setup programs)" % program)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_until(condition, what, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, "not within %s s: %s" % (seconds, what))
        time.sleep(0.02)


def enter_namespace():
    """Runs the test again in a network namespace of its own; in there the kernel is the peer."""
    if os.environ.get("TAPIR_TEST_NAMESPACE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if not os.path.exists("/dev/net/tun"):
        skip("there is no /dev/net/tun")
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        skip("no network namespace may be made here")
    os.environ["TAPIR_TEST_NAMESPACE"] = "1"
    os.execvp(unshare[0], [*unshare, PYTHON, *sys.argv])


def tapir(*arguments, options=()):
    """The command line of a program under `tapir run`."""
    return [TAPIR, "run", "-q", "--addr", OURS + "/24", "--peer", KERNELS + "/24", *options, "--", *arguments]


def run(command, timeout=50, check=True, **more):
    done = subprocess.run(command, capture_output=True, timeout=timeout, **more)
    if check:
        expect(done.returncode == 0, "%s: exit %d\n%s\n%s" % (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:]))
    return done


@contextlib.contextmanager
def running(command, **more):
    """A server: ended by SIGTERM when the case is done, and by SIGKILL when that does not help."""
    log = tempfile.TemporaryFile()
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)
    try:
        yield process
    except BaseException:
        log.seek(0)
        sys.stderr.write("--- %s said:\n%s\n" % (command, log.read()[-4000:].decode(errors="replace")))
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def accepts(address, port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((address, port)) == 0


def wait_for_port(port, address=OURS):
    wait_until(lambda: accepts(address, port), "a server at %s:%d" % (address, port))


def kernel_listens(port):
    """Without a connection that a server of one connection would count."""
    with open("/proc/net/tcp") as table:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in table.readlines()[1:])


def wait_for_kernel(port):
    wait_until(lambda: kernel_listens(port), "a server of the kernel's at port %d" % port)


class Folder:
    """A folder with random files, by name and size."""

    def __init__(self, **sizes):
        self.path = tempfile.mkdtemp(prefix="tapir-run-")
        self.hashes = {}
        for name, size in sizes.items():
            digest = hashlib.sha256()
            with open(self / name, "wb") as file:
                while size > 0:
                    piece = os.urandom(min(size, 1 << 20))
                    file.write(piece)
                    digest.update(piece)
                    size -= len(piece)
            self.hashes[name] = digest.hexdigest()

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)


def hash_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


@contextlib.contextmanager
def kernel_http(folder, port=8000):
    """A web server of the kernel's."""
    with running([PYTHON, "-m", "http.server", "--bind", KERNELS, str(port)], cwd=folder.path):
        yield "http://%s:%d/" % (KERNELS, port)


def prepare_namespace():
    """Lets a server of the kernel's bind to the address of its end before a program under tapir makes the device. And who asks for
    our MAC before the program has its stack asks again soon."""
    write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1")
    with contextlib.suppress(OSError):
        write("/proc/sys/net/ipv4/neigh/default/retrans_time_ms", "50")
