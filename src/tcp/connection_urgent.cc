// SPDX-License-Identifier: Apache-2.0
// Urgent data: what the pointer says, where the reader stops (Linux's tcp_urg, tcp_check_urg, tcp_recv_urg).
#include <limits>

#include "tcp/connection.h"
#include "tcp/touched.h"

namespace tapir::tcp {

using wire::kUrg;
using wire::TcpSegment;

SeqNum Connection::read_up_to() const {
  return rcv_.nxt - static_cast<std::uint32_t>(readable_bytes()) - (fin_received_ ? 1U : 0U);
}

// RFC 9293 §3.10.7.4, sixth. A pointer that is no news changes nothing; whatever it says, no length is taken
// from it.
void Connection::check_urg(const TcpSegment& segment, const Env& env) {
  if (orphan_ || fin_received_) return;
  Urgent& urgent = busy_->urgent;
  if (segment.has(kUrg)) {
    std::uint32_t ahead = segment.urgent;
    // Everybody points behind the urgent byte (RFC 6093 §3.1); RFC 1122's pointer is behind a switch.
    if (ahead != 0 && env.knobs.tcp_stdurg == 0) --ahead;
    const SeqNum seq = segment.seq + ahead;
    const bool news =
        seq >= rcv_.nxt && read_up_to() <= seq && (urgent.byte == Urgent::Byte::kNone || seq > urgent.seq);
    if (news) {
      // A second one while the reader stands before the first: that one is given up, as it was in BSD.
      if (at_mark() && !options_->urgent_inline && read_up_to() != rcv_.nxt) busy_->receive_queue.discard(1);
      urgent.byte = Urgent::Byte::kAwaited;
      urgent.seq = seq;
    }
  }
  if (urgent.byte != Urgent::Byte::kAwaited || urgent.seq < segment.seq) return;
  const std::uint32_t offset = urgent.seq - segment.seq;
  if (offset >= segment.payload.size()) return;
  urgent.value = segment.payload[offset];
  urgent.byte = Urgent::Byte::kWaiting;
  touch(kTouchedUrgent);
}

bool Connection::at_mark() const {
  const Urgent& urgent = std::as_const(busy_)->urgent;
  return urgent.byte != Urgent::Byte::kNone && urgent.seq == read_up_to();
}

std::size_t Connection::bytes_before_mark() const {
  const Urgent& urgent = std::as_const(busy_)->urgent;
  if (urgent.byte == Urgent::Byte::kNone || urgent.seq < read_up_to())
    return std::numeric_limits<std::size_t>::max();
  return urgent.seq - read_up_to();
}

std::optional<std::uint8_t> Connection::take_urgent(bool keep) {
  if (!busy_ || busy_->urgent.byte != Urgent::Byte::kWaiting) return std::nullopt;
  if (!keep) busy_->urgent.byte = Urgent::Byte::kRead;
  return busy_->urgent.value;
}

void Connection::note_read() {
  Urgent& urgent = busy_->urgent;
  if (urgent.byte != Urgent::Byte::kNone && read_up_to() > urgent.seq) urgent.byte = Urgent::Byte::kNone;
}

// Linux's tcp_transmit_skb: the pointer counts from the segment's own sequence number, as far as it reaches.
void Connection::mark_urgent(TcpSegment& segment) const {
  const Urgent& urgent = std::as_const(busy_)->urgent;
  if (!urgent.sending || segment.seq >= urgent.up) return;
  const std::uint32_t ahead = urgent.up - segment.seq;
  if (ahead < 0x10000) {
    segment.urgent = static_cast<std::uint16_t>(ahead);
    segment.flags |= kUrg;
  } else if (segment.seq + 0xffff > snd_.nxt) {
    segment.urgent = 0xffff;
    segment.flags |= kUrg;
  }
}

}  // namespace tapir::tcp
