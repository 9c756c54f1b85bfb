// SPDX-License-Identifier: Apache-2.0
// The C++ API: an echo server on one stack, a client on another, a cable in memory between them. With a TAP
// device instead of the cable the same server talks to the kernel's programs.
#include <cstdio>
#include <string>
#include <tapir/socket.hpp>
#include <tapir/stack.hpp>
#include <thread>

namespace {

// Echoes what one client says until it has said all.
void serve_one(tapir::Listener& listener) {
  auto client = listener.accept();
  if (!client) return;
  char buffer[4096];
  for (;;) {
    const auto received = client->receive(std::span<char>(buffer));
    if (!received || *received == 0) return;
    if (!client->send(std::string_view(buffer, *received))) return;
  }
}

int fail(const char* what, const std::string& why) {
  std::printf("%s: %s\n", what, why.c_str());
  return 1;
}

}  // namespace

int main() {
  auto [server_end, client_end] = tapir::make_cable();
  auto server = tapir::StackBuilder().cable(std::move(server_end)).address("10.0.0.1/24").build();
  if (!server) return fail("the server's stack", server.error());
  auto client = tapir::StackBuilder().cable(std::move(client_end)).address("10.0.0.2/24").build();
  if (!client) return fail("the client's stack", client.error());

  auto listener = tapir::Listener::open(*server, "10.0.0.1:7");
  if (!listener) return fail("the server", listener.error().message());
  std::jthread serving([&] { serve_one(*listener); });

  auto connection = tapir::Socket::connect(*client, "10.0.0.1:7");
  if (!connection) {
    std::printf("%s\n", connection.error().message().c_str());
    std::fflush(stdout);
    std::_Exit(1);  // the server still waits
  }
  std::printf("connected: %s -> %s\n", connection->local()->c_str(), connection->peer()->c_str());

  const std::string text = "Hello from the other stack.";
  if (auto sent = connection->send(text); !sent) return fail("the client", sent.error().message());
  if (auto done = connection->shutdown(SHUT_WR); !done) return fail("the client", done.error().message());
  std::string echoed;
  char buffer[4096];
  for (;;) {
    const auto received = connection->receive(std::span<char>(buffer));
    if (!received) return fail("the client", received.error().message());
    if (*received == 0) break;
    echoed.append(buffer, *received);
  }
  std::printf("echoed: %s\n", echoed.c_str());
  return echoed == text ? 0 : 1;
}
