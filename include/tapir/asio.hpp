// SPDX-License-Identifier: Apache-2.0
/// Sockets of a tapir::Stack for programs written with Asio (standalone, 1.22 or later; Debian's
/// libasio-dev). Only who includes this header needs Asio: the library does not.
///
///     asio::io_context context;
///     tapir::AsioAcceptor acceptor(context.get_executor(), std::move(*tapir::Listener::open(stack,
///     "10.0.0.1:80"))); acceptor.async_accept([](asio::error_code error, tapir::AsioStream stream) { … });
///     context.run();
///
/// AsioStream models AsyncReadStream, AsyncWriteStream, SyncReadStream and SyncWriteStream:
/// asio::async_read_until(), async_write() and what is composed of them work on it, with callbacks,
/// asio::use_future, asio::use_awaitable and every other completion token. Handlers run in their executors,
/// never in a thread of the stack. An object must live until its calls have ended (close() ends them, with
/// asio::error::operation_aborted).
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/error_code.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "tapir/socket.hpp"

namespace tapir {

namespace detail {

// Errnos as Asio's own sockets tell them, which compare with asio::error::….
inline asio::error_code asio_error(const Error& error) {
  return {error.number(), asio::error::get_system_category()};
}

// Asio may be asked to move no byte at all, and to move several buffers; a call moves one.
template <typename Buffer, typename Sequence>
Buffer first_of(const Sequence& buffers) {
  for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at)
    if (Buffer buffer(*at); buffer.size() != 0) return buffer;
  return {};
}

// Has `handler` called with `arguments` in its executor, which stays busy until then.
template <typename Handler, typename Executor>
class AsioHandler {
 public:
  AsioHandler(Handler handler, const Executor& executor)
      : work_(asio::get_associated_executor(handler, executor)), handler_(std::move(handler)) {}
  template <typename... Arguments>
  void operator()(Arguments... arguments) {
    const auto executor = work_.get_executor();
    asio::post(executor,
               [handler = std::move(handler_), work = std::move(work_),
                ... told = std::move(arguments)]() mutable { std::move(handler)(std::move(told)...); });
  }

 private:
  asio::executor_work_guard<asio::associated_executor_t<Handler, Executor>> work_;
  Handler handler_;
};

}  // namespace detail

/// A connection.
class AsioStream {
 public:
  using executor_type = asio::any_io_executor;
  using lowest_layer_type = AsioStream;
  using next_layer_type = AsioStream;

  AsioStream(executor_type executor, Socket socket)
      : executor_(std::move(executor)), socket_(std::move(socket)) {}

  executor_type get_executor() noexcept { return executor_; }
  lowest_layer_type& lowest_layer() { return *this; }
  next_layer_type& next_layer() { return *this; }
  Socket& socket() { return socket_; }

  /// void(asio::error_code, std::size_t); asio::error::eof when the peer has closed its direction.
  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(asio::error_code, std::size_t)>(
        [this](auto handler, asio::mutable_buffer into) {
          detail::AsioHandler tell(std::move(handler), executor_);
          if (into.size() == 0) return tell(asio::error_code(), std::size_t{0});
          socket_.async_receive({static_cast<std::byte*>(into.data()), into.size()},
                                [tell = std::move(tell)](SocketResult<std::size_t> read) mutable {
                                  tell(read_error(read), read.value_or(0));
                                });
        },
        token, detail::first_of<asio::mutable_buffer>(buffers));
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(asio::error_code, std::size_t)>(
        [this](auto handler, asio::const_buffer data) {
          detail::AsioHandler tell(std::move(handler), executor_);
          if (data.size() == 0) return tell(asio::error_code(), std::size_t{0});
          socket_.async_send({static_cast<const std::byte*>(data.data()), data.size()},
                             [tell = std::move(tell)](SocketResult<std::size_t> sent) mutable {
                               tell(sent ? asio::error_code() : detail::asio_error(sent.error()),
                                    sent.value_or(0));
                             });
        },
        token, detail::first_of<asio::const_buffer>(buffers));
  }

  template <typename Buffers>
  std::size_t read_some(const Buffers& buffers, asio::error_code& error) {
    const auto into = detail::first_of<asio::mutable_buffer>(buffers);
    error = {};
    if (into.size() == 0) return 0;
    const auto read = socket_.receive(std::span(static_cast<std::byte*>(into.data()), into.size()));
    error = read_error(read);
    return read.value_or(0);
  }
  template <typename Buffers>
  std::size_t write_some(const Buffers& buffers, asio::error_code& error) {
    const auto data = detail::first_of<asio::const_buffer>(buffers);
    error = {};
    if (data.size() == 0) return 0;
    const auto sent = socket_.send(std::span(static_cast<const std::byte*>(data.data()), data.size()));
    if (!sent) error = detail::asio_error(sent.error());
    return sent.value_or(0);
  }

  /// SHUT_RD, SHUT_WR, SHUT_RDWR.
  void shutdown(int how, asio::error_code& error) {
    const auto done = socket_.shutdown(how);
    error = done ? asio::error_code() : detail::asio_error(done.error());
  }
  void cancel() { socket_.cancel(); }
  void close() { static_cast<void>(socket_.close()); }
  bool is_open() const { return socket_.descriptor() >= 0; }

 private:
  static asio::error_code read_error(const SocketResult<std::size_t>& read) {
    if (!read) return detail::asio_error(read.error());
    return *read == 0 ? asio::error_code(asio::error::eof) : asio::error_code();
  }

  executor_type executor_;
  Socket socket_;
};

/// What listens. Streams that it accepts have its executor.
class AsioAcceptor {
 public:
  using executor_type = asio::any_io_executor;

  AsioAcceptor(executor_type executor, Listener listener)
      : executor_(std::move(executor)), listener_(std::move(listener)) {}

  executor_type get_executor() noexcept { return executor_; }
  Listener& listener() { return listener_; }

  /// void(asio::error_code, AsioStream); with an error, the stream is closed.
  template <typename Token>
  auto async_accept(Token&& token) {
    return asio::async_initiate<Token, void(asio::error_code, AsioStream)>(
        [this](auto handler) {
          detail::AsioHandler tell(std::move(handler), executor_);
          listener_.async_accept(
              [tell = std::move(tell), executor = executor_](SocketResult<Socket> accepted) mutable {
                const asio::error_code error =
                    accepted ? asio::error_code() : detail::asio_error(accepted.error());
                tell(error, AsioStream(executor, accepted ? std::move(*accepted) : Socket::none()));
              });
        },
        token);
  }
  void cancel() { listener_.cancel(); }
  void close() { static_cast<void>(listener_.close()); }

 private:
  executor_type executor_;
  Listener listener_;
};

/// Connects to "10.0.0.2:80": void(asio::error_code, AsioStream).
template <typename Token>
auto async_connect(asio::any_io_executor executor, Stack& stack, std::string to, Token&& token) {
  return asio::async_initiate<Token, void(asio::error_code, AsioStream)>(
      [](auto handler, asio::any_io_executor runs_in, Stack* on, const std::string& where) {
        detail::AsioHandler tell(std::move(handler), runs_in);
        Socket::async_connect(
            *on, where, [tell = std::move(tell), runs_in](SocketResult<Socket> connected) mutable {
              const asio::error_code error =
                  connected ? asio::error_code() : detail::asio_error(connected.error());
              tell(error, AsioStream(runs_in, connected ? std::move(*connected) : Socket::none()));
            });
      },
      token, std::move(executor), &stack, std::move(to));
}

}  // namespace tapir
