// SPDX-License-Identifier: Apache-2.0
#include "runtime/file_sink.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tapir::runtime {

bool FileSink::write(Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

std::expected<std::unique_ptr<FileSink>, std::string> open_file_sink(const std::string& path,
                                                                     int first_descriptor) {
  drivers::KernelDescriptor fd(path == "-"
                                   ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, first_descriptor)
                                   : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd && fd.get() < first_descriptor)
    fd = drivers::KernelDescriptor(::fcntl(fd.get(), F_DUPFD_CLOEXEC, first_descriptor));
  if (!fd) return std::unexpected("the file " + path + " cannot be written: " + std::strerror(errno));
  return std::make_unique<FileSink>(std::move(fd));
}

}  // namespace tapir::runtime
