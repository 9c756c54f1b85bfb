// SPDX-License-Identifier: Apache-2.0
// The C++ API: a hundred clients of an echo server, each a coroutine, the server's side in one thread and the
// clients' in another. Bytes cross without copies of the program's: the last client gives a megabyte and
// lends what comes back.
#include <array>
#include <cstdio>
#include <string>
#include <tapir/event_loop.hpp>
#include <tapir/socket.hpp>
#include <tapir/stack.hpp>
#include <thread>
#include <vector>

namespace {

constexpr int kClients = 100;

tapir::Task<void> echo(tapir::EventLoop& loop, tapir::Socket client) {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const auto received = co_await loop.receive(client, buffer);
    if (!received || *received == 0) co_return;
    if (!co_await loop.send(client, std::span<const std::byte>(buffer).first(*received))) co_return;
  }
}

tapir::Task<void> serve(tapir::EventLoop& loop, tapir::Listener& listener, int clients) {
  for (int i = 0; i < clients; ++i) {
    auto client = co_await loop.accept(listener);
    if (!client) co_return;
    loop.spawn(echo(loop, std::move(*client)));
  }
}

tapir::Task<bool> exchange(tapir::EventLoop& loop, tapir::Socket& server, std::string question) {
  if (!co_await loop.send(server, question)) co_return false;
  std::string answer(question.size(), '\0');
  const auto received = co_await loop.receive(server, std::as_writable_bytes(std::span(answer)), MSG_WAITALL);
  co_return received&& answer == question;
}

tapir::Task<void> ask(tapir::EventLoop& loop, int number, int& answered) {
  auto server = co_await loop.connect("10.0.0.1:7");
  if (!server) {
    std::printf("%s\n", server.error().message().c_str());
    co_return;
  }
  if (co_await exchange(loop, *server, "client " + std::to_string(number))) ++answered;
}

// Without coroutines: the calls wait.
std::size_t echoed_without_copies(tapir::Stack& stack) {
  auto server = tapir::Socket::connect(stack, "10.0.0.1:7", std::chrono::seconds(10));
  if (!server) return 0;
  std::vector<char> question(1 << 20, 'x');
  const std::size_t size = question.size();
  std::jthread giving([&] { static_cast<void>(server->give(std::move(question))); });
  std::size_t total = 0;
  while (total < size) {
    const auto lease = server->lend();
    if (!lease || lease->empty()) break;
    total += lease->bytes().size();
  }
  return total;
}

}  // namespace

int main() {
  auto [server_end, client_end] = tapir::make_cable();
  auto server = tapir::StackBuilder().cable(std::move(server_end)).address("10.0.0.1/24").build();
  auto client = tapir::StackBuilder().cable(std::move(client_end)).address("10.0.0.2/24").build();
  if (!server || !client) return 1;
  auto listener = tapir::Listener::open(*server, "10.0.0.1:7");
  if (!listener) {
    std::printf("%s\n", listener.error().message().c_str());
    return 1;
  }
  std::jthread serving([&] {
    tapir::EventLoop loop(*server);
    loop.spawn(serve(loop, *listener, kClients + 1));
    loop.run();
  });

  int answered = 0;
  tapir::EventLoop loop(*client);
  for (int i = 0; i < kClients; ++i) loop.spawn(ask(loop, i, answered));
  loop.run();
  std::printf("%d of %d clients were answered\n", answered, kClients);
  const std::size_t echoed = echoed_without_copies(*client);
  std::printf("%zu bytes were given, echoed, and lent\n", echoed);
  static_cast<void>(listener->close());
  return answered == kClients && echoed == 1 << 20 ? 0 : 1;
}
