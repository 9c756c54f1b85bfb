// SPDX-License-Identifier: Apache-2.0
// A small netcat on tapir: interop_peer TAP ADDRESS HOST PORT. Makes the TAP interface, says "ready", waits
// for a line of its input (then the kernel's end is up), connects, sends the rest of its input, half-closes,
// and writes what it receives to its output. Exit: 0, 1 (set-up), 3 with the error's name when a call fails.
#include <arpa/inet.h>
#include <tapir/posix.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace {

[[noreturn]] void die(const char* call) {
  std::fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
  std::_Exit(3);
}

void send_input(tapir_stack* stack, int fd) {
  static char buffer[65536];
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
    if (got < 0) die("read");
    if (got == 0) break;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t n = tapir_send(stack, fd, buffer + sent, static_cast<std::size_t>(got - sent), 0);
      if (n < 0) die("send");
      sent += n;
    }
  }
  if (tapir_shutdown(stack, fd, SHUT_WR) != 0) die("shutdown");
}

void write_output(tapir_stack* stack, int fd) {
  static char buffer[65536];
  for (;;) {
    const ssize_t got = tapir_recv(stack, fd, buffer, sizeof buffer, 0);
    if (got < 0) die("recv");
    if (got == 0) return;
    for (ssize_t written = 0; written < got;) {
      const ssize_t n = write(STDOUT_FILENO, buffer + written, static_cast<std::size_t>(got - written));
      if (n < 0) die("write");
      written += n;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 1;
  tapir_stack* stack = tapir_stack_create();
  if (stack == nullptr || tapir_add_tap(stack, argv[1], argv[2]) != 0) {
    std::fprintf(stderr, "%s\n", tapir_error());
    return 1;
  }
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) die("write");
  for (char c = 0; c != '\n';)
    if (read(STDIN_FILENO, &c, 1) != 1) return 1;

  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[4])));
  inet_pton(AF_INET, argv[3], &to.sin_addr);
  const int fd = tapir_socket(stack, AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (tapir_connect(stack, fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) die("connect");
  std::thread sending([&] { send_input(stack, fd); });
  write_output(stack, fd);
  sending.join();
  // The stack ends here: close() waits until the peer has everything.
  const linger lingering{1, 20};
  if (tapir_setsockopt(stack, fd, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering) != 0)
    die("setsockopt");
  if (tapir_close(stack, fd) != 0) die("close");
  tapir_stack_destroy(stack);
  return 0;
}
