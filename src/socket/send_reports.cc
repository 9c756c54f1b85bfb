// SPDX-License-Identifier: Apache-2.0
// The error queue of a stream: recvmsg(MSG_ERRQUEUE) reads the ends of MSG_ZEROCOPY calls and the times of
// SO_TIMESTAMPING (Linux's ip_recv_error), and what asks for them.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
// clang-format off: wants timespec
#include <linux/errqueue.h>
// clang-format on
#include <linux/net_tstamp.h>

#include <algorithm>
#include <cstring>

#include "socket/control_messages.h"
#include "socket/message.h"
#include "socket/sent_controls.h"
#include "socket/state.h"
#include "tcp/send_notes.h"

namespace tapir::socket {
namespace {

constexpr std::uint32_t kOptIdTcp = 1U << 16;     // SOF_TIMESTAMPING_OPT_ID_TCP
constexpr std::uint32_t kOptRxFilter = 1U << 17;  // SOF_TIMESTAMPING_OPT_RX_FILTER
constexpr std::uint32_t kTimestampingMask = (1U << 19) - 1;
constexpr std::uint32_t kStagesMask = SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
                                      SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK;

// What IP_RECVERR's message holds: the error, and whose it is (nobody's here).
struct ErrorMessage {
  sock_extended_err error{};
  sockaddr_in offender{};
};

// Software, a legacy field, hardware (struct scm_timestamping).
struct Timestamps {
  timespec at[3]{};
};

std::uint8_t stages_of(std::uint32_t flags) {
  std::uint8_t stages = 0;
  if ((flags & SOF_TIMESTAMPING_TX_SCHED) != 0) stages |= tcp::kStageScheduled;
  if ((flags & SOF_TIMESTAMPING_TX_SOFTWARE) != 0) stages |= tcp::kStageSent;
  if ((flags & SOF_TIMESTAMPING_TX_ACK) != 0) stages |= tcp::kStageAcked;
  return stages;
}

std::uint32_t scm_stage(tcp::SendReport::Kind kind) {
  switch (kind) {
    case tcp::SendReport::Kind::kScheduled:
      return SCM_TSTAMP_SCHED;
    case tcp::SendReport::Kind::kAcked:
      return SCM_TSTAMP_ACK;
    default:
      return SCM_TSTAMP_SND;
  }
}

Timestamps wall_clock(Instant at, std::uint64_t offset_ns) {
  const std::uint64_t ns = to_nsec(at) + offset_ns;
  Timestamps stamps;
  stamps.at[0].tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  stamps.at[0].tv_nsec = static_cast<long>(ns % 1'000'000'000);
  return stamps;
}

}  // namespace

// Linux's setsockopt(SO_TIMESTAMPING), sock_set_timestamping.
Result<int> Sockets::State::set_timestamping(SocketFile& file, std::uint32_t flags) {
  if ((flags & ~kTimestampingMask) != 0) return fail(EINVAL);
  if ((flags & kOptIdTcp) != 0 && (flags & SOF_TIMESTAMPING_OPT_ID) == 0) return fail(EINVAL);
  const bool stats_alone =
      (flags & SOF_TIMESTAMPING_OPT_STATS) != 0 && (flags & SOF_TIMESTAMPING_OPT_TSONLY) == 0;
  StreamSocket* const stream = file.kind == FileKind::kStream ? static_cast<StreamSocket*>(&file) : nullptr;
  if (stream != nullptr) {
    const bool counted = (options_of(*stream).timestamping & SOF_TIMESTAMPING_OPT_ID) != 0;
    const bool counts = (flags & SOF_TIMESTAMPING_OPT_ID) != 0;
    if (counts && !counted) {
      const tcp::State state = tcp_state(*stream);
      if (state == tcp::State::kClosed || state == tcp::State::kListen) return fail(EINVAL);
      parts.tcp.count_bytes(stream->connection, (flags & kOptIdTcp) != 0);
    } else if (!counts && counted) {
      parts.tcp.count_no_bytes(stream->connection);
    }
  }
  if (stats_alone) return fail(EINVAL);
  if ((flags & SOF_TIMESTAMPING_BIND_PHC) != 0)
    return fail(file.interface == kNoInterface ? EOPNOTSUPP : EINVAL);
  if (stream != nullptr) {
    options_of(*stream).timestamping = flags;
    return 0;
  }
  // When a datagram left is not kept.
  if ((flags & kStagesMask) != 0) return fail(EOPNOTSUPP);
  static_cast<DatagramSocket&>(file).timestamping = flags;
  return 0;
}

// What sendmsg() says for itself alone: SO_TIMESTAMPING as a control message (Linux's sock_cmsg_send).
Result<std::uint32_t> Sockets::State::timestamping_of(const tcp::Connection& connection,
                                                      const msghdr& message) const {
  std::uint32_t flags = connection.options().timestamping;
  if (message.msg_controllen == 0) return flags;
  const auto asked = read_stream_controls(message, parts.config.privileged);
  if (!asked) return std::unexpected(asked.error());
  if (*asked) flags = (flags & ~kStagesMask) | **asked;
  return flags;
}

// After a call wrote something.
void Sockets::State::note_written(StreamSocket& s, bool zero_copy, bool open, int flags,
                                  std::uint32_t timestamping, Instant now) {
  if (zero_copy) parts.tcp.note_zero_copy(s.connection, (flags & kMsgContinues) != 0, open, now);
  if (const std::uint8_t stages = stages_of(timestamping); stages != 0)
    parts.tcp.note_times(s.connection, stages, now);
}

Result<std::size_t> Sockets::State::receive_report(StreamSocket& s, msghdr& message, Instant now) {
  absorb_stream_errors();
  if (ErrorQueue* const errors = s.errors != 0 ? stream_errors.at(s.errors - 1) : nullptr;
      errors != nullptr && errors->count() != 0)
    return tell_error(s, *errors, message);
  const auto report = parts.tcp.take_report(s.connection, now);
  if (!report) return fail(EAGAIN);
  message.msg_namelen = 0;
  message.msg_flags = 0;
  ControlWriter control(message);
  ErrorMessage what;
  std::size_t copied = 0;
  if (report->kind == tcp::SendReport::Kind::kZeroCopy) {
    // The bytes are always copied here, and the code says so.
    what.error.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
    what.error.ee_code = SO_EE_CODE_ZEROCOPY_COPIED;
    what.error.ee_info = report->low;
    what.error.ee_data = report->high;
  } else {
    const std::uint32_t flags = connection_of(s)->options().timestamping;
    if ((flags & SOF_TIMESTAMPING_SOFTWARE) != 0) {
      const Timestamps stamps = wall_clock(report->at, parts.config.wall_clock_offset_ns);
      control.put(SOL_SOCKET, (s.timestamps & kTimestampNew) != 0 ? kSoTimestampingNew : SO_TIMESTAMPING,
                  &stamps, sizeof(stamps));
    }
    what.error.ee_errno = ENOMSG;
    what.error.ee_origin = SO_EE_ORIGIN_TIMESTAMPING;
    what.error.ee_info = scm_stage(report->kind);
    what.error.ee_data = report->high;
    // The segment itself is not kept for the program to look at: what would not fit is all there is to tell
    // of it.
    if ((flags & SOF_TIMESTAMPING_OPT_TSONLY) == 0) message.msg_flags |= MSG_TRUNC;
  }
  control.put(SOL_IP, IP_RECVERR, &what, sizeof(what));
  message.msg_flags |= MSG_ERRQUEUE;
  return copied;
}

void Sockets::State::put_timestamp(const SocketFile& s, std::uint32_t timestamping, ControlWriter& control,
                                   Instant received_at) const {
  if ((s.timestamps & ~kTimestampNew) == 0 && (timestamping & SOF_TIMESTAMPING_SOFTWARE) == 0) return;
  const Timestamps stamps = wall_clock(received_at, parts.config.wall_clock_offset_ns);
  const timespec& time = stamps.at[0];
  const bool is_new = (s.timestamps & kTimestampNew) != 0;
  if ((s.timestamps & kTimestampNanoseconds) != 0) {
    control.put(SOL_SOCKET, is_new ? kSoTimestampNsNew : SO_TIMESTAMPNS, &time, sizeof(time));
  } else if ((s.timestamps & kTimestampMicroseconds) != 0) {
    const timeval micro{time.tv_sec, time.tv_nsec / 1000};
    control.put(SOL_SOCKET, is_new ? kSoTimestampNew : SO_TIMESTAMP, &micro, sizeof(micro));
  }
  if ((timestamping & SOF_TIMESTAMPING_SOFTWARE) == 0) return;
  // Without RX_SOFTWARE the time is told if it was taken for another reason, and OPT_RX_FILTER does not
  // forbid that.
  const bool taken = (s.timestamps & ~kTimestampNew) != 0 && (timestamping & kOptRxFilter) == 0;
  if ((timestamping & SOF_TIMESTAMPING_RX_SOFTWARE) != 0 || taken)
    control.put(SOL_SOCKET, is_new ? kSoTimestampingNew : SO_TIMESTAMPING, &stamps, sizeof(stamps));
}

// What comes with data: the time of arrival, TCP_INQ's count (Linux's tcp_recvmsg).
void Sockets::State::tell_with_data(const StreamSocket& s, const tcp::Connection& connection,
                                    std::optional<Instant> received_at, ControlWriter& control) {
  const tcp::SocketOptions& options = connection.options();
  if (received_at) put_timestamp(s, options.timestamping, control, *received_at);
  if (!options.tell_queued) return;
  // After the peer's FIN never 0: there is the end still to be read.
  const int queued = static_cast<int>(connection.readable_bytes()) + (connection.peer_fin() ? 1 : 0);
  control.put(SOL_TCP, TCP_CM_INQ, &queued, sizeof(queued));
}

}  // namespace tapir::socket
