// SPDX-License-Identifier: Apache-2.0
#include "preload/numbers.h"

#include <sys/mman.h>

#include <cstddef>

namespace tapir::preload {

namespace detail {
std::atomic<std::atomic<std::uint32_t>*> numbers = nullptr;
}

namespace {

constexpr std::size_t kTableBytes = sizeof(std::atomic<std::uint32_t>) * kNumbersMax;
std::atomic<int> end_of_numbers = 0;

// Pages that are never touched cost nothing.
std::atomic<std::uint32_t>* number_table() {
  std::atomic<std::uint32_t>* existing = detail::numbers.load(std::memory_order_acquire);
  if (existing != nullptr) return existing;
  void* memory = ::mmap(nullptr, kTableBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* made = static_cast<std::atomic<std::uint32_t>*>(memory);
  if (detail::numbers.compare_exchange_strong(existing, made)) return made;
  ::munmap(memory, kTableBytes);
  return existing;
}

}  // namespace

bool set_number(int fd, Number number) {
  std::atomic<std::uint32_t>* numbers = number_table();
  if (numbers == nullptr || fd < 0 || fd >= kNumbersMax) return false;
  int end = end_of_numbers.load(std::memory_order_relaxed);
  while (end <= fd && !end_of_numbers.compare_exchange_weak(end, fd + 1)) {
  }
  numbers[fd].store(static_cast<std::uint32_t>(number.kind) << 30 |
                        (static_cast<std::uint32_t>(number.descriptor) & detail::kDescriptorMask),
                    std::memory_order_release);
  return true;
}

Number take_number(int fd) {
  if (!number_of(fd)) return {};
  return detail::decoded(
      detail::numbers.load(std::memory_order_acquire)[fd].exchange(0, std::memory_order_acq_rel));
}

int numbers_end() { return end_of_numbers.load(std::memory_order_acquire); }

}  // namespace tapir::preload
