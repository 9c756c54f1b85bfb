// SPDX-License-Identifier: Apache-2.0
#include "drivers/netns.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "drivers/descriptor.h"
#include "drivers/netdev.h"

namespace tapir::drivers {
namespace {

// Writes a file of /proc whole; 0 or an errno.
int write_file(const char* path, const std::string& text) {
  const KernelDescriptor fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd) return errno;
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

std::string unshare_failure(int error) {
  switch (error) {
    case EINVAL:
      return "a user namespace cannot be made by a process with threads";
    case EPERM:
    case ENOSPC:
    case EUSERS:
      return "a private network namespace may not be made here: be root, or allow user namespaces (sysctl "
             "user.max_user_namespaces, "
             "kernel.unprivileged_userns_clone)";
    default:
      return std::string("a private network namespace cannot be made: ") + std::strerror(error);
  }
}

// user_namespaces(7): we are root in there, and nobody else exists.
int map_to_root(uid_t uid, gid_t gid) {
  // Absent before linux 3.19; without it gid_map is refused, which is told then.
  write_file("/proc/self/setgroups", "deny");
  if (const int error = write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1")) return error;
  return write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
}

}  // namespace

bool has_net_admin() {
  // An interface number that does not exist: answered EPERM before, ENODEV after the check of privilege.
  const KernelDescriptor fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return false;
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_DELLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.link.ifi_index = 0x7ffffffe;
  if (::send(fd.get(), &request, sizeof request, 0) < 0) return false;
  struct {
    nlmsghdr header;
    nlmsgerr verdict;
    char rest[1024];
  } answer{};
  if (::recv(fd.get(), &answer, sizeof answer, 0) <
      static_cast<ssize_t>(sizeof answer.header + sizeof answer.verdict))
    return false;
  return answer.header.nlmsg_type == NLMSG_ERROR && answer.verdict.error != -EPERM;
}

std::expected<Namespace, std::string> enter_private_network_namespace() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  Namespace made = Namespace::kNetwork;
  if (::unshare(CLONE_NEWNET) != 0) {
    if (errno != EPERM) return std::unexpected(unshare_failure(errno));
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return std::unexpected(unshare_failure(errno));
    if (const int error = map_to_root(uid, gid))
      return std::unexpected(std::string("the user of a new namespace cannot be mapped: ") +
                             std::strerror(error));
    made = Namespace::kUserAndNetwork;
  }
  if (auto up = set_link_up("lo"); !up) return std::unexpected(up.error());
  return made;
}

}  // namespace tapir::drivers
