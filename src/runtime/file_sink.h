// SPDX-License-Identifier: Apache-2.0
// Captures in files.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "drivers/descriptor.h"
#include "link/capture.h"

namespace tapir::runtime {

// Writes to a kernel descriptor; a block is written whole or the sink has failed.
class FileSink final : public link::ByteSink {
 public:
  explicit FileSink(drivers::KernelDescriptor fd) : fd_(std::move(fd)) {}
  bool write(Bytes bytes) override;

 private:
  drivers::KernelDescriptor fd_;
};

// Creates the file, or empties it. What went wrong is one sentence. "-" is standard output. Its
// descriptor is `first_descriptor` or above.
std::expected<std::unique_ptr<FileSink>, std::string> open_file_sink(const std::string& path,
                                                                     int first_descriptor = 0);

}  // namespace tapir::runtime
