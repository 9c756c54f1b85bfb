// SPDX-License-Identifier: Apache-2.0
// Files that sendfile(2) sends, mapped, so that a connection can point at the page cache until its peer has
// the bytes: what is copied is copied once, by the device. The kernel sends the same pages; a file that
// changes meanwhile changes what is sent, as there.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "base/loan.h"

namespace tapir::preload {

// A window of a file is mapped at a time: at most so many bytes of address space of one file, from a multiple
// of it.
inline constexpr std::size_t kWindowBytes = 4 << 20;
// Windows kept, last used longest. They hold no memory of the process's own, but their files: one that is
// deleted goes when its windows do.
inline constexpr std::size_t kWindowsMax = 64;

// Bytes of a file that stay where they are until it is gone, and then until loan->users is 0.
class LentPiece {
 public:
  LentPiece() = default;
  LentPiece(const LentPiece&) = delete;
  LentPiece& operator=(const LentPiece&) = delete;
  ~LentPiece();

  // At most `size` bytes of `file` from `position` on. False: not a file that can be mapped, or fewer than
  // kLoanMin bytes.
  bool lend(int file, off_t position, std::size_t size);
  const char* data() const { return data_; }
  std::size_t size() const { return size_; }
  Loan& loan() const;

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t window_ = kWindowsMax;  // whose it is
};

}  // namespace tapir::preload
