// SPDX-License-Identifier: Apache-2.0
#include "socket/sent_controls.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/bytes.h"
#include "ip/options.h"

namespace tapir::socket {
namespace {

// Not in Debian's headers.
constexpr int kIpProtocol = 52;           // IP_PROTOCOL
constexpr int kTimestampingNew = 65;      // SO_TIMESTAMPING_NEW
constexpr int kPriorityUnprivileged = 6;  // the highest that needs no capability
constexpr std::uint32_t kSendStages = SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
                                      SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK;

// Walks control messages as Linux's for_each_cmsghdr does: a length that does not fit is told, not skipped.
class ControlReader {
 public:
  explicit ControlReader(const msghdr& message)
      : control_(static_cast<const std::uint8_t*>(message.msg_control), message.msg_controllen) {}

  // False at the end; EINVAL for a malformed one.
  Result<bool> next() {
    if (at_ > control_.size() || control_.size() - at_ < sizeof(cmsghdr)) return false;
    cmsghdr header;
    std::memcpy(&header, control_.data() + at_, sizeof header);
    const std::size_t left = control_.size() - at_;
    if (header.cmsg_len < sizeof header || header.cmsg_len > left) return fail(EINVAL);
    level_ = header.cmsg_level;
    type_ = header.cmsg_type;
    data_ = control_.subspan(at_ + CMSG_LEN(0), header.cmsg_len - CMSG_LEN(0));
    at_ += CMSG_ALIGN(header.cmsg_len);
    return true;
  }
  int level() const { return level_; }
  int type() const { return type_; }
  Bytes data() const { return data_; }
  // The value as a T; nothing when it has another size.
  template <typename T>
  std::optional<T> value() const {
    if (data_.size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, data_.data(), sizeof value);
    return value;
  }

 private:
  Bytes control_;
  Bytes data_;
  int level_ = 0;
  int type_ = 0;
  std::size_t at_ = 0;
};

// Linux's __sock_cmsg_send. The flags of SO_TIMESTAMPING, if it is one.
Result<std::optional<std::uint32_t>> read_socket_control(const ControlReader& control, bool privileged) {
  switch (control.type()) {
    case SO_MARK:
      if (!privileged) return fail(EPERM);
      if (!control.value<std::uint32_t>()) return fail(EINVAL);
      return std::nullopt;
    case SO_PRIORITY: {
      const auto priority = control.value<std::uint32_t>();
      if (!priority) return fail(EINVAL);
      if (*priority > kPriorityUnprivileged && !privileged) return fail(EPERM);
      return std::nullopt;
    }
    case SO_TIMESTAMPING:
    case kTimestampingNew: {
      const auto flags = control.value<std::uint32_t>();
      if (!flags || (*flags & ~kSendStages) != 0) return fail(EINVAL);
      return *flags;
    }
    case SCM_RIGHTS:
    case 2:  // SCM_CREDENTIALS: of unix sockets; passed over, as in Linux
      return std::nullopt;
    default:
      return fail(EINVAL);
  }
}

// Linux's ip_cmsg_send, SOL_IP. False: malformed or out of range.
bool read_ip_control(const ControlReader& control, bool privileged, SentControls& read) {
  switch (control.type()) {
    case IP_RETOPTS: {
      IpOptions options;
      const Bytes given = control.data().first(std::min(control.data().size(), kIpOptionsMax));
      if (ip::take_options(given, privileged, options)) return false;
      read.options = options;
      return true;
    }
    case IP_PKTINFO: {
      const auto info = control.value<in_pktinfo>();
      if (!info) return false;
      if (info->ipi_ifindex != 0) {
        const bool possible =
            info->ipi_ifindex > 0 && info->ipi_ifindex < std::numeric_limits<InterfaceId>::max();
        read.interface =
            possible ? static_cast<InterfaceId>(info->ipi_ifindex) : std::numeric_limits<InterfaceId>::max();
      }
      read.source = IpAddress::v4(to_big_endian(info->ipi_spec_dst.s_addr));
      return true;
    }
    case IP_TTL: {
      const auto value = control.value<int>();
      if (!value || *value < 1 || *value > 255) return false;
      read.hop_limit = static_cast<std::uint8_t>(*value);
      return true;
    }
    case IP_TOS: {
      const auto byte = control.value<std::uint8_t>();
      const auto number = control.value<int>();
      if (!byte && !number) return false;
      const int value = byte ? *byte : *number;
      if (value < 0 || value > 255) return false;
      read.tos = static_cast<std::uint8_t>(value);
      return true;
    }
    case kIpProtocol: {
      // Changes which route is looked for, where routes depend on it; here none does.
      const auto value = control.value<int>();
      return value && *value >= 1 && *value <= 255;
    }
    default:
      return false;
  }
}

}  // namespace

Result<SentControls> read_controls(const msghdr& message, int level, bool privileged) {
  SentControls read;
  ControlReader control(message);
  for (;;) {
    const Result<bool> more = control.next();
    if (!more) return std::unexpected(more.error());
    if (!*more) return read;
    if (control.level() == SOL_SOCKET) {
      if (const auto taken = read_socket_control(control, privileged); !taken)
        return std::unexpected(taken.error());
    } else if (control.level() == SOL_IP) {
      if (!read_ip_control(control, privileged, read)) return fail(EINVAL);
    } else if (control.level() == level) {
      return fail(EINVAL);
    }
  }
}

Result<std::optional<std::uint32_t>> read_stream_controls(const msghdr& message, bool privileged) {
  std::optional<std::uint32_t> flags;
  ControlReader control(message);
  for (;;) {
    const Result<bool> more = control.next();
    if (!more) return std::unexpected(more.error());
    if (!*more) return flags;
    if (control.level() != SOL_SOCKET) continue;
    const auto taken = read_socket_control(control, privileged);
    if (!taken) return fail(EINVAL);
    if (*taken) flags = *taken;
  }
}

}  // namespace tapir::socket
