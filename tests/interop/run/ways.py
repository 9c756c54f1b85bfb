# SPDX-License-Identifier: Apache-2.0
"""What a program may do with sockets besides data: mixed waits, forks, signals, stdio, syscall(), rules, and how `tapir run` ends."""

import re
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


def case_two_at_once():
    """One device has one stack: the second program at a time is told so, once, and ends as its error makes it end."""
    need("curl")
    with Folder(file=1 << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        first = write(folder / "first.py", """
import os, socket, time
s = socket.socket()
open('up', 'w').close()
while not os.path.exists('end'): time.sleep(0.02)
""")
        script = "%s %s & while [ ! -e up ]; do sleep 0.02; done; curl -sS -m 10 %sfile > none; echo $? > status; touch end; wait; " \
                 "curl -sSf -m 10 -o got %sfile" % (PYTHON, first, url, url)
        done = run(tapir("sh", "-c", script), cwd=folder.path)
        with open(folder / "status") as file:
            expect(file.read().strip() != "0", "curl fails while the other has the stack")
        expect(done.stderr.count(b"tapir: another program has the device") == 1, "it is told why: %r" % done.stderr)
        expect(hash_of(folder / "got") == folder.hashes["file"], "when the other has ended the device is free again")


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


def case_jumps():
    """A handler may leave a call that waits by a jump; what the program calls then works, and so does its end."""
    need("gcc")
    with Folder() as folder:
        source = write(folder / "jumps.c", r"""
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
static sigjmp_buf back;
static void on_alarm(int signal) { (void)signal; siglongjmp(back, 1); }
static int fd, waits;
static void __attribute__((noinline)) wait_for_nobody(void) {
  struct pollfd one = {fd, POLLIN, 0};
  alarm(1);
  if (waits == 0) accept(fd, 0, 0); else poll(&one, 1, -1);
  _exit(9);
}
int main(void) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof name;
  fd = socket(AF_INET, SOCK_STREAM, 0);
  bind(fd, (void*)&name, size); listen(fd, 1); getsockname(fd, (void*)&name, &size);
  signal(SIGALRM, on_alarm);
  for (waits = 0; waits < 2; waits++) if (sigsetjmp(back, 1) == 0) wait_for_nobody();
  char byte;
  int a = socket(AF_INET, SOCK_STREAM, 0), b;
  if (connect(a, (void*)&name, size) != 0 || (b = accept(fd, 0, 0)) < 0) return 1;
  if (send(a, "x", 1, 0) != 1 || recv(b, &byte, 1, 0) != 1) return 2;
  if (waits < 3 && sigsetjmp(back, 1) == 0) { waits = 3; wait_for_nobody(); }
  return 0;
}
""")
        run(["gcc", "-O2", "-D_FORTIFY_SOURCE=2", "-o", folder / "jumps", source])
        run(tapir(folder / "jumps"))


def case_jumps_from_fast_open():
    """A Fast Open call that a handler left by a jump is no more the socket's: the next is not told EALREADY."""
    need("gcc")
    with Folder() as folder:
        source = write(folder / "fast.c", r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
static sigjmp_buf back;
static void on_alarm(int signal) { (void)signal; siglongjmp(back, 1); }
static int late;
static struct sockaddr_in name = {.sin_family = AF_INET};
static void __attribute__((noinline)) open_fast(void) {
  struct itimerval soon = {{0, 0}, {0, 200000}};
  setitimer(ITIMER_REAL, &soon, 0);
  sendto(late, "x", 1, MSG_FASTOPEN, (void*)&name, sizeof name);
  _exit(9);
}
int main(void) {
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  int listener = socket(AF_INET, SOCK_STREAM, 0), first = socket(AF_INET, SOCK_STREAM, 0);
  late = socket(AF_INET, SOCK_STREAM, 0);
  bind(listener, (void*)&name, size); listen(listener, 0); getsockname(listener, (void*)&name, &size);
  if (connect(first, (void*)&name, size) != 0) return 1;
  signal(SIGALRM, on_alarm);
  if (sigsetjmp(back, 1) == 0) open_fast();
  struct pollfd one = {late, POLLOUT, 0};
  if (poll(&one, 1, 0) != 0) return 2;
  if (accept(listener, 0, 0) < 0 || poll(&one, 1, 10000) != 1) return 3;
  return sendto(late, "y", 1, MSG_FASTOPEN | MSG_DONTWAIT, (void*)&name, size) == 1 ? 0 : 4;
}
""")
        run(["gcc", "-O2", "-o", folder / "fast", source])
        run([folder / "fast"])
        run(tapir(folder / "fast"))


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


def case_sendfile():
    """sendfile(2) sends files from the page cache: whole, in parts, behind and before other bytes, from several threads, and one that
    grows, is cut short or is deleted between the calls; and what cannot be mapped."""
    CUT = 1234567   # bytes of the connection whose bytes are not looked at
    with Folder(big=20 << 20, small=700) as folder, socket.create_server((KERNELS, 9100)) as listener:
        received = []

        def take():
            while True:
                connection, _ = listener.accept()
                digest, length = hashlib.sha256(), 0
                while piece := connection.recv(1 << 20):
                    digest.update(piece)
                    length += len(piece)
                received.append(str(length) if length == CUT else digest.hexdigest())

        threading.Thread(target=take, daemon=True).start()
        done = python("""
import hashlib, os, socket, sys, threading
hashes = []
def sent(send):
    with socket.create_connection(('10.0.0.2', 9100)) as s:
        digest = hashlib.sha256(); send(s, digest); hashes.append(digest.hexdigest())
def whole(s, fd, digest, begin=0, size=None):
    size = os.fstat(fd).st_size - begin if size is None else size
    digest.update(os.pread(fd, size, begin))
    while size > 0:
        n = os.sendfile(s.fileno(), fd, begin, size)
        assert n > 0
        begin += n; size -= n
big, small = (os.open(name, os.O_RDWR) for name in ('big', 'small'))
sent(lambda s, d: whole(s, big, d))
def parts(s, d):
    for begin, size in ((4194304 - 5000, 30000), (1, 16384), (20000000, 100), (0, 16383), (4194300, 8), (3, 9 << 20)):
        s.sendall(b'header'); d.update(b'header')
        whole(s, big, d, begin, size); whole(s, small, d)
sent(parts)
def slowly(s, d):                       # a full socket takes a part
    s.setblocking(False)
    begin = 0
    while begin < 20 << 20:
        try: n = os.sendfile(s.fileno(), big, begin, 20 << 20)
        except BlockingIOError: import select; select.select([], [s], []); continue
        d.update(os.pread(big, n, begin)); begin += n
sent(slowly)
def grows(s, d):
    whole(s, small, d)
    os.pwrite(small, os.urandom(100000), 700); whole(s, small, d)
sent(grows)
def cut(s, d):                          # what is gone when it is sent may be anything, but it is there
    fd = os.open('cut', os.O_RDWR | os.O_CREAT); os.write(fd, os.urandom(1234567))
    whole(s, fd, d); os.ftruncate(fd, 50000)
    assert os.sendfile(s.fileno(), fd, 50000, 100000) == 0
sent(cut); hashes[-1] = '1234567'
def position(s, d):                     # without an offset the file's own moves
    os.lseek(big, 12345, 0)
    assert os.sendfile(s.fileno(), big, None, 100000) == 100000 and os.lseek(big, 0, 1) == 112345
    d.update(os.pread(big, 100000, 12345))
sent(position)
def many_files(s, d):                   # more than are kept
    for i in range(100):
        data = os.urandom(40000); name = 'file%d' % i
        fd = os.open(name, os.O_RDWR | os.O_CREAT); os.write(fd, data); os.unlink(name)
        d.update(data); assert os.sendfile(s.fileno(), fd, 0, 40000) == 40000
        os.close(fd)
sent(many_files)
threads = [threading.Thread(target=sent, args=(lambda s, d: [whole(s, big, d, i, 1 << 20) for i in range(20)],)) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
try: os.sendfile(1, big, 0, 0)
except OSError: pass
print('\\n'.join(hashes))
""", cwd=folder.path)
        hashes = sorted(done.stdout.decode().split())
        wait_until(lambda: len(received) == len(hashes), "all connections ended")
        expect(len(hashes) == 15 and hashes == sorted(received), "what came differs: %s" % done)


def case_control():
    """--control: `tapir ss`, nstat, sysctl and trace ask the program's stack while it runs, and the socket goes with it, however it ends."""
    with Folder() as folder:
        at = ["--control", folder / "c.sock"]
        program = "import socket; s = socket.create_server(('0.0.0.0', 8000)); print('up', flush=True)\nwhile True: c, _ = s.accept(); c.sendall(b'x'); c.close()"
        for end in (signal.SIGTERM, signal.SIGKILL):
            with running(tapir(PYTHON, "-c", program, options=at)) as process:
                wait_for_port(8000)
                listening = run([TAPIR, "ss", "-ltn", *at]).stdout.decode()
                expect("0.0.0.0:8000" in listening, "its listener: " + listening)
                run([TAPIR, "sysctl", "-w", "net.ipv4.tcp_fin_timeout=7", *at])
                expect("= 7" in run([TAPIR, "sysctl", "net.ipv4.tcp_fin_timeout", *at]).stdout.decode(), "what was set")
                expect("TcpPassiveOpens" in run([TAPIR, "nstat", *at]).stdout.decode(), "its counters")
                with open(folder / "trace", "wb") as file:
                    trace = subprocess.Popen([TAPIR, "trace", *at], stdout=file)

                def traced():   # it listens from some moment on
                    accepts(OURS, 8000)
                    with open(folder / "trace", "rb") as file:
                        return b"10.0.0.1:8000" in file.read()
                try:
                    wait_until(traced, "its trace shows a connection")
                finally:
                    trace.kill()
                    trace.wait()
                children = run(["pgrep", "-P", str(process.pid)]).stdout.split()
                os.kill(int(children[0]), end)
                expect(process.wait(timeout=20) == -end, "it ends: %s" % process.returncode)
            expect(not os.path.exists(folder / "c.sock"), "the control socket is gone")


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


def case_killed():
    """A program that SIGKILL ends leaves nothing: not the interface, and the next one may have its name and addresses."""
    for _ in range(2):
        process = subprocess.Popen(tapir(PYTHON, "-c", "import os,socket,time; s=socket.create_server(('0.0.0.0',8000)); print(os.getpid(),flush=True); time.sleep(60)",
                                         options=["--dev", "killed0"]), stdout=subprocess.PIPE)
        pid = int(process.stdout.readline())
        expect("killed0" in run(["ip", "-o", "link"]).stdout.decode(), "the interface is there")
        os.kill(pid, signal.SIGKILL)
        expect(process.wait(timeout=10) == -signal.SIGKILL, "it ends as its program: %s" % process.returncode)
        expect("killed0" not in run(["ip", "-o", "link"]).stdout.decode(), "no interface is left")


def case_options():
    """--sysctl, --pcap and --config reach the program's stack."""
    need("tshark", "curl")
    with Folder(file=1 << 20) as folder, kernel_http(folder) as url:
        wait_for_kernel(8000)
        config = write(folder / "tapir.toml", 'addr = "%s/24"\npeer = "%s/24"\ngateway = "%s"\n' % (OURS, KERNELS, KERNELS))
        command = [TAPIR, "run", "-q", "--config", config, "--sysctl", "net.ipv4.tcp_timestamps=0", "--pcap", folder / "trace.pcapng", "--",
                   "curl", "-sSf", "-m", "10", "-o", folder / "got", url + "file"]
        run(command)
        expect(hash_of(folder / "got") == folder.hashes["file"], "the download differs")
        fields = run(["tshark", "-r", folder / "trace.pcapng", "-Y", "tcp.flags.syn == 1", "-T", "fields", "-e", "ip.src", "-e", "tcp.options.timestamp.tsval"])
        syns = fields.stdout.decode().split("\n")
        expect(syns[0].strip() == OURS, "the SYN in the capture has no time stamp: %r" % syns)
        done = run([TAPIR, "run", "-q", "--sysctl", "net.ipv4.no_such=1", "--", "curl", "-sS", "-m", "5", url], check=False)
        expect(done.returncode != 0 and b"no_such" in done.stderr, "a name that does not exist is told: %s" % done)


def case_private_namespace():
    """Without CAP_NET_ADMIN the device is in a new user and network namespace, and it says so."""
    command = [TAPIR, "run", "--", "cat", "/proc/net/dev"]
    if os.geteuid() == 0:
        # As nobody, with a device node that everybody may open, in a mount namespace of the test's own.
        need("setpriv")
        with Folder() as folder:
            os.chmod(folder.path, 0o755)
            script = "mknod %s c 10 200 && chmod 666 %s && mount --bind %s /dev/net/tun" % ((folder / "tun",) * 3)
            if run(["unshare", "-m", "sh", "-c", script], check=False).returncode != 0:
                skip("no device node may be made here")
            os.unlink(folder / "tun")
            drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
            done = run(["unshare", "-m", "sh", "-c", script + ' && exec "$@"', "sh", *drop, *command], check=False)
    else:
        if not os.access("/dev/net/tun", os.W_OK):
            skip("/dev/net/tun is root's alone")
        done = run(command, check=False)
    if b"may not be made" in done.stderr:
        skip("no user namespace may be made here")
    expect(b"new user and network namespace" in done.stderr and b"tapir0" in done.stdout, "%s" % done)


def case_long_super_segments():
    """A kernel that takes them gets super-segments beyond 65,535 bytes (Linux 6.3), and their bytes arrive; or none, as the knob says."""
    if tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups()) < (6, 3):
        skip("a kernel before Linux 6.3")
    for options, least, most in (((), 150000, 197000), (("--sysctl", "net.ipv4.tcp_gso_max_size=65535"), 60000, 65600)):
        with socket.create_server((KERNELS, 9100)) as listener, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as sniffer:
            digest, lengths = hashlib.sha256(), []

            def take():
                with listener.accept()[0] as connection:
                    while piece := connection.recv(1 << 20):
                        digest.update(piece)

            def look():
                while taker.is_alive():
                    with contextlib.suppress(TimeoutError):
                        lengths.append(sniffer.recv_into(bytearray(1), 0, socket.MSG_TRUNC))

            sniffer.settimeout(0.1)
            taker, looker = threading.Thread(target=take), threading.Thread(target=look)
            taker.start()
            looker.start()
            done = python("""
import hashlib, os, socket
data = os.urandom(8 << 20) * 4
with socket.create_connection(('10.0.0.2', 9100)) as s: s.sendall(data)
print(hashlib.sha256(data).hexdigest())
""", options=options)
            taker.join()
            looker.join()
            expect(done.stdout.decode().strip() == digest.hexdigest(), "what came differs: %s" % done)
            expect(least < max(lengths) < most, "the longest frame has %d bytes" % max(lengths))


def case_receive_steering():
    """While the program is busy, what it sends is handled by its processor's softirqs and by the other processors for a while, to see
    where most gets through, where that may be set; when it is not, within its writes."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2 or processors != list(range(os.sysconf("SC_NPROCESSORS_CONF"))):
        skip("one processor, or some that are not ours")
    done = run(["unshare", "-m", "sh", "-c", "mount -t sysfs none /sys && echo 0 > /sys/class/net/lo/queues/rx-0/rps_cpus"], check=False)
    if done.returncode != 0:
        skip("sysfs may not be mounted, or not be written: %s" % done.stderr.decode())
    python(r"""
import ctypes, os, select, socket, time
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
assert libc.unshare(CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
assert libc.mount(b"none", b"/sys", b"sysfs", 0, None) == 0
def mask():
    with open("/sys/class/net/tapir0/queues/rx-0/rps_cpus") as file: return int(file.read().replace(",", ""), 16)
everyone = (1 << os.sysconf("SC_NPROCESSORS_CONF")) - 1
os.setpriority(os.PRIO_PROCESS, 0, -15)   # busy also while other tests run
assert mask() == 0, mask()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for processor in 1, 0:
    own = 1 << processor
    os.sched_setaffinity(0, [processor])
    deadline = time.monotonic() + 80
    seen = set()
    while not {0, own, everyone & ~own} <= seen:
        assert time.monotonic() < deadline, (processor, seen)
        seen.add(mask())
        for _ in range(100): s.sendto(b"x", ("10.0.0.2", 9))   # where nobody listens
    while mask() != 0:
        assert time.monotonic() < deadline, (processor, mask())
        s.sendto(b"x", ("10.0.0.2", 9))   # without a frame now and then nobody looks
        time.sleep(0.01)
""")


def case_static_program():
    need("gcc")
    with Folder() as folder:
        source = write(folder / "static.c", "int main(void) { return 0; }\n")
        run(["gcc", "-static", "-o", folder / "static", source])
        done = run(tapir(folder / "static"))
        expect(b"statically linked" in done.stderr, "%r" % done.stderr)
        # What Go's linker leaves in its programs, also in those that it links to libc.
        source = write(folder / "go.c", """__attribute__((section(".go.buildinfo"), used)) static const char info[32] = {1};
int main(void) { return 0; }
""")
        run(["gcc", "-o", folder / "go", source])
        done = run(tapir(folder / "go"))
        expect(done.stderr.count(b"is a Go program") == 1, "%r" % done.stderr)


def case_io_uring():
    """Sockets that io_uring opens or serves are the kernel's: said once, however often the program asks."""
    done = python("""
import ctypes, socket
libc = ctypes.CDLL(None)
for _ in range(3): libc.syscall(425, 0, None)      # io_uring_setup
a = socket.socket(); a.bind(('0.0.0.0', 0))        # the others are tapir's all the same
""")
    expect(done.stderr.count(b"io_uring") == 1, "%r" % done.stderr)


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


def case_resolver():
    """res_query(3) and its like ask over tapir, with and without a state, and give the server's own message."""
    need("dnsmasq", "gcc")
    with Folder() as folder, running(["dnsmasq", "-k", "-u", "root", "--no-resolv", "--no-hosts", "--pid-file=", "--address=/tapir.test/10.9.8.7",
                                      "--txt-record=t.tapir.test,hello"]):
        source = write(folder / "resolver.c", r"""
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
static int is_answer(const unsigned char* message, int length) {
  ns_msg parsed; ns_rr record;
  if (length < 0 || ns_initparse(message, length, &parsed) != 0 || ns_msg_count(parsed, ns_s_an) != 1) return 0;
  if (ns_parserr(&parsed, ns_s_an, 0, &record) != 0) return 0;
  return ns_rr_type(record) == ns_t_a && memcmp(ns_rr_rdata(record), "\x0a\x09\x08\x07", 4) == 0;
}
int main(void) {
  unsigned char answer[512], question[512];
  struct __res_state state; memset(&state, 0, sizeof state);
  if (res_init() != 0 || res_ninit(&state) != 0) return 1;
  if (!is_answer(answer, res_query("a.tapir.test", ns_c_in, ns_t_a, answer, sizeof answer))) return 2;
  if (!is_answer(answer, res_search("b.tapir.test", ns_c_in, ns_t_a, answer, sizeof answer))) return 3;
  if (!is_answer(answer, res_nquery(&state, "c.tapir.test", ns_c_in, ns_t_a, answer, sizeof answer))) return 4;
  if (!is_answer(answer, res_nsearch(&state, "d.tapir.test", ns_c_in, ns_t_a, answer, sizeof answer))) return 5;
  int length = res_mkquery(ns_o_query, "e.tapir.test", ns_c_in, ns_t_a, NULL, 0, NULL, question, sizeof question);
  if (!is_answer(answer, res_send(question, length, answer, sizeof answer))) return 6;
  length = res_nmkquery(&state, ns_o_query, "f.tapir.test", ns_c_in, ns_t_a, NULL, 0, NULL, question, sizeof question);
  if (!is_answer(answer, res_nsend(&state, question, length, answer, sizeof answer))) return 7;
  if (memcmp(answer, question, 2) != 0) return 8;      /* the question's own number */
  if (!is_answer(answer, res_querydomain("g", "tapir.test", ns_c_in, ns_t_a, answer, sizeof answer))) return 9;
  if (!is_answer(answer, res_nquerydomain(&state, "h", "tapir.test", ns_c_in, ns_t_a, answer, sizeof answer))) return 10;
  if (res_query("no.such.test", ns_c_in, ns_t_a, answer, sizeof answer) != -1 || h_errno == 0) return 11;
  if (res_query("t.tapir.test", ns_c_in, ns_t_txt, answer, sizeof answer) <= 0) return 12;
  return 0;
}
""")
        run(["gcc", "-O2", "-o", folder / "resolver", source, "-lresolv"])
        run(tapir(folder / "resolver", options=["--dns", KERNELS]))


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
