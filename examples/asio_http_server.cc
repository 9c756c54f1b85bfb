// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server written with Asio, on a stack of its own.
//
//   asio_http_server                        serves a second stack over a cable in memory, asks it for two
//   pages, and ends asio_http_server TAP ADDRESS/N PORT     makes the TAP interface and serves whoever comes
//   by it
#include <algorithm>
#include <array>
#include <asio/io_context.hpp>
#include <asio/read_until.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <tapir/asio.hpp>
#include <tapir/stack.hpp>
#include <thread>

namespace {

// One connection: reads a request, answers it, reads the next. Keeps itself alive.
class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tapir::AsioStream stream) : stream_(std::move(stream)) {}
  void read() {
    asio::async_read_until(stream_, asio::dynamic_buffer(request_), "\r\n\r\n",
                           [self = shared_from_this()](asio::error_code error, std::size_t size) {
                             if (!error) self->answer(size);
                           });
  }

 private:
  void answer(std::size_t size) {
    const std::string_view head = std::string_view(request_).substr(0, size);
    const bool is_get = head.starts_with("GET ");
    const bool closes = head.find("Connection: close") != std::string_view::npos;
    const std::string path = is_get ? std::string(head.substr(4, head.find(' ', 4) - 4)) : "";
    request_.erase(0, size);
    std::string body =
        is_get ? "You asked for " + path + ", and tapir answers.\n" : "Only GET is served here.\n";
    // Something larger than any window, to see it flow: /big/BYTES.
    std::size_t wanted = 0;
    if (path.starts_with("/big/")) std::from_chars(path.data() + 5, path.data() + path.size(), wanted);
    if (wanted != 0) body.assign(std::min<std::size_t>(wanted, 64u << 20), 'x');
    response_ = std::string(is_get ? "HTTP/1.1 200 OK" : "HTTP/1.1 405 Method Not Allowed") +
                "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
    asio::async_write(stream_, asio::buffer(response_),
                      [self = shared_from_this(), closes](asio::error_code error, std::size_t) {
                        if (!error && !closes) return self->read();
                        asio::error_code ignored;
                        self->stream_.shutdown(SHUT_WR, ignored);
                      });
  }

  tapir::AsioStream stream_;
  std::string request_;
  std::string response_;
};

void accept(tapir::AsioAcceptor& acceptor) {
  acceptor.async_accept([&acceptor](asio::error_code error, tapir::AsioStream stream) {
    if (error == asio::error::operation_aborted) return;
    if (!error) std::make_shared<Session>(std::move(stream))->read();
    accept(acceptor);
  });
}

int fail(const std::string& why) {
  std::printf("%s\n", why.c_str());
  return 1;
}

// GET on a connection that is there; what came back.
std::string get(tapir::AsioStream& server, const std::string& path, bool last) {
  asio::write(server, asio::buffer("GET " + path + " HTTP/1.1\r\nHost: tapir\r\n" +
                                   (last ? "Connection: close\r\n" : "") + "\r\n"));
  std::string response;
  asio::error_code error;
  while (!error && !response.ends_with("answers.\n")) {
    std::array<char, 512> piece;
    const std::size_t size = server.read_some(asio::buffer(piece), error);
    response.append(piece.data(), size);
  }
  return response;
}

int serve_in_memory() {
  auto [server_end, client_end] = tapir::make_cable();
  auto server = tapir::StackBuilder().cable(std::move(server_end)).address("10.0.0.1/24").build();
  if (!server) return fail(server.error());
  auto client = tapir::StackBuilder().cable(std::move(client_end)).address("10.0.0.2/24").build();
  if (!client) return fail(client.error());
  asio::io_context context;
  auto listener = tapir::Listener::open(*server, "10.0.0.1:80");
  if (!listener) return fail(listener.error().message());
  tapir::AsioAcceptor acceptor(context.get_executor(), std::move(*listener));
  accept(acceptor);

  auto connected = tapir::async_connect(context.get_executor(), *client, "10.0.0.1:80", asio::use_future);
  std::thread serving([&] { context.run(); });
  std::string first;
  std::string second;
  {
    tapir::AsioStream stream = connected.get();
    first = get(stream, "/first", false);
    second = get(stream, "/second", true);
  }
  acceptor.close();
  serving.join();
  std::printf("%s\n%s\n", first.c_str(), second.c_str());
  return first.find("/first") != std::string::npos && second.find("/second") != std::string::npos ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 1) return serve_in_memory();
  if (count != 4) return fail("usage: asio_http_server [TAP ADDRESS/N PORT]");
  const std::string prefix = arguments[2];
  auto stack = tapir::StackBuilder().tap(arguments[1]).address(prefix).build();
  if (!stack) return fail(stack.error());
  auto listener = tapir::Listener::open(*stack, prefix.substr(0, prefix.find('/')) + ":" + arguments[3]);
  if (!listener) return fail(listener.error().message());
  asio::io_context context;
  tapir::AsioAcceptor acceptor(context.get_executor(), std::move(*listener));
  accept(acceptor);
  std::printf("serving %s:%s on %s\n", arguments[2], arguments[3], arguments[1]);
  std::fflush(stdout);
  context.run();
  return 0;
}
