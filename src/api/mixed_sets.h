// SPDX-License-Identifier: Apache-2.0
// epoll sets of the C API that hold descriptors of the kernel's too: beside the stack's set stands one of the
// kernel's.
#pragma once

#include <sys/epoll.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "runtime/stack_host.h"

namespace tapir::api {

// Of one stack. For any number of threads.
class MixedSets {
 public:
  explicit MixedSets(runtime::StackHost& host) : host_(host) {}

  // `set` is a new epoll set; `copy` is another number for `of`, if that is one; `fd` was closed.
  void created(int set);
  void copied(int of, int copy);
  void closed(int fd);

  // epoll_ctl(2) of a descriptor of the kernel's.
  socket::Result<int> control_kernel(int set, int operation, int kernel_fd, epoll_event* event);
  // epoll_ctl(2) of one of the stack's; a set in a set brings its other half along.
  socket::Result<int> control(int set, int operation, int fd, epoll_event* event);
  socket::Result<int> wait(int set, std::span<epoll_event> events, std::optional<Duration> timeout);

 private:
  struct Set {
    ~Set();
    int kernel = -1;    // the set beside it; -1: not needed yet
    unsigned busy = 0;  // waits answered in a row without asking the kernel
  };
  std::shared_ptr<Set> find(int fd);
  // With the kernel's set made. Null and errno: it cannot be.
  std::shared_ptr<Set> with_kernel(int fd);

  runtime::StackHost& host_;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<Set>> sets_;
};

}  // namespace tapir::api
