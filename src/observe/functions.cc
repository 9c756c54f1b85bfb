// SPDX-License-Identifier: Apache-2.0
#include "observe/functions.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/tcp_segment.h"

namespace tapir::observe {

using tcp::State;

const Chains& functions_of(Step step) {
  static constexpr std::array<Chains, kStepCount> kTable = {{
      {"Sockets::connect → Engine::connect → Connection::open_active → poll_segment → emit_syn",
       "connect → inet_stream_connect → tcp_v4_connect → tcp_connect → tcp_transmit_skb"},
      {"Engine::on_datagram → Connection::on_segment → on_syn_sent → become_established",
       "tcp_v4_rcv → tcp_rcv_state_process → tcp_rcv_synsent_state_process → tcp_finish_connect"},
      {"Engine::poll_segment → Connection::poll_segment → poll_ack",
       "tcp_rcv_synsent_state_process → tcp_send_ack → __tcp_transmit_skb"},
      {"Engine::on_datagram → on_listener_segment → on_syn → HalfOpen::from_syn",
       "tcp_v4_rcv → tcp_rcv_state_process → tcp_v4_conn_request → tcp_conn_request"},
      {"Engine::send_syn_ack → HalfOpen::syn_ack → Engine::poll_reply",
       "tcp_v4_send_synack → tcp_make_synack → ip_build_and_send_pkt"},
      {"Engine::on_half_open_segment → HalfOpen::on_segment → Engine::become_connection → "
       "Connection::open_passive",
       "tcp_v4_rcv → tcp_check_req → tcp_v4_syn_recv_sock → inet_csk_complete_hashdance"},
      {"Sockets::accept4 → Engine::accept → Listener::dequeue",
       "accept → inet_accept → inet_csk_accept → reqsk_queue_remove"},
      {"Connection::on_segment → check_sequence → check_ack → take_payload → queue_in_order",
       "tcp_v4_rcv → tcp_rcv_established → tcp_data_queue → tcp_queue_rcv"},
      {"Sockets::send → Engine::write → Connection::write → poll_segment → poll_new_data",
       "send → tcp_sendmsg → tcp_push → tcp_write_xmit → tcp_transmit_skb"},
      {"Connection::on_segment → check_sequence → check_ack → on_ack",
       "tcp_v4_rcv → tcp_rcv_established → tcp_ack → tcp_clean_rtx_queue"},
      {"Engine::poll_segment → Connection::poll_segment → poll_ack",
       "__tcp_ack_snd_check → tcp_send_ack → __tcp_transmit_skb"},
      {"Sockets::close or shutdown → Connection::shutdown_send → poll_segment → poll_fin",
       "tcp_close or tcp_shutdown → tcp_close_state → tcp_send_fin → tcp_write_xmit"},
      {"Sockets::close or shutdown → Connection::shutdown_send → poll_segment → poll_fin",
       "tcp_close or tcp_shutdown → tcp_close_state → tcp_send_fin → tcp_write_xmit"},
      {"Connection::on_segment → check_ack → check_state → enter(FIN-WAIT-2)",
       "tcp_v4_rcv → tcp_rcv_state_process → tcp_ack → tcp_set_state(TCP_FIN_WAIT2)"},
      {"Connection::on_segment → take_payload → check_fin → enter(CLOSE-WAIT)",
       "tcp_v4_rcv → tcp_rcv_established → tcp_data_queue → tcp_fin"},
      {"Connection::on_segment → take_payload → check_fin → Engine::become_time_wait → TimeWaitTable::add",
       "tcp_v4_rcv → tcp_rcv_state_process → tcp_data_queue → tcp_fin → tcp_time_wait"},
      {"Connection::on_segment → check_ack → check_state → finish",
       "tcp_v4_rcv → tcp_rcv_state_process → tcp_ack → tcp_done"},
      {"Engine::become_time_wait → TimeWait::ack → Engine::poll_reply",
       "tcp_fin → tcp_send_ack → __tcp_transmit_skb"},
      {"Engine::on_datagram → on_time_wait_segment → TimeWaitTable::on_segment",
       "tcp_v4_rcv → tcp_timewait_state_process"},
      {"Engine::on_datagram → Connection::on_segment → on_syn_sent → finish",
       "tcp_v4_rcv → tcp_rcv_state_process → tcp_rcv_synsent_state_process → tcp_reset"},
      {"Engine::on_datagram → Connection::on_segment → check_rst → finish",
       "tcp_v4_rcv → tcp_validate_incoming → tcp_reset"},
      {"Engine::on_datagram → reset_answer", "tcp_v4_rcv → __inet_lookup_skb → tcp_v4_send_reset"},
      {"Engine::reset_answer → reply → poll_reply", "tcp_v4_send_reset → ip_send_unicast_reply"},
  }};
  return kTable[static_cast<std::size_t>(step)];
}

namespace {

Step inbound_step(std::uint16_t flags, std::uint32_t payload, State before, State after) {
  const bool syn = (flags & wire::kSyn) != 0, fin = (flags & wire::kFin) != 0;
  if ((flags & wire::kRst) != 0) return before == State::kSynSent ? Step::kRefusedIn : Step::kResetIn;
  if (before == State::kClosed) return Step::kNobodyIn;
  if (before == State::kSynSent) return Step::kSynAckIn;
  if (syn) return Step::kSynIn;
  if (before == State::kSynReceived) return Step::kHandshakeDone;
  if (before == State::kTimeWait) return Step::kTimeWaitIn;
  if (fin) return before == State::kEstablished ? Step::kPeerCloseIn : Step::kPeerFinalIn;
  if (before == State::kFinWait1 && after == State::kFinWait2) return Step::kFinAckedIn;
  if ((before == State::kLastAck && after == State::kClosed) ||
      (before == State::kClosing && after == State::kTimeWait))
    return Step::kLastAckIn;
  return payload != 0 ? Step::kDataIn : Step::kAckIn;
}

Step outbound_step(std::uint16_t flags, std::uint32_t payload, State before, State after) {
  const bool syn = (flags & wire::kSyn) != 0, fin = (flags & wire::kFin) != 0,
             ack = (flags & wire::kAck) != 0;
  if ((flags & wire::kRst) != 0) return Step::kResetOut;
  if (syn) return ack ? Step::kSynAckOut : Step::kConnect;
  if (fin)
    return after == State::kLastAck || before == State::kCloseWait ? Step::kCloseReplyOut : Step::kCloseOut;
  if (after == State::kTimeWait) return Step::kTimeWaitAck;
  return payload != 0 ? Step::kDataOut : Step::kAckOut;
}

}  // namespace

Step step_of(bool inbound, std::uint16_t flags, std::uint32_t payload_bytes, State before, State after) {
  return inbound ? inbound_step(flags, payload_bytes, before, after)
                 : outbound_step(flags, payload_bytes, before, after);
}

}  // namespace tapir::observe
