// SPDX-License-Identifier: Apache-2.0
// A kernel file descriptor with one owner.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace tapir::drivers {

// Move-only; closes what it owns. -1 owns nothing.
class KernelDescriptor {
 public:
  KernelDescriptor() = default;
  explicit KernelDescriptor(int fd) : fd_(fd) {}
  KernelDescriptor(KernelDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  KernelDescriptor& operator=(KernelDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~KernelDescriptor() { reset(); }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // The same at a number of at least `first`, out of the way of a program's own; as it is when there is none.
  KernelDescriptor at_or_above(int first) && {
    if (fd_ >= 0 && fd_ < first) {
      if (const int moved = ::fcntl(fd_, F_DUPFD_CLOEXEC, first); moved >= 0)
        ::close(std::exchange(fd_, moved));
    }
    return std::move(*this);
  }
  // Gives the descriptor away.
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// An eventfd(2) that does not block, numbered from `first` on; empty when the process has no descriptor left.
inline KernelDescriptor make_eventfd(int first) {
  return KernelDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)).at_or_above(first);
}

}  // namespace tapir::drivers
