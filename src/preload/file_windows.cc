// SPDX-License-Identifier: Apache-2.0
#include "preload/file_windows.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>

#include "preload/process.h"

namespace tapir::preload {
namespace {

struct Window {
  char* data = nullptr;
  std::size_t size = 0;
  dev_t device = 0;
  ino_t inode = 0;
  off_t begin = 0;      // in the file
  off_t file_size = 0;  // when it was mapped; beyond it there is nothing to touch
  Loan loan;            // guarded by the stack's lock
  int pieces = 0;       // LentPieces that have it
  std::uint64_t used = 0;
};

std::mutex windows_mutex;
std::array<Window, kWindowsMax> windows;
std::uint64_t uses = 0;

// The window for another file: free, or the one whose last use is the longest ago of those that nobody needs.
Window* reusable() {
  return stack().with([](auto&, auto&, Instant) -> Window* {
    Window* best = nullptr;
    for (Window& one : windows)
      if (one.pieces == 0 && one.loan.users == 0 && (best == nullptr || one.used < best->used)) best = &one;
    return best;
  });
}

Window* find(const struct stat& file, off_t begin) {
  for (Window& one : windows)
    if (one.data != nullptr && one.inode == file.st_ino && one.device == file.st_dev && one.begin == begin &&
        one.file_size == file.st_size)
      return &one;
  return nullptr;
}

Window* map(int fd, const struct stat& file, off_t begin) {
  Window* window = reusable();
  if (window == nullptr) return nullptr;
  if (window->data != nullptr) ::munmap(window->data, window->size);
  window->data = nullptr;
  const std::size_t size = std::min(kWindowBytes, static_cast<std::size_t>(file.st_size - begin));
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, begin);
  if (data == MAP_FAILED) return nullptr;
  window->data = static_cast<char*>(data);
  window->size = size;
  window->device = file.st_dev;
  window->inode = file.st_ino;
  window->begin = begin;
  window->file_size = file.st_size;
  return window;
}

}  // namespace

bool LentPiece::lend(int file, off_t position, std::size_t size) {
  struct stat about;
  if (size < kLoanMin || position < 0 || ::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return false;
  if (position >= about.st_size) return false;
  const off_t begin = position - position % static_cast<off_t>(kWindowBytes);
  const std::lock_guard lock(windows_mutex);
  Window* window = find(about, begin);
  if (window == nullptr) window = map(file, about, begin);
  if (window == nullptr) return false;
  const auto offset = static_cast<std::size_t>(position - begin);
  if (window->size - offset < kLoanMin) return false;
  window->used = ++uses;
  ++window->pieces;
  window_ = static_cast<std::size_t>(window - windows.data());
  data_ = window->data + offset;
  size_ = std::min(size, window->size - offset);
  return true;
}

LentPiece::~LentPiece() {
  if (window_ == kWindowsMax) return;
  const std::lock_guard lock(windows_mutex);
  --windows[window_].pieces;
}

Loan& LentPiece::loan() const { return windows[window_].loan; }

}  // namespace tapir::preload
