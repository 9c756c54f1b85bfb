// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/tcp_info.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <string_view>

namespace tapir::sim::drill {

namespace {

// Bit fields share a byte: shift and mask apply after loading.
struct InfoField {
  std::string_view name;
  std::size_t offset;
  std::size_t size;
  unsigned shift = 0;
  std::uint64_t mask = UINT64_MAX;
};

constexpr InfoField kFields[] = {
    {"tcpi_state", 0, 1},
    {"tcpi_ca_state", 1, 1},
    {"tcpi_retransmits", 2, 1},
    {"tcpi_probes", 3, 1},
    {"tcpi_backoff", 4, 1},
    {"tcpi_options", 5, 1},
    {"tcpi_snd_wscale", 6, 1, 0, 15},
    {"tcpi_rcv_wscale", 6, 1, 4, 15},
    {"tcpi_delivery_rate_app_limited", 7, 1, 0, 1},
    {"tcpi_fastopen_client_fail", 7, 1, 1, 3},
    {"tcpi_rto", 8, 4},
    {"tcpi_ato", 12, 4},
    {"tcpi_snd_mss", 16, 4},
    {"tcpi_rcv_mss", 20, 4},
    {"tcpi_unacked", 24, 4},
    {"tcpi_sacked", 28, 4},
    {"tcpi_lost", 32, 4},
    {"tcpi_retrans", 36, 4},
    {"tcpi_fackets", 40, 4},
    {"tcpi_last_data_sent", 44, 4},
    {"tcpi_last_ack_sent", 48, 4},
    {"tcpi_last_data_recv", 52, 4},
    {"tcpi_last_ack_recv", 56, 4},
    {"tcpi_pmtu", 60, 4},
    {"tcpi_rcv_ssthresh", 64, 4},
    {"tcpi_rtt", 68, 4},
    {"tcpi_rttvar", 72, 4},
    {"tcpi_snd_ssthresh", 76, 4},
    {"tcpi_snd_cwnd", 80, 4},
    {"tcpi_advmss", 84, 4},
    {"tcpi_reordering", 88, 4},
    {"tcpi_rcv_rtt", 92, 4},
    {"tcpi_rcv_space", 96, 4},
    {"tcpi_total_retrans", 100, 4},
    {"tcpi_pacing_rate", 104, 8},
    {"tcpi_max_pacing_rate", 112, 8},
    {"tcpi_bytes_acked", 120, 8},
    {"tcpi_bytes_received", 128, 8},
    {"tcpi_segs_out", 136, 4},
    {"tcpi_segs_in", 140, 4},
    {"tcpi_notsent_bytes", 144, 4},
    {"tcpi_min_rtt", 148, 4},
    {"tcpi_data_segs_in", 152, 4},
    {"tcpi_data_segs_out", 156, 4},
    {"tcpi_delivery_rate", 160, 8},
    {"tcpi_busy_time", 168, 8},
    {"tcpi_rwnd_limited", 176, 8},
    {"tcpi_sndbuf_limited", 184, 8},
    {"tcpi_delivered", 192, 4},
    {"tcpi_delivered_ce", 196, 4},
    {"tcpi_bytes_sent", 200, 8},
    {"tcpi_bytes_retrans", 208, 8},
    {"tcpi_dsack_dups", 216, 4},
    {"tcpi_reord_seen", 220, 4},
    {"tcpi_rcv_ooopack", 224, 4},
    {"tcpi_snd_wnd", 228, 4},
    {"tcpi_rcv_wnd", 232, 4},
    {"tcpi_rehash", 236, 4},
    {"tcpi_total_rto", 240, 2},
    {"tcpi_total_rto_recoveries", 242, 2},
    {"tcpi_total_rto_time", 244, 4},
    {"tcpi_received_ce", 248, 4},
    {"tcpi_delivered_e1_bytes", 252, 4},
    {"tcpi_delivered_e0_bytes", 256, 4},
    {"tcpi_delivered_ce_bytes", 260, 4},
    {"tcpi_received_e1_bytes", 264, 4},
    {"tcpi_received_e0_bytes", 268, 4},
    {"tcpi_received_ce_bytes", 272, 4},
    {"tcpi_accecn_fail_mode", 276, 2},
    {"tcpi_accecn_opt_seen", 278, 2},
};

constexpr std::string_view kMeminfo[] = {
    "SK_MEMINFO_RMEM_ALLOC", "SK_MEMINFO_RCVBUF",    "SK_MEMINFO_WMEM_ALLOC",
    "SK_MEMINFO_SNDBUF",     "SK_MEMINFO_FWD_ALLOC", "SK_MEMINFO_WMEM_QUEUED",
    "SK_MEMINFO_OPTMEM",     "SK_MEMINFO_BACKLOG",   "SK_MEMINFO_DROPS"};

constexpr std::string_view kStates[] = {
    "?",      "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2",  "TIME-WAIT",
    "CLOSED", "CLOSE-WAIT",  "LAST-ACK", "LISTEN",       "CLOSING",    "NEW-SYN-RECV"};
constexpr std::string_view kCaStates[] = {"Open", "Disorder", "CWR", "Recovery", "Loss"};

// The kernel's structures are in the machine's byte order.
std::uint64_t load_native(Bytes bytes, std::size_t offset, std::size_t size) {
  switch (size) {
    case 1:
      return bytes[offset];
    case 2: {
      std::uint16_t value;
      std::memcpy(&value, bytes.data() + offset, 2);
      return value;
    }
    case 4: {
      std::uint32_t value;
      std::memcpy(&value, bytes.data() + offset, 4);
      return value;
    }
    default: {
      std::uint64_t value;
      std::memcpy(&value, bytes.data() + offset, 8);
      return value;
    }
  }
}

}  // namespace

void add_tcp_info(Bytes info, CodeSnapshot& names) {
  for (const InfoField& field : kFields)
    if (field.offset + field.size <= info.size())
      names.emplace_back(
          field.name,
          static_cast<std::int64_t>(load_native(info, field.offset, field.size) >> field.shift & field.mask));
}

void add_meminfo(Bytes meminfo, CodeSnapshot& names) {
  for (std::size_t i = 0; i < std::size(kMeminfo) && 4 * (i + 1) <= meminfo.size(); ++i)
    names.emplace_back(kMeminfo[i], static_cast<std::int64_t>(load_native(meminfo, 4 * i, 4)));
}

std::string describe_tcp_info(Bytes info) {
  CodeSnapshot names;
  add_tcp_info(info, names);
  const auto value = [&](std::string_view name) {
    for (const auto& [field, number] : names)
      if (std::string_view(field).substr(5) == name) return number;
    return std::int64_t{0};
  };
  const auto named = [](std::span<const std::string_view> table, std::int64_t index) {
    return index >= 0 && static_cast<std::size_t>(index) < table.size()
               ? table[static_cast<std::size_t>(index)]
               : std::string_view("?");
  };
  return fmt::format(
      "state {} ca {} cwnd {} ssthresh {} unacked {} sacked {} lost {} retrans {} notsent {} snd_wnd {} "
      "rcv_wnd {}\n"
      "mss {}/{} advmss {} wscale {},{} rto {} us srtt {} us rttvar {} us min_rtt {} us backoff {} probes {} "
      "ato {} us reordering {} delivered {}",
      named(kStates, value("state")), named(kCaStates, value("ca_state")), value("snd_cwnd"),
      value("snd_ssthresh"), value("unacked"), value("sacked"), value("lost"), value("retrans"),
      value("notsent_bytes"), value("snd_wnd"), value("rcv_wnd"), value("snd_mss"), value("rcv_mss"),
      value("advmss"), value("snd_wscale"), value("rcv_wscale"), value("rto"), value("rtt"), value("rttvar"),
      value("min_rtt"), value("backoff"), value("probes"), value("ato"), value("reordering"),
      value("delivered"));
}

}  // namespace tapir::sim::drill
