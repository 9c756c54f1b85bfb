// SPDX-License-Identifier: Apache-2.0
// Says what calls answer that few programs make of a socket: the case rare_calls compares it with what the
// kernel makes of them.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void say(const char* what, long result) {
  if (result < 0)
    printf("%s = %ld %s\n", what, result, strerrorname_np(errno));
  else
    printf("%s = %ld\n", what, result);
  fflush(stdout);
}
#define SAY(call) (errno = 0, say(#call, (long)(call)))

static volatile sig_atomic_t signals;
static void count(int s) {
  (void)s;
  ++signals;
}

static int pair[2], listener;
static struct sockaddr_in at;

static void make_pair(void) {
  listener = socket(AF_INET, SOCK_STREAM, 0);
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  bind(listener, (struct sockaddr*)&at, length);
  listen(listener, 5);
  getsockname(listener, (struct sockaddr*)&at, &length);
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  connect(pair[0], (struct sockaddr*)&at, sizeof at);
  pair[1] = accept(listener, NULL, NULL);
}

int main(void) {
  make_pair();
  char a[8], b[8];
  struct iovec two[2] = {{a, 3}, {b, 5}};
  struct iovec out[2] = {{"abc", 3}, {"defgh", 5}};
  // vectors with an offset
  SAY(pwritev2(pair[0], out, 2, -1, 0));
  usleep(20000);
  SAY(preadv2(pair[1], two, 2, -1, 0));
  SAY(preadv2(pair[1], two, 2, -1, RWF_NOWAIT));
  SAY(preadv2(pair[1], two, 2, -1, RWF_HIPRI | 0x4000));
  SAY(preadv2(pair[1], two, 2, 0, 0));
  SAY(pwritev2(pair[0], out, 2, 0, 0));
  SAY(preadv(pair[1], two, 2, 0));
  SAY(pwritev(pair[0], out, 2, 0));
  SAY(pread(pair[1], a, 1, 0));
  SAY(pwrite(pair[0], a, 1, 0));
  SAY(lseek(pair[0], 0, SEEK_CUR));
  SAY(ftruncate(pair[0], 0));
  SAY(fsync(pair[0]));
  SAY(fdatasync(pair[0]));
  SAY(posix_fadvise(pair[0], 0, 0, POSIX_FADV_NORMAL));
  SAY(fallocate(pair[0], 0, 0, 1));
  SAY(mmap(NULL, 4096, PROT_READ, MAP_SHARED, pair[0], 0) == MAP_FAILED ? -1 : 0);
  SAY(readahead(pair[0], 0, 1));
  SAY(sockatmark(pair[1]));
  SAY(isfdtype(pair[1], S_IFSOCK));
  SAY(isatty(pair[1]));
  // the file behind
  struct stat st;
  SAY(fstat(pair[0], &st));
  printf("mode %o nlink %ld size %ld blksize %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size,
         (long)st.st_blksize);
  struct statx sx;
  SAY(statx(pair[0], "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx));
  printf("statx mode %o\n", sx.stx_mode);
  char path[64], link[64] = "";
  snprintf(path, sizeof path, "/proc/self/fd/%d", pair[0]);
  SAY(readlink(path, link, sizeof link - 1) > 0);
  printf("link %.8s\n", link);
  SAY(open(path, O_RDWR));
  // flags
  SAY(fcntl(pair[0], F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_ASYNC));
  SAY(fcntl(pair[0], F_GETFD));
  int copy = fcntl(pair[0], F_DUPFD_CLOEXEC, 100);
  printf("copy %d\n", copy);
  SAY(fcntl(copy, F_GETFD));
  SAY(fcntl(copy, F_DUPFD, 1 << 30));
  SAY(fcntl(copy, F_DUPFD, -1));
  SAY(dup3(pair[0], pair[0], 0));
  SAY(dup3(pair[0], 101, O_NONBLOCK));
  SAY(dup3(pair[0], 101, O_CLOEXEC));
  SAY(fcntl(101, F_GETFD));
  SAY(dup2(pair[0], 102));
  SAY(fcntl(102, F_GETFD));
  SAY(dup2(999, 102));
  SAY(fcntl(102, F_SETFL, O_NONBLOCK));
  SAY(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
  SAY(fcntl(102, F_SETFL, 0));
  SAY(close_range(101, 102, CLOSE_RANGE_CLOEXEC));
  SAY(fcntl(102, F_GETFD));
  SAY(send(102, "x", 1, 0));
  SAY(close_range(100, 102, 0));
  SAY(fcntl(102, F_GETFD));
  SAY(close_range(5, 4, 0));
  SAY(close_range(200, 201, 64));
  SAY(recv(pair[1], a, 1, 0));
  // who is signalled
  SAY(fcntl(pair[1], F_GETOWN));
  SAY(fcntl(pair[1], F_SETOWN, getpid()));
  SAY(fcntl(pair[1], F_GETOWN) == getpid());
  struct f_owner_ex owner = {F_OWNER_PID, 0};
  SAY(fcntl(pair[1], F_GETOWN_EX, &owner));
  printf("owner is us %d\n", owner.pid == getpid());
  SAY(fcntl(pair[1], F_SETSIG, 0));
  SAY(fcntl(pair[1], F_GETSIG));
  int on;
  on = 1;
  SAY(ioctl(pair[1], FIONBIO, &on));
  SAY(recv(pair[1], a, 8, 0));
  on = 0;
  SAY(ioctl(pair[1], FIONBIO, &on));
  SAY(ioctl(pair[1], FIOCLEX));
  SAY(fcntl(pair[1], F_GETFD));
  SAY(ioctl(pair[1], FIONCLEX));
  SAY(ioctl(pair[1], FIONREAD, &on));
  SAY(ioctl(pair[1], 0x5413 /* TIOCGWINSZ */, a));
  SAY(fcntl(pair[1], F_SETPIPE_SZ, 4096));
  SAY(fcntl(pair[1], F_GETLK, &(struct flock){.l_type = F_WRLCK}));
  SAY(fcntl(pair[1], F_GETLEASE));
  SAY(fcntl(pair[1], 4711));
  // many at once
  struct mmsghdr many[3];
  memset(many, 0, sizeof many);
  for (int i = 0; i < 3; ++i) many[i].msg_hdr.msg_iov = &two[0], many[i].msg_hdr.msg_iovlen = 1;
  struct timespec zero = {0, 0}, bad = {0, -1}, soon = {0, 30000000};
  int u = socket(AF_INET, SOCK_DGRAM, 0), w = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = at;
  to.sin_port = 0;
  socklen_t length = sizeof to;
  bind(u, (struct sockaddr*)&to, length);
  getsockname(u, (struct sockaddr*)&to, &length);
  SAY(sendto(w, "12", 2, 0, (struct sockaddr*)&to, length));
  SAY(sendto(w, "345", 3, 0, (struct sockaddr*)&to, length));
  usleep(20000);
  SAY(recvmmsg(u, many, 3, MSG_DONTWAIT, &bad));
  SAY(recvmmsg(u, many, 3, MSG_WAITFORONE, &zero));
  SAY(recvmmsg(u, many, 3, MSG_WAITFORONE, NULL));
  SAY(recvmmsg(u, many, 3, MSG_DONTWAIT, &soon));
  SAY(recvmmsg(u, many, 0, 0, NULL));
  SAY(sendmmsg(w, many, 0, 0));
  SAY(sendmmsg(w, many, 2, 0));
  SAY(recvmmsg(999, many, 2, 0, NULL));
  // waits with masks
  struct pollfd p = {pair[1], POLLIN, 0};
  sigset_t none, usr;
  sigemptyset(&none);
  sigemptyset(&usr);
  sigaddset(&usr, SIGUSR1);
  signal(SIGUSR1, count);
  sigprocmask(SIG_BLOCK, &usr, NULL);
  signals = 0;
  raise(SIGUSR1);
  SAY(ppoll(&p, 1, &soon, &none));
  printf("signals %d\n", (int)signals);
  raise(SIGUSR1);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pair[1], &set);
  SAY(pselect(pair[1] + 1, &set, NULL, NULL, &soon, &none));
  printf("signals %d\n", (int)signals);
  int e = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.fd = 7}};
  SAY(epoll_ctl(e, EPOLL_CTL_ADD, pair[1], &event));
  SAY(epoll_ctl(e, EPOLL_CTL_ADD, pair[1], &event));
  raise(SIGUSR1);
  SAY(epoll_pwait2(e, &event, 1, &soon, &none));
  printf("signals %d\n", (int)signals);
  raise(SIGUSR1);
  SAY(epoll_pwait(e, &event, 1, 10, &none));
  printf("signals %d\n", (int)signals);
  SAY(epoll_pwait2(e, &event, 1, &bad, NULL));
  SAY(epoll_pwait2(e, &event, 1, &zero, NULL));
  SAY(ppoll(&p, 1, &bad, NULL));
  SAY(pselect(pair[1] + 1, NULL, NULL, NULL, &bad, NULL));
  SAY(epoll_wait(e, &event, 0, 0));
  SAY(epoll_wait(pair[1], &event, 1, 0));
  SAY(epoll_wait(999, &event, 1, 0));
  SAY(epoll_ctl(pair[1], EPOLL_CTL_ADD, pair[0], &event));
  SAY(epoll_ctl(e, 77, pair[1], &event));
  SAY(epoll_ctl(e, EPOLL_CTL_MOD, pair[0], &event));
  SAY(epoll_ctl(e, EPOLL_CTL_DEL, pair[1], NULL));
  // files and sockets
  int file = memfd_create("f", 0);
  if (write(file, "0123456789", 10) != 10) return 1;
  off64_t from = 3;
  SAY(sendfile64(pair[0], file, &from, 4));
  printf("offset %ld\n", (long)from);
  SAY(sendfile(pair[0], file, NULL, 4));
  off_t start = -1;
  SAY(sendfile(pair[0], file, &start, 4));
  SAY(sendfile(pair[0], pair[1], NULL, 4));
  SAY(sendfile(file, pair[1], NULL, 4));
  SAY(sendfile(pair[0], 999, NULL, 4));
  SAY(sendfile(999, file, NULL, 4));
  usleep(20000);
  SAY(recv(pair[1], a, 8, MSG_DONTWAIT));
  SAY(copy_file_range(file, NULL, pair[0], NULL, 4, 0));
  SAY(splice(pair[1], NULL, pair[0], NULL, 4, 0));
  SAY(vmsplice(pair[0], out, 1, 0));
  SAY(tee(pair[0], pair[1], 4, 0));
  SAY(shutdown(pair[0], 7));
  SAY(shutdown(999, SHUT_WR));
  SAY(shutdown(file, SHUT_WR));
  SAY(readv(pair[1], two, -1));
  SAY(readv(pair[1], two, 2000));
  SAY(writev(pair[0], NULL, 0));
  SAY(read(pair[1], NULL, 0));
  SAY(write(pair[0], NULL, 0));
  return 0;
}
