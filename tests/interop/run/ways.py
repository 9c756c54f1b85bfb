# SPDX-License-Identifier: Apache-2.0
"""What a program may do with sockets besides data: mixed waits, forks, signals, stdio, syscall(), rules, and how `tapir run` ends."""

import threading

from harness import *


def python(text, *arguments, options=(), check=True, **more):
    """Runs a Python program under tapir."""
    with Folder() as folder:
        return run(tapir(PYTHON, write(folder / "program.py", text), *arguments, options=options), check=check, **more)


def case_mixed_waits():
    """poll, select and epoll over a socket of tapir's and one of the kernel's: each wakes it, alone and while it waits."""
    python("""
import os, select, socket, threading
listener = socket.create_server(('127.0.0.1', 0))
a = socket.create_connection(listener.getsockname()); b, _ = listener.accept()
r, w = os.pipe()
u, v = socket.socketpair()

def with_poll(milliseconds):
    p = select.poll(); p.register(a, select.POLLIN); p.register(r, select.POLLIN); p.register(u, select.POLLIN)
    return {fd for fd, _ in p.poll(milliseconds)}
def with_select(milliseconds):
    return {x if isinstance(x, int) else x.fileno() for x in select.select([a, r, u], [], [], milliseconds / 1000)[0]}
e = select.epoll(); e.register(a, select.EPOLLIN); e.register(r, select.EPOLLIN); e.register(u, select.EPOLLIN)
def with_epoll(milliseconds):
    return {fd for fd, _ in e.poll(milliseconds / 1000)}
def outer(milliseconds):
    ready = select.select([e], [], [], milliseconds / 1000)[0]
    return with_epoll(0) if ready else set()

makers = {a.fileno(): lambda: b.send(b'x'), r: lambda: os.write(w, b'x'), u.fileno(): lambda: v.send(b'x')}
takers = {a.fileno(): lambda: a.recv(1), r: lambda: os.read(r, 1), u.fileno(): lambda: u.recv(1)}
for wait in (with_poll, with_select, with_epoll, outer):
    assert wait(0) == set(), wait
    assert wait(20) == set(), wait
    for fd in makers:
        makers[fd]()
        assert wait(5000) == {fd}, (wait, fd)
        takers[fd]()
        timer = threading.Timer(0.05, makers[fd]); timer.start()
        assert wait(5000) == {fd}, (wait, fd)
        timer.join(); takers[fd]()
    for fd in makers: makers[fd]()
    got = set()
    for _ in range(100): got |= wait(1000)
    assert got == set(makers), (wait, got)
    for fd in makers: takers[fd]()
    # Two threads wait, of which one drives: each is woken by its own.
    found = []
    threads = [threading.Thread(target=lambda: found.append(wait(5000))) for _ in range(2)]
    for t in threads: t.start()
    makers[r](); makers[a.fileno()]()
    for t in threads: t.join(10)
    assert len(found) == 2 and all(found), found
    takers[r](); takers[a.fileno()]()
""")


def case_numbers():
    """Numbers of ours are the kernel's too: the lowest free, doubled, closed, closed in bulk, looked at."""
    with socket.create_server((KERNELS, 9100)) as listener:
        def greet():
            connection, _ = listener.accept()
            connection.sendall(b"hello")
            connection.close()
        threading.Thread(target=greet, daemon=True).start()
        done = python("""
import fcntl, os, socket, stat, errno
s = socket.socket()
n = s.fileno()
assert stat.S_ISSOCK(os.fstat(n).st_mode) and not os.isatty(n)
try: os.lseek(n, 0, 0); assert False
except OSError as e: assert e.errno == errno.ESPIPE
assert fcntl.fcntl(n, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
d = os.dup(n); assert d > n
s.bind(('0.0.0.0', 9999)); s.listen()
other = socket.socket(fileno=d)
assert other.getsockname() == ('0.0.0.0', 9999)
s.close()
assert other.getsockname() == ('0.0.0.0', 9999)
os.dup2(d, 100); third = socket.socket(fileno=100)
other.close()
assert third.getsockname()[1] == 9999
r, w = os.pipe()
os.dup2(r, 100)
again = socket.socket(); again.bind(('0.0.0.0', 9999)); again.listen()   # the last number of it was replaced: the port is free
os.write(w, b'y'); assert os.read(100, 1) == b'y'
os.closerange(3, 10000)
try: os.fstat(again.fileno()); assert False
except OSError: pass
after = socket.socket(); after.bind(('0.0.0.0', 9999)); assert after.fileno() < 20, after.fileno()
c = socket.create_connection(('10.0.0.2', int(__import__('sys').argv[1])))   # the device outlived closerange()
print(c.recv(5).decode())
again.detach(); third.detach()
""", "9100")
        expect(done.stdout.strip() == b"hello", "after closerange(): %r" % done.stdout)


def case_children():
    """A child that only executes or ends is harmless, by fork, vfork or posix_spawn; one that uses a socket of ours is told."""
    done = python("""
import errno, os, socket, subprocess, sys
listener = socket.create_server(('127.0.0.1', 0))
a = socket.create_connection(listener.getsockname()); b, _ = listener.accept()
def alive():
    a.send(b'ping'); assert b.recv(4) == b'ping'
alive()
for _ in range(20):
    assert subprocess.run(['/bin/echo', 'x'], capture_output=True).stdout == b'x\\n'          # vfork, close_range
    assert os.system('true') == 0
    assert os.popen('echo y').read() == 'y\\n'
    assert os.waitpid(os.posix_spawn('/bin/true', ['true'], os.environ), 0)[1] == 0
    alive()
pid = os.fork()
if pid == 0:
    try: a.send(b'x'); os._exit(1)
    except OSError as e: status = 0 if e.errno == errno.EBADF else 2
    a.close(); b.close()
    os._exit(status)
assert os.waitpid(pid, 0)[1] == 0
alive()
""")
    expect(done.stderr.count(b"tapir: a child process uses a socket") == 1, "the child was told: %r" % done.stderr)


def case_daemon():
    """To go to the background before the first socket works."""
    with Folder() as folder:
        script = write(folder / "daemon.py", """
import os, socket, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for fd in range(3, 4096):
    try: os.close(fd)
    except OSError: pass
s = socket.create_server(('0.0.0.0', 8000))
open('%s', 'w').write(str(os.getpid()))
c, _ = s.accept(); c.sendall(b'from the background'); c.close()
""" % (folder / "pid"))
        subprocess.run(tapir(PYTHON, script), check=True, timeout=20)
        wait_until(lambda: os.path.exists(folder / "pid"), "the background process")
        with socket.create_connection((OURS, 8000), timeout=10) as s:
            expect(s.recv(100) == b"from the background", "its answer")


def case_one_after_another():
    """A shell hands the device on: each program has a stack of its own."""
    need("curl")
    with Folder(file=1 << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        run(tapir("sh", "-c", "curl -sSf -m 10 -o %s/one %sfile && curl -sSf -m 10 -o %s/two %sfile" % (folder.path, url, folder.path, url)))
        expect(hash_of(folder / "one") == hash_of(folder / "two") == folder.hashes["file"], "the downloads differ")


def case_signals():
    """EINTR and SA_RESTART as on Linux; a handler runs while a call waits."""
    python("""
import errno, signal, socket, time
listener = socket.create_server(('127.0.0.1', 0))
a = socket.create_connection(listener.getsockname()); b, _ = listener.accept()
ran = []
class Ended(Exception): pass
def handler(*_): ran.append(1); raise Ended
signal.signal(signal.SIGALRM, handler)
for call in (lambda: a.recv(1), lambda: listener.accept(), lambda: time.sleep(0) or a.recv(1, socket.MSG_WAITALL)):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.monotonic()
    try: call(); assert False
    except Ended: pass
    assert time.monotonic() - began < 2
signal.signal(signal.SIGALRM, lambda *_: (ran.append(2), b.send(b'z')))
signal.setitimer(signal.ITIMER_REAL, 0.05)
assert a.recv(1) == b'z' and ran[-1] == 2      # Python repeats what EINTR ended
""")


def case_handlers():
    """A handler may use sockets whatever it interrupts."""
    need("gcc")
    with Folder() as folder:
        source = write(folder / "handlers.c", r"""
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
static int pair_out, alarm_out;
static volatile sig_atomic_t runs;
static void on_alarm(int signal) { (void)signal; runs++; if (send(alarm_out, "!", 1, MSG_DONTWAIT) != 1) _exit(9); }
static void connected(int* a, int* b) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof name;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  bind(listener, (void*)&name, size); listen(listener, 1); getsockname(listener, (void*)&name, &size);
  *a = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(*a, (void*)&name, size) != 0) _exit(8);
  *b = accept(listener, 0, 0); close(listener);
}
int main(void) {
  int pair_in, alarm_in; char byte;
  connected(&pair_out, &pair_in); connected(&alarm_out, &alarm_in);
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, 0);
  struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, 0);
  for (int i = 0; i < 20000; i++) {   /* interrupts calls in the midst of their work */
    while (send(pair_out, "x", 1, 0) != 1) if (errno != EINTR) return 1;
    while (recv(pair_in, &byte, 1, 0) != 1) if (errno != EINTR) return 2;
  }
  setitimer(ITIMER_REAL, &never, 0);
  if (runs == 0) return 3;
  action.sa_flags = SA_RESTART; sigaction(SIGALRM, &action, 0);
  setitimer(ITIMER_REAL, &often, 0);
  if (fork() == 0) { usleep(100000); _exit(0); }
  shutdown(pair_out, SHUT_WR);
  if (recv(pair_in, &byte, 1, 0) != 0) return 5;
  struct timeval limit = {0, 100000};
  setsockopt(alarm_in, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setitimer(ITIMER_REAL, &never, 0);
  int left = runs;
  while (left > 0) { char many[4096]; long got = recv(alarm_in, many, sizeof many, 0); if (got <= 0) return 6; left -= (int)got; }
  return 0;
}
""")
        run(["gcc", "-O2", "-o", folder / "handlers", source])
        run(tapir(folder / "handlers"))


def case_cancelled_threads():
    """Threads that are cancelled at any moment leave the stack whole."""
    need("gcc")
    with Folder() as folder:
        source = write(folder / "cancel.c", r"""
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
static int a, b;
static void* busy(void* none) { char byte; for (;;) { if (send(a, "x", 1, 0) != 1 || recv(b, &byte, 1, 0) != 1) return none; } }
static void* waits(void* none) { char byte; recv(a, &byte, 1, 0); for (;;) pause(); return none; }
int main(void) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof name;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  bind(listener, (void*)&name, size); listen(listener, 1); getsockname(listener, (void*)&name, &size);
  a = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(a, (void*)&name, size) != 0) return 1;
  b = accept(listener, 0, 0);
  for (int i = 0; i < 200; i++) {
    pthread_t thread; void* result; char bytes[8];
    pthread_create(&thread, 0, busy, 0);
    usleep((unsigned)(i % 20) * 50);
    pthread_cancel(thread);
    if (pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED) return 2;
    recv(b, bytes, sizeof bytes, MSG_DONTWAIT);
  }
  pthread_t thread; void* result;
  pthread_create(&thread, 0, waits, 0);
  usleep(20000);
  pthread_cancel(thread);
  send(b, "y", 1, 0);                  /* it is cancelled when its call is over, at the latest */
  if (pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED) return 3;
  return 0;
}
""")
        run(["gcc", "-O2", "-pthread", "-o", folder / "cancel", source])
        run(tapir(folder / "cancel"))


def case_sigpipe():
    done = python("""
import signal, socket, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
listener = socket.create_server(('127.0.0.1', 0))
a = socket.create_connection(listener.getsockname()); b, _ = listener.accept()
b.close()
for _ in range(100): a.send(b'x'); time.sleep(0.01)
""", check=False)
    expect(done.returncode == -signal.SIGPIPE, "it ends by SIGPIPE: %s" % done)


def case_stdio_and_syscall():
    """fdopen(3) on a socket, and syscall(2) with one."""
    need("gcc")
    with Folder() as folder:
        source = write(folder / "stdio.c", r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof name;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  bind(listener, (void*)&name, size);
  listen(listener, 1);
  getsockname(listener, (void*)&name, &size);
  int a = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
  if (connect(a, (void*)&name, size) != 0) return 1;
  int b = accept(listener, NULL, NULL);
  FILE* out = fdopen(a, "w");
  FILE* in = fdopen(b, "r");
  if (fileno(out) != a) return 2;
  fprintf(out, "line %d\n", 7);
  fflush(out);
  char line[100];
  if (fgets(line, sizeof line, in) == NULL || strcmp(line, "line 7\n") != 0) return 3;
  if (syscall(SYS_sendto, b, "raw", 3, 0, NULL, 0) != 3) return 4;
  if (syscall(SYS_read, a, line, sizeof line) != 3) return 5;
  fclose(out);
  if (fgets(line, sizeof line, in) != NULL || !feof(in)) return 6;
  if (syscall(SYS_close, b) != 0 || syscall(SYS_close, b) == 0) return 7;
  return 0;
}
""")
        run(["gcc", "-O2", "-D_FORTIFY_SOURCE=2", "-o", folder / "stdio", source])
        run(tapir(folder / "stdio"))


def case_rules():
    """--except and --only leave sockets to the kernel."""
    need("curl")
    with Folder(file=1 << 20) as folder, running([PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "8000"], cwd=folder.path):
        wait_for_kernel(8000)
        for options in (["--except", "127.0.0.0/8"], ["--only", "tcp:80,9000-9100"]):
            run(tapir("curl", "-sSf", "-m", "10", "-o", folder / "got", "http://127.0.0.1:8000/file", options=options))
            expect(hash_of(folder / "got") == folder.hashes["file"], "the download differs")
        done = run(tapir("curl", "-sS", "-m", "10", "http://127.0.0.1:8000/file"), check=False)
        expect(done.returncode == 7, "tapir's own loopback has no such server: %s" % done)


def case_ends():
    """Exit status, signals, and what is left of it all."""
    expect(run(tapir("sh", "-c", "exit 42"), check=False).returncode == 42, "the exit status")
    expect(run(tapir("sh", "-c", "kill -9 $$"), check=False).returncode == -9, "the signal")
    expect(run(tapir("/no/such/program"), check=False).returncode == 127, "no such program")
    process = subprocess.Popen(tapir(PYTHON, "-c", "import socket,time; s=socket.create_server(('0.0.0.0',8000)); print('up',flush=True); time.sleep(60)"),
                               stdout=subprocess.PIPE)
    process.stdout.readline()
    process.terminate()
    expect(process.wait(timeout=10) == -signal.SIGTERM, "SIGTERM is the program's: %s" % process.returncode)
    links = run(["ip", "-o", "link"]).stdout.decode()
    expect("tapir" not in links, "an interface is left: " + links)


def case_private_namespace():
    """Without CAP_NET_ADMIN the device is in a new user and network namespace, and it says so."""
    need("setpriv")
    if os.geteuid() != 0 or run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-w", "/dev/net/tun"], check=False).returncode != 0:
        skip("/dev/net/tun is root's alone")
    done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", TAPIR, "run", "--", "cat", "/proc/net/dev"], check=False)
    if b"may not be made" in done.stderr:
        skip("no user namespace may be made here")
    expect(b"new user and network namespace" in done.stderr and b"tapir0" in done.stdout, "%s" % done)


def case_static_program():
    need("gcc")
    with Folder() as folder:
        source = write(folder / "static.c", "int main(void) { return 0; }\n")
        run(["gcc", "-static", "-o", folder / "static", source])
        done = run(tapir(folder / "static"))
        expect(b"statically linked" in done.stderr, "%r" % done.stderr)


def case_names():
    """Names are asked for over tapir: from a name server of the kernel's, and from /etc/hosts."""
    need("dnsmasq")
    with running(["dnsmasq", "-k", "-u", "root", "--no-resolv", "--no-hosts", "--pid-file=", "--address=/tapir.test/10.9.8.7",
                  "--ptr-record=7.8.9.10.in-addr.arpa,a.tapir.test"]):
        done = python("""
import socket
assert {a[4] for a in socket.getaddrinfo('a.tapir.test', 80)} == {('10.9.8.7', 80)}, socket.getaddrinfo('a.tapir.test', 80)
assert [a[1] for a in socket.getaddrinfo('a.tapir.test', 'http', type=socket.SOCK_STREAM)] == [socket.SOCK_STREAM]
assert socket.gethostbyname('b.tapir.test') == '10.9.8.7'
assert socket.gethostbyname_ex('b.tapir.test') == ('b.tapir.test', [], ['10.9.8.7'])
assert socket.gethostbyaddr('10.9.8.7')[0] == 'a.tapir.test'
assert socket.getnameinfo(('10.9.8.7', 80), 0) == ('a.tapir.test', 'http')
assert socket.gethostbyname('localhost') == '127.0.0.1'
try: socket.getaddrinfo('no.such.test', 80); assert False
except socket.gaierror as e: assert e.errno in (socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL), e
""", options=["--dns", KERNELS])
        expect(done.returncode == 0, "names")


def case_interfaces():
    """getifaddrs(3) and the requests of netdevice(7) show tapir's interfaces."""
    need("gcc")
    with Folder() as folder:
        source = write(folder / "interfaces.c", r"""
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
int main(void) {
  struct ifaddrs* list;
  if (getifaddrs(&list) != 0) return 1;
  for (struct ifaddrs* one = list; one; one = one->ifa_next)
    if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET)
      printf("%s %s\n", one->ifa_name, inet_ntoa(((struct sockaddr_in*)one->ifa_addr)->sin_addr));
  freeifaddrs(list);
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {0};
  strcpy(request.ifr_name, "tapir0");
  if (ioctl(s, SIOCGIFADDR, &request) != 0) return 2;
  printf("%s\n", inet_ntoa(((struct sockaddr_in*)&request.ifr_addr)->sin_addr));
  if (ioctl(s, SIOCGIFINDEX, &request) != 0 || request.ifr_ifindex != (int)if_nametoindex("tapir0")) return 3;
  return 0;
}
""")
        run(["gcc", "-O2", "-o", folder / "interfaces", source])
        done = run(tapir(folder / "interfaces"))
        expect(done.stdout.decode().split("\n") == ["lo 127.0.0.1", "tapir0 " + OURS, OURS, ""], "%r" % done.stdout)


# ---- Python's own tests ----

# Their names, and why they may fail on tapir.
FAILS_ON_TAPIR = {
    "UDPLITE": "tapir has no UDP-Lite",
}


def failures(output):
    import re
    return set(re.findall(rb"^(?:FAIL|ERROR): (\S+ \(\S+\))", output, re.M))


def python_tests(module, timeout):
    """What fails on tapir fails on the kernel too, but for what is listed."""
    if run([PYTHON, "-c", "import test." + module], check=False).returncode != 0:
        skip("libpython3.11-testsuite is not installed (./dev setup programs)")
    command = [PYTHON, "-m", "test", "-v", "-i", "*VSOCK*", module]
    with Folder() as folder:
        ours = run(tapir(*command), check=False, timeout=timeout, cwd=folder.path)
    expect(b"Ran " in ours.stdout + ours.stderr, "the tests ran: %r" % ours.stdout[-1000:])
    failed = {name for name in failures(ours.stdout + ours.stderr) if not any(word in name.decode() for word in FAILS_ON_TAPIR)}
    if not failed:
        return
    with Folder() as folder:
        kernels = run(command, check=False, timeout=timeout, cwd=folder.path)
    failed -= failures(kernels.stdout + kernels.stderr)
    expect(not failed, "these pass on the kernel: %s" % sorted(failed))


def case_python_test_socket():
    python_tests("test_socket", 150)


def case_python_test_asyncio():
    python_tests("test_asyncio", 300)
