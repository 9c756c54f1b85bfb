// SPDX-License-Identifier: Apache-2.0
// Which of the process's descriptors are tapir's. Each of those is a placeholder in the kernel, so that the
// number is taken there too: close-on-exec, fstat(2), the limit on open files and the order of numbers are
// the kernel's own.
#pragma once

#include <atomic>
#include <cstdint>

namespace tapir::preload {

// Numbers from here on are always the kernel's. sysctl fs.nr_open.
inline constexpr int kNumbersMax = 1 << 20;

enum class Kind : std::uint8_t {
  kKernel,  // not ours
  kSocket,
  kEpoll,  // an epoll set of the kernel's that has a set of the stack's beside it
};

// What a number stands for.
struct Number {
  Kind kind = Kind::kKernel;
  int descriptor = -1;  // in the stack's table

  explicit operator bool() const { return kind != Kind::kKernel; }
  bool is_socket() const { return kind == Kind::kSocket; }
};

namespace detail {
extern std::atomic<std::atomic<std::uint32_t>*> numbers;
inline constexpr std::uint32_t kDescriptorMask = 0x3fffffff;
inline Number decoded(std::uint32_t word) {
  if (word == 0) return {};
  return {static_cast<Kind>(word >> 30), static_cast<int>(word & kDescriptorMask)};
}
}  // namespace detail

// May be called in signal handlers; costs a load or two.
inline Number number_of(int fd) {
  std::atomic<std::uint32_t>* numbers = detail::numbers.load(std::memory_order_acquire);
  if (numbers == nullptr || static_cast<unsigned>(fd) >= static_cast<unsigned>(kNumbersMax)) return {};
  return detail::decoded(numbers[fd].load(std::memory_order_acquire));
}

// False when there is no memory for the table, or `fd` is too high.
bool set_number(int fd, Number number);
// Makes it the kernel's again; what it was.
Number take_number(int fd);

// One past the highest number that was ever ours.
int numbers_end();

}  // namespace tapir::preload
