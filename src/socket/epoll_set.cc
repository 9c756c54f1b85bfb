// SPDX-License-Identifier: Apache-2.0
// epoll(7): Linux's fs/eventpoll.c over the files of one table.
#include <algorithm>

#include "socket/state.h"

namespace tapir::socket {
namespace {

constexpr std::uint32_t kPrivateBits = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
// What EPOLLEXCLUSIVE may be combined with.
constexpr std::uint32_t kExclusiveBits =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

// Events that a wait answers after a listener with several connections to accept. A server that accepts one
// of them a wait (nginx) otherwise serves all that it has accepted before it accepts the next, so that the
// last of n waits for n * n / 2 others; in the kernel they would have been accepted before their requests
// came. The rest is told by the next wait, the listener first.
constexpr std::size_t kEventsBesideListener = 3;

ListLink<ReadyTag>& ready_link(EpollItem& item) { return item; }

}  // namespace

EpollItem* Sockets::State::find_item(EpollSet& set, const File& file, int descriptor) const {
  for (EpollItem& item : const_cast<File&>(file).watchers)
    if (item.set == &set && item.descriptor == descriptor) return &item;
  return nullptr;
}

// Is `to` reached by following the sets in `from`? Then adding the one to the other makes a loop.
bool Sockets::State::reaches(const EpollSet& from, const EpollSet& to, int depth) {
  if (&from == &to) return true;
  if (depth > kEpollNestingMax) return true;
  for (const EpollItem& item : from.items)
    if (item.file->kind == FileKind::kEpoll &&
        reaches(static_cast<const EpollSet&>(*item.file), to, depth + 1))
      return true;
  return false;
}

// How many sets stand above `set`.
int Sockets::State::nesting(const EpollSet& set, int depth) {
  int deepest = depth;
  if (depth > kEpollNestingMax) return depth;
  for (const EpollItem& item : set.watchers) deepest = std::max(deepest, nesting(*item.set, depth + 1));
  return deepest;
}

// Linux's ep_insert.
Result<int> Sockets::State::epoll_add(EpollSet& set, File& file, int descriptor, const epoll_event& event) {
  if ((event.events & EPOLLEXCLUSIVE) != 0 &&
      (file.kind == FileKind::kEpoll || (event.events & ~kExclusiveBits) != 0))
    return fail(EINVAL);
  if (file.kind == FileKind::kEpoll) {
    if (reaches(static_cast<EpollSet&>(file), set, 0)) return fail(ELOOP);
    if (nesting(set, 1) > kEpollNestingMax) return fail(ELOOP);
  }
  if (find_item(set, file, descriptor) != nullptr) return fail(EEXIST);
  const Handle<EpollItem> handle = items.emplace();
  if (!handle) return fail(ENOMEM);
  EpollItem& item = *items.get(handle);
  item.set = &set;
  item.file = &file;
  item.descriptor = descriptor;
  item.events = event.events | EPOLLERR | EPOLLHUP;
  item.data = event.data;
  // Who came last is told first, but those who share (Linux: add_wait_queue, add_wait_queue_exclusive).
  if ((event.events & EPOLLEXCLUSIVE) != 0)
    file.watchers.push_back(item);
  else
    file.watchers.push_front(item);
  set.items.push_back(item);
  if ((readiness(file) & item.events) != 0) make_ready(item);
  return 0;
}

// Linux's ep_modify.
Result<int> Sockets::State::epoll_modify(EpollItem& item, const epoll_event& event) {
  if ((event.events & EPOLLEXCLUSIVE) != 0 || (item.events & EPOLLEXCLUSIVE) != 0) return fail(EINVAL);
  item.events = event.events | EPOLLERR | EPOLLHUP;
  item.data = event.data;
  if ((readiness(*item.file) & item.events) != 0) make_ready(item);
  return 0;
}

void Sockets::State::epoll_remove(EpollItem& item) {
  item.file->watchers.erase(item);
  item.set->items.erase(item);
  if (ready_link(item).linked()) item.set->ready.erase(item);
  items.erase(item);
}

// The second half of Linux's ep_poll_callback. One-shot items that fired are off: no bits but the private
// ones are left.
void Sockets::State::make_ready(EpollItem& item) {
  if ((item.events & ~kPrivateBits) == 0) return;
  if (!ready_link(item).linked()) item.set->ready.push_back(item);
  wake(*item.set, kWakeReadable);
}

// Linux's ep_send_events: in the order they became ready; level-triggered ones go to the back of the list to
// be looked at again.
Result<int> Sockets::State::epoll_collect(EpollSet& set, std::span<epoll_event> events) {
  std::size_t collected = 0;
  std::size_t most = events.size();
  EpollItem* listener = nullptr;
  std::size_t left = set.ready.size();
  for (; left > 0 && collected < most; --left) {
    EpollItem& item = *set.ready.pop_front();
    const std::uint32_t ready = readiness(*item.file) & item.events;
    if (ready == 0) continue;
    events[collected].events = ready;
    events[collected].data = item.data;
    ++collected;
    if ((item.events & EPOLLONESHOT) != 0) {
      item.events &= kPrivateBits;
    } else if ((item.events & EPOLLET) == 0) {
      set.ready.push_back(item);
      if (listener == nullptr && has_more_to_accept(*item.file)) {
        listener = &item;
        most = std::min(most, collected + kEventsBesideListener);
      }
    }
  }
  if (listener != nullptr && left > 0) {
    set.ready.erase(*listener);
    set.ready.push_front(*listener);
  }
  return static_cast<int>(collected);
}

// More than the one that a program takes which accepts once a wait.
bool Sockets::State::has_more_to_accept(const File& file) const {
  if (file.kind != FileKind::kStream) return false;
  const auto& s = static_cast<const StreamSocket&>(file);
  if (!s.listener) return false;
  const auto info = parts.tcp.listener_info(s.listener);
  return info && info->accept_queue > 1;
}

}  // namespace tapir::socket
