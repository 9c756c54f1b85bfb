// SPDX-License-Identifier: Apache-2.0
#include "api/event_loop.h"

#include <exception>
#include <iterator>
#include <list>
#include <mutex>
#include <vector>

namespace tapir {

struct EventLoop::State {
  // A spawned task: a coroutine that nobody awaits.
  struct Root {
    struct promise_type;
    std::coroutine_handle<promise_type> coroutine;
  };
  struct End {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<Root::promise_type> coroutine) const noexcept;
    void await_resume() const noexcept {}
  };
  static Root begin(State& state, Task<void> task);

  explicit State(runtime::StackHost& h) : host(h) {}
  ~State() {
    host.abandon(answers);
    for (const std::list<Root>* list : {&roots, &fresh, &ended})
      for (const Root& root : *list) root.coroutine.destroy();
  }
  // Work that was posted, and tasks that were spawned since the last look.
  void run_posted() {
    std::vector<std::move_only_function<void()>> work;
    {
      const std::lock_guard lock(mutex);
      work.swap(posted);
    }
    for (auto& each : work) each();
    begin_fresh();
  }
  void begin_fresh();
  void collect_ended();

  runtime::StackHost& host;
  runtime::StackHost::Completions answers;
  std::list<Root> roots;  // begun
  std::list<Root> fresh;  // to begin
  std::list<Root> ended;  // to be destroyed
  std::mutex mutex;       // of what follows
  std::vector<std::move_only_function<void()>> posted;
  bool stopped = false;
};

struct EventLoop::State::Root::promise_type {
  promise_type(State& s, const Task<void>&) : state(s) {}
  Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  End final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() { thrown = std::current_exception(); }

  State& state;
  std::list<Root>::iterator self;
  std::exception_ptr thrown;
};

EventLoop::State::Root EventLoop::State::begin(State&, Task<void> task) { co_await task; }

// Not destroyed here: it is on the stack that runs.
void EventLoop::State::End::await_suspend(
    std::coroutine_handle<Root::promise_type> coroutine) const noexcept {
  State& state = coroutine.promise().state;
  state.ended.splice(state.ended.end(), state.roots, coroutine.promise().self);
}

void EventLoop::State::begin_fresh() {
  while (!fresh.empty()) {
    roots.splice(roots.end(), fresh, fresh.begin());
    const std::coroutine_handle<Root::promise_type> begun = roots.back().coroutine;
    begun.promise().self = std::prev(roots.end());
    begun.resume();
  }
}

void EventLoop::State::collect_ended() {
  while (!ended.empty()) {
    const std::coroutine_handle<Root::promise_type> coroutine = ended.front().coroutine;
    ended.pop_front();
    const std::exception_ptr thrown = coroutine.promise().thrown;
    coroutine.destroy();
    if (thrown) std::rethrow_exception(thrown);
  }
}

EventLoop::EventLoop(Stack& stack) : stack_(stack), state_(std::make_unique<State>(stack.host())) {}

EventLoop::~EventLoop() = default;

void EventLoop::spawn(Task<void> task) { state_->fresh.push_back(State::begin(*state_, std::move(task))); }

void EventLoop::run() {
  State& state = *state_;
  for (;;) {
    state.run_posted();
    state.collect_ended();
    {
      const std::lock_guard lock(state.mutex);
      if (std::exchange(state.stopped, false)) return;
      if (state.roots.empty() && state.fresh.empty() && state.posted.empty()) return;
    }
    if (state.fresh.empty()) state.host.wait_for_completions(state.answers);
  }
}

void EventLoop::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
  }
  state_->host.ring(state_->answers);
}

void EventLoop::post(std::move_only_function<void()> work) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->posted.push_back(std::move(work));
  }
  state_->host.ring(state_->answers);
}

void EventLoop::async_sleep(std::chrono::nanoseconds time, Done<void> done) {
  state_->host.start(
      api::Delay(later(runtime::monotonic_now(), time)), runtime::StackHost::kNowhere,
      [done = std::move(done)](socket::Result<long>) mutable { done({}); }, &state_->answers);
}

runtime::StackHost::Completions& api::LoopAnswers::of(EventLoop& loop) { return loop.state_->answers; }

}  // namespace tapir
