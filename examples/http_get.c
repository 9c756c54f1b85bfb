/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C API: an HTTP request from one stack to another, over a cable in memory. A program that talks to the
 * outside calls tapir_add_tap() instead of tapir_add_cable(). One thread plays both sides: each stack goes on
 * by itself while no call on it waits.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapir/posix.h>

static const char kRequest[] = "GET / HTTP/1.0\r\nHost: 10.0.0.1\r\n\r\n";
static const char kAnswer[] =
    "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\nHello over TCP/IP\n";

static struct tapir_stack* server;
static struct tapir_stack* client;

static void die(const char* what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in address(const char* ip, unsigned short port) {
  struct sockaddr_in a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  inet_pton(AF_INET, ip, &a.sin_addr);
  return a;
}

static int listen_at(const char* ip, unsigned short port) {
  const struct sockaddr_in at = address(ip, port);
  const int fd = tapir_socket(server, AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (tapir_bind(server, fd, (const struct sockaddr*)&at, sizeof at) != 0) die("bind");
  if (tapir_listen(server, fd, 16) != 0) die("listen");
  return fd;
}

static void answer_one(int listener) {
  char request[1024];
  size_t size = 0;
  const int fd = tapir_accept(server, listener, NULL, NULL);
  if (fd < 0) die("accept");
  do {
    const ssize_t n = tapir_recv(server, fd, request + size, sizeof request - 1 - size, 0);
    if (n <= 0) die("the request");
    size += (size_t)n;
    request[size] = '\0';
  } while (strstr(request, "\r\n\r\n") == NULL && size < sizeof request - 1);
  printf("the server was asked: %.*s\n", (int)strcspn(request, "\r"), request);
  if (tapir_send(server, fd, kAnswer, sizeof kAnswer - 1, 0) != (ssize_t)(sizeof kAnswer - 1))
    die("the answer");
  if (tapir_close(server, fd) != 0) die("close");
}

int main(void) {
  char answer[1024];
  size_t size = 0;
  ssize_t n;
  const struct sockaddr_in to = address("10.0.0.1", 80);
  int listener, fd;

  server = tapir_stack_create();
  client = tapir_stack_create();
  if (server == NULL || client == NULL) return 1;
  if (tapir_add_cable(server, "10.0.0.1/24", client, "10.0.0.2/24") != 0) {
    puts(tapir_error());
    return 1;
  }
  listener = listen_at("10.0.0.1", 80);

  /* The server's stack answers the handshake whether or not its program waits for it. */
  fd = tapir_socket(client, AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (tapir_connect(client, fd, (const struct sockaddr*)&to, sizeof to) != 0) die("connect");
  if (tapir_send(client, fd, kRequest, sizeof kRequest - 1, 0) < 0) die("send");
  answer_one(listener);
  while (size < sizeof answer - 1 &&
         (n = tapir_recv(client, fd, answer + size, sizeof answer - 1 - size, 0)) != 0) {
    if (n < 0) die("recv");
    size += (size_t)n;
  }
  answer[size] = '\0';
  printf("the client was answered:\n%s", answer);

  tapir_close(client, fd);
  tapir_close(server, listener);
  tapir_stack_destroy(client);
  tapir_stack_destroy(server);
  return strcmp(answer, kAnswer) == 0 ? 0 : 1;
}
