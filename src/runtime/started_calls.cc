// SPDX-License-Identifier: Apache-2.0
// Calls that no thread waits in, and buffers that change hands.
#include <cerrno>

#include "runtime/stack_host.h"

namespace tapir::runtime {

// ---- start() ----

void StackHost::begin(std::unique_ptr<Operation> begun) {
  Operation& operation = *begun.release();
  Waiter& waiter = operation.waiter();
  waiter.operation_ = &operation;
  Lock lock(*this);
  const Instant now = monotonic_now();
  if (auto answered = waiter.step(sockets_, now)) {
    waiter.answer_ = *answered;
    complete(operation);
  } else {
    enlist(waiter);
    if (waiter.deadline() != kNever) {
      operation.timed_ = timed_.emplace(waiter.deadline(), &operation);
      operation.is_timed_ = true;
    }
  }
  settle(now);
}

void StackHost::complete(Operation& operation) {
  if (std::exchange(operation.is_timed_, false)) timed_.erase(operation.timed_);
  if (operation.to_ == nullptr) {
    finished_.push_back(&operation);
    return;
  }
  operation.to_->done_.push_back(&operation);
  if (Waiter* sleeper = std::exchange(operation.to_->sleeper_, nullptr)) answer(*sleeper, 0);
}

void StackHost::tell(std::unique_ptr<Operation> operation) {
  operation->finished_(*operation->waiter().answer_);
}

void StackHost::expire(Instant now) {
  while (!timed_.empty() && timed_.begin()->first <= now) {
    Operation& operation = *timed_.begin()->second;
    auto answered = operation.waiter().step(sockets_, now);
    answer(operation.waiter(), answered ? *answered : socket::fail(EAGAIN));
  }
  settle(now);
}

// The loop's own call: it has no socket to wait for.
struct StackHost::LoopWait {
  Completions& of;
  Waiter* self = nullptr;
  std::optional<Result<long>> step(socket::Sockets&, Instant) {
    const bool ends = !of.done_.empty() || std::exchange(of.rung_, false);
    of.sleeper_ = ends ? nullptr : self;
    if (ends) return 0;
    return std::nullopt;
  }
  Instant deadline() const { return kNever; }
  void leave() { of.sleeper_ = nullptr; }
  std::span<pollfd> kernel() { return {}; }
};

void StackHost::wait_for_completions(Completions& of) {
  LoopWait call{of};
  CallWaiter<LoopWait> waiter(call, kNowhere);
  call.self = &waiter;
  static_cast<void>(run_to_answer(waiter));
  std::vector<Operation*> done;
  {
    const Lock lock(*this);
    done.swap(of.done_);
  }
  for (Operation* operation : done) tell(std::unique_ptr<Operation>(operation));
}

void StackHost::ring(Completions& of) {
  const Lock lock(*this);
  of.rung_ = true;
  if (Waiter* sleeper = std::exchange(of.sleeper_, nullptr)) answer(*sleeper, 0);
}

void StackHost::abandon(Completions& of) {
  std::vector<std::unique_ptr<Operation>> forgotten;
  const Lock lock(*this);
  for (Waiter* waiter = newest_started_; waiter != nullptr;) {
    Operation* operation = waiter->operation_;
    waiter = waiter->older_;
    if (operation->to_ != &of) continue;
    delist(operation->waiter());
    operation->waiter().leave();
    if (std::exchange(operation->is_timed_, false)) timed_.erase(operation->timed_);
    forgotten.emplace_back(operation);
  }
  for (Operation* operation : of.done_) forgotten.emplace_back(operation);
  of.done_.clear();
}

// ---- cancelled ----

void StackHost::cancel(Descriptor fd) {
  Entry entry(*this);
  answer_all(fd, socket::fail(ECANCELED));
}

Result<int> StackHost::cancel_and_close(Descriptor fd) {
  cancel(fd);
  return close(fd);
}

// ---- zero copy ----

Result<socket::Sockets::Lent> StackHost::lend(Descriptor fd, int flags) {
  socket::Sockets::Lent lent;
  socket::BlockingLend call(fd, flags, &lent);
  if (const Result<long> answered = run(call, fd); !answered) return std::unexpected(answered.error());
  return lent;
}

void StackHost::give_back(std::uint64_t name) {
  with([&](stack::Stack&, socket::Sockets& sockets, Instant) { sockets.give_back(name); });
}

Result<long> StackHost::give(Descriptor fd, Bytes bytes, std::shared_ptr<void> owner, int flags) {
  // Too little to be worth a span of its own, or it goes with a SYN, which is kept apart.
  if (bytes.size() < kLoanMin || (flags & MSG_FASTOPEN) != 0)
    return send(fd, bytes.data(), bytes.size(), flags);
  // The call is a user too, so that the buffer is not back before all of it was offered.
  GivenBuffers::Buffer* const buffer =
      with([&](stack::Stack&, socket::Sockets&, Instant) { return given_.take(std::move(owner)); });
  if (buffer == nullptr) return socket::fail(ENOBUFS);
  const Result<long> sent = send_lent(fd, bytes.data(), bytes.size(), *buffer, flags);
  with([&](stack::Stack&, socket::Sockets&, Instant) { buffer->end_use(); });
  return sent;
}

}  // namespace tapir::runtime
