// SPDX-License-Identifier: Apache-2.0
/// Coroutines on a tapir::Stack: many connections in one thread, each written as if it waited.
///
///     tapir::Task<void> serve(tapir::EventLoop& loop, tapir::Socket client) {
///       std::array<std::byte, 4096> buffer;
///       for (;;) {
///         const auto received = co_await loop.receive(client, buffer);
///         if (!received || *received == 0) co_return;
///         if (!co_await loop.send(client, std::span(buffer).first(*received))) co_return;
///       }
///     }
///
///     tapir::EventLoop loop(stack);
///     loop.spawn(serve(loop, std::move(client)));
///     loop.run();
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tapir/socket.hpp"

namespace tapir {

namespace api {
struct LoopAnswers;
}

/// A coroutine that begins when it is awaited, or spawned, and answers a T. Move-only. One that was begun
/// must end before it is destroyed, or be destroyed with its EventLoop.
template <typename T>
class [[nodiscard]] Task;

namespace detail {

// Who awaits a task goes on when it ends.
struct TaskEnd {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    const std::coroutine_handle<> waiter = ended.promise().waiter;
    return waiter ? waiter : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

struct TaskPromiseBase {
  std::coroutine_handle<> waiter;
  std::exception_ptr thrown;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  TaskEnd final_suspend() const noexcept { return {}; }
  void unhandled_exception() { thrown = std::current_exception(); }
};

template <typename T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void take() const {
    if (thrown) std::rethrow_exception(thrown);
  }
};

}  // namespace detail

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) const noexcept {
    coroutine_.promise().waiter = waiter;
    return coroutine_;
  }
  /// What it answered; throws what it threw.
  T await_resume() const { return coroutine_.promise().take(); }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
  std::coroutine_handle<promise_type> coroutine_;
};

template <typename T>
Task<T> detail::TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> detail::TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

/// A call under way on an EventLoop; co_await gives its result.
template <typename T>
class [[nodiscard]] Awaiting {
 public:
  using Begin = std::move_only_function<void(Done<T>)>;
  explicit Awaiting(Begin begin) : begin_(std::move(begin)) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    // The loop tells later, from run(): never before this returns.
    begin_([this, waiter](SocketResult<T> result) {
      result_.emplace(std::move(result));
      waiter.resume();
    });
  }
  SocketResult<T> await_resume() { return std::move(*result_); }

 private:
  Begin begin_;
  std::optional<SocketResult<T>> result_;
};

/// Runs coroutines, all in the thread that calls run(), which waits in the stack and drives it. The stack
/// must outlive it. Its calls belong to that thread (or to what runs before run()); stop() and post() may
/// come from any.
class EventLoop {
 public:
  explicit EventLoop(Stack& stack);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  /// Destroys the tasks that have not ended; their calls are forgotten, their sockets closed.
  ~EventLoop();

  /// Begins `task` in run(). An exception that leaves it leaves run().
  void spawn(Task<void> task);
  /// Until every spawned task has ended, or stop().
  void run();
  void stop();
  /// Has run() call `work`.
  void post(std::move_only_function<void()> work);

  // ---- the calls of <tapir/socket.hpp>, for co_await; sockets and spans must live until they end ----
  Awaiting<Socket> connect(std::string_view to) {
    return Awaiting<Socket>([this, where = std::string(to)](Done<Socket> done) {
      Socket::async_connect(stack_, where, std::move(done), this);
    });
  }
  Awaiting<Socket> accept(Listener& listener) {
    return Awaiting<Socket>(
        [this, &listener](Done<Socket> done) { listener.async_accept(std::move(done), this); });
  }
  Awaiting<std::size_t> receive(Socket& socket, std::span<std::byte> into, int flags = 0) {
    return Awaiting<std::size_t>([this, &socket, into, flags](Done<std::size_t> done) {
      socket.async_receive(into, std::move(done), flags, this);
    });
  }
  Awaiting<std::size_t> send(Socket& socket, std::span<const std::byte> data, int flags = 0) {
    return Awaiting<std::size_t>([this, &socket, data, flags](Done<std::size_t> done) {
      socket.async_send(data, std::move(done), flags, this);
    });
  }
  Awaiting<std::size_t> send(Socket& socket, std::string_view text, int flags = 0) {
    return send(socket, std::as_bytes(std::span(text)), flags);
  }
  /// Goes on after `time`.
  Awaiting<void> sleep_for(std::chrono::nanoseconds time) {
    return Awaiting<void>([this, time](Done<void> done) { async_sleep(time, std::move(done)); });
  }

 private:
  friend struct api::LoopAnswers;
  struct State;
  void async_sleep(std::chrono::nanoseconds time, Done<void> done);

  Stack& stack_;
  std::unique_ptr<State> state_;
};

}  // namespace tapir
