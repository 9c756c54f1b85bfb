// SPDX-License-Identifier: Apache-2.0
#include "drivers/receive_steering.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "drivers/descriptor.h"

namespace tapir::drivers {
namespace {

// Bits of one word of a mask, as linux/lib/bitmap-str.c reads and writes them: words from the highest on, a
// comma between.
constexpr int kWordBits = 32;

// Opens the mask of NAME's receive queue; empty with errno set when it may not be. sysfs shows the network
// namespace of who mounted it, so it is mounted anew, nowhere, for as long as it is looked at.
KernelDescriptor open_mask(const std::string& name, int access) {
  const KernelDescriptor context(::fsopen("sysfs", FSOPEN_CLOEXEC));
  if (!context || ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return {};
  const KernelDescriptor root(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!root) return {};
  const std::string path = "class/net/" + name + "/queues/rx-0/rps_cpus";
  return KernelDescriptor(::openat(root.get(), path.c_str(), access | O_CLOEXEC));
}

// Of the machine's processors this one, or all the others.
std::string mask_of(int processor, bool others) {
  const int processors = ::get_nprocs_conf();
  std::string mask;
  for (int word = (processors - 1) / kWordBits; word >= 0; --word) {
    const int first = word * kWordBits;
    const unsigned one = processor >= first && processor < first + kWordBits ? 1U << (processor - first) : 0U;
    const unsigned all = 0xffffffffU >> (kWordBits - std::min(processors - first, kWordBits));
    const unsigned bits = all & (others ? ~one : one);
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), mask.empty() ? "%x" : ",%08x", bits);
    mask += text.data();
  }
  return mask;
}

std::unexpected<std::string> not_steered(const std::string& name, int error) {
  return std::unexpected("the processors that handle what " + name + " receives: " + std::strerror(error));
}

}  // namespace

std::expected<ReceiveSteering, std::string> ReceiveSteering::open(const std::string& name, int first) {
  if (::get_nprocs_conf() < 2) return not_steered(name, ENOTSUP);
  KernelDescriptor file = open_mask(name, O_WRONLY);
  if (!file) return not_steered(name, errno);
  return ReceiveSteering(std::move(file).at_or_above(first), name);
}

NetdevResult ReceiveSteering::write(const std::string& mask) {
  if (::pwrite(file_.get(), mask.data(), mask.size(), 0) < 0) return not_steered(name_, errno);
  return {};
}

NetdevResult ReceiveSteering::leave_to_writer() { return write("0"); }

NetdevResult ReceiveSteering::keep_on(int processor) { return write(mask_of(processor, false)); }

NetdevResult ReceiveSteering::keep_off(int processor) { return write(mask_of(processor, true)); }

std::expected<std::string, std::string> processors_of_received(const std::string& name) {
  std::array<char, 4096> text{};
  const KernelDescriptor file = open_mask(name, O_RDONLY);
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
  if (size < 0) return not_steered(name, errno);
  const std::string mask(text.data(), static_cast<std::size_t>(size));
  return mask.substr(0, mask.find('\n'));
}

}  // namespace tapir::drivers
