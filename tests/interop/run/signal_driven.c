// SPDX-License-Identifier: Apache-2.0
// Says which signals a socket's events raise (O_ASYNC, F_SETOWN, F_SETSIG): the case signal_driven compares
// it with what it says on the kernel. The program talks to itself, so that each event has its one cause.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int ours;  // F_SETSIG's

// The kinds of signals that come until none has come for a while: how often, and in which order, is a matter
// of time.
static void tell(const char* what) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigaddset(&set, SIGURG);
  sigaddset(&set, ours);
  char kinds[8][64];
  int count = 0;
  for (;;) {
    const struct timespec while_ = {0, 150000000};
    siginfo_t info;
    if (sigtimedwait(&set, &info, &while_) < 0) break;
    char now[64];
    if (info.si_signo == ours)
      snprintf(now, sizeof now, "F_SETSIG fd %d code %d band %#lx", info.si_fd, info.si_code,
               (long)info.si_band);
    else
      snprintf(now, sizeof now, "%s", info.si_signo == SIGIO ? "SIGIO" : "SIGURG");
    int known = 0;
    for (int i = 0; i < count; ++i) known |= strcmp(kinds[i], now) == 0;
    if (!known && count < 8) strcpy(kinds[count++], now);
  }
  qsort(kinds, count, sizeof kinds[0], (int (*)(const void*, const void*))strcmp);
  printf("%s:", what);
  for (int i = 0; i < count; ++i) printf(" %s;", kinds[i]);
  puts("");
  fflush(stdout);
}

static struct sockaddr_in at;
static int listener, client, server;

static void pair(void) {
  client = socket(AF_INET, SOCK_STREAM, 0);
  connect(client, (struct sockaddr*)&at, sizeof at);
  server = accept(listener, NULL, NULL);
}

static void own(int fd, int sig) {
  fcntl(fd, F_SETOWN, getpid());
  if (sig != 0) fcntl(fd, F_SETSIG, sig);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
}

static void reads_away(int fd) {
  char bytes[65536];
  while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
}

static void events(int sig) {
  pair();
  own(server, sig);
  printf("flags %d\n", (fcntl(server, F_GETFL) & O_ASYNC) != 0);
  send(client, "one", 3, 0);
  tell("data");
  send(client, "two", 3, 0);
  tell("more data");
  send(client, "!", 1, MSG_OOB);
  tell("urgent");
  reads_away(server);
  // A full buffer, found so; then the peer reads.
  char bytes[65536] = "";
  while (send(server, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
  tell("full");
  for (int i = 0; i < 20; ++i) {
    reads_away(client);
    usleep(10000);
  }
  tell("room");
  fcntl(server, F_SETFL, fcntl(server, F_GETFL) & ~O_ASYNC);
  send(client, "three", 5, 0);
  tell("off");
  fcntl(server, F_SETFL, fcntl(server, F_GETFL) | O_ASYNC);
  shutdown(client, SHUT_WR);
  tell("the peer's end");
  close(server);
  close(client);

  pair();
  own(server, sig);
  shutdown(server, SHUT_WR);
  tell("our end");
  close(client);
  tell("both ends");
  close(server);

  pair();
  own(server, 0);
  const struct linger hard = {1, 0};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(client);
  tell("reset");
  close(server);

  own(listener, sig);
  client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  own(client, 0);
  connect(client, (struct sockaddr*)&at, sizeof at);
  tell("connected, and to be accepted");
  close(accept(listener, NULL, NULL));
  tell("closed");
  close(client);
  fcntl(listener, F_SETFL, 0);
}

static void* thread(void* done) {
  const struct f_owner_ex me = {F_OWNER_TID, gettid()};
  pair();
  printf("thread %d\n", fcntl(server, F_SETOWN_EX, &me));
  int on = 1;
  printf("FIOASYNC %d\n", ioctl(server, FIOASYNC, &on));
  struct f_owner_ex owner = {-1, -1};
  fcntl(server, F_GETOWN_EX, &owner);
  printf("owner %d %d, flags %d\n", owner.type, owner.pid == gettid(),
         (fcntl(server, F_GETFL) & O_ASYNC) != 0);
  send(client, "one", 3, 0);
  tell("the thread's");
  close(client);
  close(server);
  return done;
}

int main(void) {
  ours = SIGRTMIN + 3;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigaddset(&set, SIGURG);
  sigaddset(&set, ours);
  sigprocmask(SIG_BLOCK, &set, NULL);

  listener = socket(AF_INET, SOCK_STREAM, 0);
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bind(listener, (struct sockaddr*)&at, sizeof at);
  socklen_t length = sizeof at;
  getsockname(listener, (struct sockaddr*)&at, &length);
  listen(listener, 8);

  puts("-- SIGIO");
  events(0);
  puts("-- F_SETSIG");
  events(ours);

  puts("-- an owner without O_ASYNC");
  pair();
  printf("SIOCSPGRP %d", ioctl(server, SIOCSPGRP, &(int){getpid()}));
  int owner = 0;
  printf(" %d", ioctl(server, SIOCGPGRP, &owner));
  printf(" %d\n", owner == getpid());
  send(client, "one", 3, 0);
  tell("data");
  send(client, "!", 1, MSG_OOB);
  tell("urgent");
  const int second = dup(server);
  fcntl(second, F_SETSIG, ours);
  printf("shared: %d, %d\n", fcntl(server, F_GETSIG) == ours, fcntl(second, F_GETOWN) == getpid());
  fcntl(second, F_SETFL, O_ASYNC);
  close(server);
  send(client, "two", 3, 0);
  tell("of a second number, the first closed");
  fcntl(second, F_SETOWN, 0);
  send(client, "two", 3, 0);
  tell("nobody's");
  close(second);
  close(client);
  printf("nobody there: %d", fcntl(listener, F_SETOWN, 0x3fffffff));
  printf(" %s\n", strerrorname_np(errno));

  puts("-- datagrams");
  int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = at;
  to.sin_port = 0;
  bind(datagrams, (struct sockaddr*)&to, sizeof to);
  getsockname(datagrams, (struct sockaddr*)&to, &length);
  own(datagrams, ours);
  int sender = socket(AF_INET, SOCK_DGRAM, 0);
  sendto(sender, "one", 3, 0, (struct sockaddr*)&to, sizeof to);
  tell("datagram");
  close(datagrams);
  close(sender);

  puts("-- a thread");
  pthread_t one;
  pthread_create(&one, NULL, thread, NULL);
  pthread_join(one, NULL);
  tell("the process's");

  puts("-- twenty in turn");
  for (int i = 0; i < 20; ++i) {
    pair();
    own(server, 0);
    close(client);
    close(server);
  }
  puts("done");
  return 0;
}
