// SPDX-License-Identifier: Apache-2.0
#include "observe/comment.h"

#include <fmt/format.h>

#include <array>

#include "observe/tables.h"
#include "stack/parts.h"
#include "tcp/connection_info.h"

namespace tapir::observe {

std::string connection_comment(stack::Stack& stack, const FourTuple& tuple, Instant now) {
  stack::Stack::Parts& parts = stack.parts();
  const auto found = parts.tcp.find(tuple);
  if (!found) return {};
  std::string text(tcp::to_string(found->state));
  if (found->connection == nullptr) return text;
  const tcp::ConnectionInfo info = found->connection->info(now);
  // TCP_CA_Open …, as Linux numbers them.
  static constexpr std::array<const char*, 5> kStates = {"Open", "Disorder", "CWR", "Recovery", "Loss"};
  const auto ca = static_cast<std::size_t>(info.ca_state);
  text += fmt::format(" cwnd {} ssthresh {} unacked {} retrans {} rto {}ms", info.snd_cwnd,
                      info.snd_ssthresh < 0xffff ? fmt::to_string(info.snd_ssthresh) : "-", info.unacked,
                      info.total_retrans, to_msec(info.rto));
  if (info.rtt_us != 0) text += fmt::format(" rtt {}ms", decimal(info.rtt_us));
  return text + fmt::format(" snd_wnd {} rcv_wnd {} ca {}", info.snd_wnd, info.rcv_wnd,
                            ca < kStates.size() ? kStates[ca] : "?");
}

}  // namespace tapir::observe
