// SPDX-License-Identifier: Apache-2.0
#include "scenarios/recorder.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "scenarios/calm.h"
#include "sim/drill/tcp_info.h"
#include "wire/tcp_segment.h"

namespace tapir::scenarios {

using sim::drill::Machine;

namespace {

// What is compared: the state, not the clocks. Round-trip times and rates differ in real time by what the
// machine at hand needs.
constexpr std::string_view kCompared[] = {
    "tcpi_state",          "tcpi_ca_state",
    "tcpi_retransmits",    "tcpi_probes",
    "tcpi_backoff",        "tcpi_options",
    "tcpi_snd_wscale",     "tcpi_rcv_wscale",
    "tcpi_snd_mss",        "tcpi_rcv_mss",
    "tcpi_unacked",        "tcpi_sacked",
    "tcpi_lost",           "tcpi_retrans",
    "tcpi_snd_ssthresh",   "tcpi_snd_cwnd",
    "tcpi_advmss",         "tcpi_reordering",
    "tcpi_total_retrans",  "tcpi_bytes_acked",
    "tcpi_bytes_received", "tcpi_segs_out",
    "tcpi_segs_in",        "tcpi_notsent_bytes",
    "tcpi_data_segs_in",   "tcpi_data_segs_out",
    "tcpi_delivered",      "tcpi_delivered_ce",
    "tcpi_bytes_sent",     "tcpi_bytes_retrans",
    "tcpi_dsack_dups",     "tcpi_reord_seen",
    "tcpi_rcv_ooopack",    "tcpi_snd_wnd",
    "tcpi_total_rto",      "tcpi_total_rto_recoveries",
    "tcpi_rcv_ssthresh",   "tcpi_delivery_rate_app_limited",
};

std::string result_text(const socket::Result<long>& result) {
  return result ? std::to_string(*result)
                : fmt::format("-1 {}", ::strerrorname_np(static_cast<int>(result.error())));
}

template <typename T>
socket::Result<long> as_long(const socket::Result<T>& result) {
  if (!result) return std::unexpected(result.error());
  return static_cast<long>(*result);
}

}  // namespace

Recorder::Recorder(std::string_view commands) {
  text_ = fmt::format("`../../common/defaults.sh\n{}`\n", commands);
  const std::string all = fmt::format("../../common/defaults.sh\n{}", commands);
  const auto done = shell_.run(all);
  if (!done.ok()) throw std::runtime_error("the commands are not taken: " + all);
  machine_.start();
  machine_.settle();
}

void Recorder::line(std::string_view what) {
  text_ += fmt::format("{:.6f} {}\n", std::chrono::duration<double>(now()).count(), what);
}

void Recorder::told_of(const sim::drill::SentPacket& packet) {
  auto seen = sim::drill::read_segment(packet, settings_);
  if (!seen || seen->tuple != connection_.tuple) return;
  if ((seen->flags & wire::kSyn) != 0 && !connection_.local_isn_known) {
    connection_.live_local_isn = SeqNum(seen->seq);
    connection_.local_isn_known = true;
  }
  if (const auto at = sim::drill::timestamp_at(seen->options.bytes())) {
    const auto live = load_be<std::uint32_t>(seen->options.bytes(), *at);
    // The script's clock begins at 100.
    if (!connection_.timestamp_offset) connection_.timestamp_offset = live - 100;
    last_timestamp_ = live - *connection_.timestamp_offset;
    connection_.timestamps[last_timestamp_] = live;
  }
  SeenSegment scripted = sim::drill::to_script(*seen, connection_);
  const SeenSegment whole = scripted;
  // Only the first segment of a super-segment says CWR: in packetdrill's eyes what follows is another.
  if ((scripted.flags & wire::kCwr) != 0 && scripted.segment_size != 0 &&
      scripted.length > scripted.segment_size)
    write_down(sim::drill::take_front(scripted, scripted.segment_size));
  write_down(scripted);
  told_(whole);
}

void Recorder::write_down(const SeenSegment& scripted) {
  static constexpr std::string_view kEcn[] = {"", "[ect1] ", "[ect0] ", "[ce] "};
  text_ +=
      fmt::format("{:.6f} > {}{}\n", std::chrono::duration<double>(scripted.at - Machine::kStart).count(),
                  kEcn[scripted.tos & 3U], to_text(scripted, with_window_));
}

void Recorder::drain() {
  while (!machine_.sent().empty()) {
    const sim::drill::SentPacket packet = std::move(machine_.sent().front());
    machine_.sent().pop_front();
    told_of(packet);
  }
}

void Recorder::settle() {
  by_itself_ = false;
  machine_.settle();
  drain();
  by_itself_ = true;
  last_event_ = now();
  if (closely_) assert_info();
  machine_.advance_to(machine_.now() + kApart, [] { return false; });
}

void Recorder::advance_to(Duration until) {
  while (now() < until && !broken()) {
    machine_.advance_to(Machine::kStart + until, [this] { return !machine_.sent().empty(); });
    drain();
  }
}

void Recorder::accept_connection(TcpSpec syn, Duration rtt, bool timestamps) {
  auto& sockets = machine_.sockets();
  const int listener = *sockets.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP, machine_.now());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(settings_.bind_port);
  (void)sockets.bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address, machine_.now());
  (void)sockets.listen(listener, 1, machine_.now());
  line("socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
  line("setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0");
  line("bind(3, ..., ...) = 0");
  line("listen(3, 1) = 0");
  connection_.tuple = {{settings_.local, settings_.bind_port}, {settings_.remote, 40001}};
  connection_.state = sim::drill::Connection::State::kPassive;
  connection_.remote_isn_known = true;
  syn.flags |= wire::kSyn;
  inject(syn);
  advance_to(now() + rtt);
  TcpSpec ack;
  ack.flags = wire::kAck;
  ack.seq = 1;
  ack.ack = 1;
  ack.window = syn.window;
  if (timestamps) {
    ack.options.nop();
    ack.options.nop();
    ack.options.timestamps({static_cast<std::uint32_t>(700 + rtt / 1ms), last_timestamp_});
  }
  inject(ack);
  const auto accepted = sockets.accept4(listener, nullptr, nullptr, SOCK_NONBLOCK, machine_.now());
  if (!accepted) throw std::runtime_error("no connection is accepted");
  fd_ = *accepted;
  line("accept(3, ..., ...) = 4");
  line("fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0");
}

void Recorder::inject(const TcpSpec& spec, const IpSpec& ip) {
  const auto built = sim::drill::build_segment(spec, ip, connection_, settings_);
  if (!built) throw std::runtime_error(built.error());
  line("< " + to_text(spec, ip));
  machine_.inject(*built);
  settle();
}

void Recorder::write(std::uint32_t size, int flags) {
  if (fd_ < 0) return;
  const std::vector<char> zeros(size);
  const auto done =
      as_long(machine_.sockets().send(fd_, zeros.data(), size, flags | MSG_NOSIGNAL, machine_.now()));
  line(fmt::format("send(4, ..., {}, {}MSG_NOSIGNAL) = {}", size, (flags & MSG_MORE) != 0 ? "MSG_MORE|" : "",
                   result_text(done)));
  settle();
}

void Recorder::read(std::uint32_t size) {
  if (fd_ < 0) return;
  std::vector<char> room(size);
  const auto done = as_long(machine_.sockets().recv(fd_, room.data(), size, 0, machine_.now()));
  line(fmt::format("recv(4, ..., {}, 0) = {}", size, result_text(done)));
  settle();
}

void Recorder::set_option(std::string_view level, int level_number, std::string_view name, int number,
                          int value) {
  if (fd_ < 0) return;
  const auto done =
      as_long(machine_.sockets().setsockopt(fd_, level_number, number, &value, sizeof value, machine_.now()));
  line(fmt::format("setsockopt(4, {}, {}, [{}], 4) = {}", level, name, value, result_text(done)));
  settle();
}

void Recorder::assert_info() {
  if (fd_ < 0) return;
  std::vector<std::uint8_t> info(sim::drill::kTcpInfoSize);
  auto length = static_cast<socklen_t>(info.size());
  if (!machine_.sockets().getsockopt(fd_, IPPROTO_TCP, TCP_INFO, info.data(), &length, machine_.now()))
    return;
  info.resize(length);
  sim::drill::CodeSnapshot names;
  sim::drill::add_tcp_info(info, names);
  std::string code;
  for (const auto& [name, value] : names)
    for (const std::string_view compared : kCompared)
      if (name == compared && (with_window_ || name != "tcpi_rcv_ssthresh"))
        code += fmt::format("\nassert {} == {}", name, value);
  line("%{" + code + "\n}%");
}

}  // namespace tapir::scenarios
