// SPDX-License-Identifier: Apache-2.0
#include "observe/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "observe/columns.h"
#include "observe/json_row.h"
#include "stack/parts.h"
#include "tcp/connection_info.h"
#include "trace/drop_reason.h"

namespace tapir::observe {

namespace {

using Json = nlohmann::ordered_json;

// ---- sockets ----

// 0.0.0.0:1 of a RAW socket, whose protocol stands in the place of the port.
std::string raw_end(const IpAddress& address, std::uint64_t number) {
  return fmt::format("{}:{}", address.is_unspecified() ? "0.0.0.0" : address.to_string(), number);
}

// iproute2's names of states.
const char* ss_state(tcp::State state) {
  switch (state) {
    case tcp::State::kEstablished:
      return "ESTAB";
    case tcp::State::kSynSent:
      return "SYN-SENT";
    case tcp::State::kSynReceived:
      return "SYN-RECV";
    case tcp::State::kFinWait1:
      return "FIN-WAIT-1";
    case tcp::State::kFinWait2:
      return "FIN-WAIT-2";
    case tcp::State::kTimeWait:
      return "TIME-WAIT";
    case tcp::State::kClosed:
      return "UNCONN";
    case tcp::State::kCloseWait:
      return "CLOSE-WAIT";
    case tcp::State::kLastAck:
      return "LAST-ACK";
    case tcp::State::kListen:
      return "LISTEN";
    case tcp::State::kClosing:
      return "CLOSING";
  }
  return "UNKNOWN";
}

// "0.0.0.0:*" for an end that is not there.
std::string ss_endpoint(const Endpoint& endpoint) {
  const std::string address = endpoint.address.is_unspecified() ? "0.0.0.0" : endpoint.address.to_string();
  return endpoint.port == 0 ? address + ":*" : fmt::format("{}:{}", address, endpoint.port);
}

Json info_json(const tcp::ConnectionInfo& info) {
  Json json;
  json["ts"] = info.timestamps;
  json["sack"] = info.sack;
  json["congestion_control"] = std::string(info.congestion_control);
  if (info.window_scaling) json["wscale"] = {info.snd_wscale, info.rcv_wscale};
  json["rto_us"] = to_usec(info.rto);
  json["backoff"] = info.backoff;
  json["rtt_us"] = info.rtt_us;
  json["rttvar_us"] = info.rttvar_us;
  json["ato_us"] = to_usec(info.ato);
  json["mss"] = info.snd_mss;
  json["pmtu"] = info.pmtu;
  json["rcvmss"] = info.rcv_mss;
  json["advmss"] = info.advmss;
  json["cwnd"] = info.snd_cwnd;
  json["ssthresh"] = info.snd_ssthresh;
  json["ca_state"] = static_cast<unsigned>(info.ca_state);
  json["bytes_sent"] = info.bytes_sent;
  json["bytes_retrans"] = info.bytes_retrans;
  json["bytes_acked"] = info.bytes_acked;
  json["bytes_received"] = info.bytes_received;
  json["segs_out"] = info.segs_out;
  json["segs_in"] = info.segs_in;
  json["data_segs_out"] = info.data_segs_out;
  json["data_segs_in"] = info.data_segs_in;
  json["lastsnd_ms"] = to_msec(info.since_data_sent);
  json["lastrcv_ms"] = to_msec(info.since_data_received);
  json["lastack_ms"] = to_msec(info.since_ack_received);
  json["pacing_rate"] = info.pacing_rate;  // bytes per second; all ones: none
  json["delivered"] = info.delivered;
  json["unacked"] = info.unacked;
  json["retrans"] = info.retrans;
  json["retrans_total"] = info.total_retrans;
  json["dsack_dups"] = info.dsack_dups;
  json["lost"] = info.lost;
  json["sacked"] = info.sacked;
  json["reordering"] = info.reordering;
  json["rcv_rtt_us"] = info.rcv_rtt_us;
  json["rcv_space"] = info.rcv_space;
  json["rcv_ssthresh"] = info.rcv_ssthresh;
  json["notsent"] = info.notsent_bytes;
  if (info.min_rtt_us != ~0U) json["minrtt_us"] = info.min_rtt_us;
  json["snd_wnd"] = info.snd_wnd;
  json["rcv_wnd"] = info.rcv_wnd;
  return json;
}

struct SocketVisit {
  Json rows = Json::array();
  Instant now{};
};

void add_tcp_row(void* context, const tcp::Engine::Row& row) {
  auto& visit = *static_cast<SocketVisit*>(context);
  // A program still holds its socket; the network knows it no more.
  if (row.state == tcp::State::kClosed) return;
  Json json;
  json["netid"] = "tcp";
  json["state"] = ss_state(row.state);
  json["recv_q"] = row.receive_queue;
  json["send_q"] = row.send_queue;
  json["local"] = ss_endpoint(row.tuple.local);
  json["peer"] = ss_endpoint(row.tuple.remote);
  json["subject"] = row.subject;
  if (*row.timer != '\0' && row.timer_at != kNever)
    json["timer"] = {{"name", row.timer},
                     {"expires_ms", row.timer_at > visit.now ? to_msec(row.timer_at - visit.now) : 0},
                     {"retrans", row.retransmits}};
  if (row.connection != nullptr) {
    const tcp::Connection& c = *row.connection;
    json["orphan"] = c.orphan();
    json["info"] = info_json(c.info(visit.now));
    json["mem"] = {
        {"rcvbuf", c.receive_buffer_limit()}, {"sndbuf", c.send_buffer_limit()}, {"used", c.memory_used()}};
  }
  visit.rows.push_back(std::move(json));
}

void append_if(std::string& text, const Json& info, const char* key, const char* name) {
  if (const std::uint64_t value = number(info, key); value != 0) text += fmt::format(" {}:{}", name, value);
}

// In the order and spelling of iproute2's tcp_stats_print().
std::string info_text(const Json& info) {
  std::string text;
  if (get(info, "ts", false)) text += " ts";
  if (get(info, "sack", false)) text += " sack";
  text += ' ' + get(info, "congestion_control");
  if (const auto wscale = info.find("wscale"); wscale != info.end())
    text += fmt::format(" wscale:{},{}", wscale->at(0).get<unsigned>(), wscale->at(1).get<unsigned>());
  text += " rto:" + decimal(number(info, "rto_us"));
  append_if(text, info, "backoff", "backoff");
  if (const std::uint64_t rtt = number(info, "rtt_us"); rtt != 0)
    text += " rtt:" + decimal(rtt) + '/' + decimal(number(info, "rttvar_us"));
  if (const std::uint64_t ato = number(info, "ato_us"); ato != 0) text += " ato:" + decimal(ato);
  append_if(text, info, "mss", "mss");
  append_if(text, info, "pmtu", "pmtu");
  append_if(text, info, "rcvmss", "rcvmss");
  append_if(text, info, "advmss", "advmss");
  append_if(text, info, "cwnd", "cwnd");
  if (const std::uint64_t ssthresh = number(info, "ssthresh"); ssthresh < 0xffff)
    append_if(text, info, "ssthresh", "ssthresh");
  for (const char* key : {"bytes_sent", "bytes_retrans", "bytes_acked", "bytes_received", "segs_out",
                          "segs_in", "data_segs_out", "data_segs_in"})
    append_if(text, info, key, key);
  const std::uint64_t cwnd = number(info, "cwnd"), mss = number(info, "mss"), rtt_us = number(info, "rtt_us");
  if (rtt_us != 0 && mss != 0) text += fmt::format(" send {}bps", cwnd * mss * 8 * 1'000'000 / rtt_us);
  append_if(text, info, "lastsnd_ms", "lastsnd");
  append_if(text, info, "lastrcv_ms", "lastrcv");
  append_if(text, info, "lastack_ms", "lastack");
  if (const std::uint64_t rate = number(info, "pacing_rate"); rate != 0 && rate != ~std::uint64_t{0})
    text += fmt::format(" pacing_rate {}bps", rate * 8);
  append_if(text, info, "delivered", "delivered");
  append_if(text, info, "unacked", "unacked");
  if (number(info, "retrans") != 0 || number(info, "retrans_total") != 0)
    text += fmt::format(" retrans:{}/{}", number(info, "retrans"), number(info, "retrans_total"));
  append_if(text, info, "dsack_dups", "dsack_dups");
  append_if(text, info, "lost", "lost");
  append_if(text, info, "sacked", "sacked");
  if (number(info, "reordering") != 3) append_if(text, info, "reordering", "reordering");
  if (const std::uint64_t rcv_rtt = number(info, "rcv_rtt_us"); rcv_rtt != 0)
    text += " rcv_rtt:" + decimal(rcv_rtt);
  append_if(text, info, "rcv_space", "rcv_space");
  append_if(text, info, "rcv_ssthresh", "rcv_ssthresh");
  append_if(text, info, "notsent", "notsent");
  if (const std::uint64_t least = number(info, "minrtt_us"); least != 0) text += " minrtt:" + decimal(least);
  append_if(text, info, "snd_wnd", "snd_wnd");
  append_if(text, info, "rcv_wnd", "rcv_wnd");
  return text;
}

// What follows the addresses on a socket's line.
std::string extra_text(const Json& row, const SsView& view) {
  std::string text;
  if (const auto timer = row.find("timer"); view.timers && timer != row.end())
    text += fmt::format("timer:({},{},{})", get(*timer, "name"), timer_text(number(*timer, "expires_ms")),
                        number(*timer, "retrans"));
  if (const std::string users = get(row, "users"); view.processes && !users.empty())
    text += (text.empty() ? "" : " ") + users;
  if (view.extended)
    text += fmt::format("{}sk:{:x}{}", text.empty() ? "" : " ", number(row, "subject"),
                        get(row, "orphan", false) ? " orphan" : "");
  return text;
}

// The second line, as -i and -m make it.
std::string below_text(const Json& row, const SsView& view) {
  std::string text;
  if (const auto mem = row.find("mem"); view.memory && mem != row.end())
    text += fmt::format(" skmem:(r{},rb{},t0,tb{},f0,w{},o0,bl0,d{})", number(row, "recv_q"),
                        number(*mem, "rcvbuf"), number(*mem, "sndbuf"), number(row, "send_q"),
                        number(*mem, "drops"));
  if (const auto info = row.find("info"); view.info && info != row.end()) text += info_text(*info);
  return text.empty() ? text : "\t" + text + "\n";
}

// "*:tap0", "[2054]:*": what it takes, and where, as ss names packet sockets.
std::string packet_end(const stack::Stack::Parts& parts, const raw::PacketPort& port) {
  const ip::Interface* on = parts.interfaces.find(port.interface);
  const std::string protocol =
      port.protocol == raw::kEveryProtocol ? "*" : fmt::format("[{}]", port.protocol);
  return protocol + ':' + (on != nullptr ? on->name : "*");
}

// A row of a socket that has a queue and no connection.
Json queued_row(const char* netid, bool connected, std::string local, std::string peer, std::uint64_t subject,
                const raw::ReceiveQueue& queue) {
  return {{"netid", netid},
          {"state", connected ? "ESTAB" : "UNCONN"},
          {"recv_q", queue.true_size()},
          {"send_q", 0},
          {"local", std::move(local)},
          {"peer", std::move(peer)},
          {"subject", subject},
          {"mem",
           {{"rcvbuf", queue.limit}, {"sndbuf", 0}, {"used", queue.true_size()}, {"drops", queue.drops()}}}};
}

void add_raw_rows(const stack::Stack::Parts& parts, Json& rows) {
  parts.packet_ports.for_each([&](const raw::PacketPort& port) {
    rows.push_back(queued_row(port.cooked ? "p_dgr" : "p_raw", false, packet_end(parts, port), "*",
                              port.owner, port.queue));
  });
  parts.raw_ports.for_each([&](const raw::RawPort& port) {
    rows.push_back(queued_row("raw", port.connected(),
                              raw_end(port.local, static_cast<std::uint64_t>(port.protocol)),
                              ss_endpoint({port.remote, 0}), port.owner, port.queue));
  });
  parts.ping_ports.for_each([&](const raw::PingPort& port) {
    if (port.identifier() == 0) return;
    rows.push_back(queued_row("icmp", port.connected(), raw_end(port.local, port.identifier()),
                              ss_endpoint({port.remote, 0}), port.owner, port.queue));
  });
}

// Which of the four kinds a row is of.
bool of_wanted_kind(std::string_view netid, const SsView& view) {
  if (netid == "tcp") return view.tcp;
  if (netid == "udp") return view.udp;
  return netid.starts_with("p_") ? view.packet : view.raw;
}

bool wanted(const Json& row, const SsView& view) {
  if (!of_wanted_kind(get(row, "netid"), view)) return false;
  if (!view.filter.wants(row)) return false;
  if (view.filter.names_states()) return true;
  const std::string state = get(row, "state");
  if (view.listening) return state == "LISTEN" || state == "UNCONN";
  return view.all || (state != "LISTEN" && state != "UNCONN" && state != "TIME-WAIT" && state != "SYN-RECV");
}

}  // namespace

// ---- numbers
// -------------------------------------------------------------------------------------------------------

std::string decimal(std::uint64_t thousandths) {
  std::string text = fmt::format("{}.{:03}", thousandths / 1000, thousandths % 1000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string timer_text(std::uint64_t msec) {
  std::uint64_t ms = msec % 1000, seconds = msec / 1000 % 60;
  const std::uint64_t minutes = msec / 60'000;
  std::string text;
  if (minutes != 0) {
    ms = 0;
    text += fmt::format("{}min", minutes);
    if (minutes > 9) seconds = 0;
  }
  if (seconds != 0) {
    if (seconds > 9) ms = 0;
    text += fmt::format("{}{}", seconds, ms != 0 ? "." : "sec");
  }
  if (ms != 0) text += fmt::format("{:03}ms", ms);
  return text;
}

bool matches(std::string_view pattern, std::string_view name) {
  // Where to try again when what follows the last * does not fit.
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] == name[n] && pattern[p] != '*'))) {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// ---- sockets
// -------------------------------------------------------------------------------------------------------

Json sockets_json(stack::Stack& stack, Instant now) {
  stack::Stack::Parts& parts = stack.parts();
  SocketVisit visit;
  visit.now = now;
  add_raw_rows(parts, visit.rows);
  parts.udp.for_each([&](udp::PortHandle handle, const udp::DatagramPort& port) {
    if (!port.bound()) return;
    visit.rows.push_back({{"netid", "udp"},
                          {"state", port.connected() ? "ESTAB" : "UNCONN"},
                          {"recv_q", port.queued_true_size()},
                          {"send_q", 0},
                          {"local", ss_endpoint(port.local())},
                          {"peer", ss_endpoint(port.remote())},
                          {"subject", handle.packed()},
                          {"mem",
                           {{"rcvbuf", port.receive_buffer},
                            {"sndbuf", 0},
                            {"used", port.queued_true_size()},
                            {"drops", port.drops()}}}});
  });
  parts.tcp.for_each(add_tcp_row, &visit, now);
  return visit.rows;
}

Json select_sockets(const Json& rows, const SsView& view) {
  Json selected = Json::array();
  for (const Json& row : rows)
    if (wanted(row, view)) selected.push_back(row);
  return selected;
}

std::string sockets_text(const Json& rows, const SsView& view) {
  const bool netid = view.tcp + view.udp + view.raw + view.packet > 1;
  std::vector<std::string> header{"State",  "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port",
                                  "Process"};
  if (netid) header.insert(header.begin(), "Netid");
  Columns columns(std::move(header), netid ? std::vector<std::size_t>{4, 5} : std::vector<std::size_t>{3, 4});
  for (const Json& row : rows) {
    if (!wanted(row, view)) continue;
    std::vector<std::string> cells{get(row, "state"),
                                   fmt::to_string(number(row, "recv_q")),
                                   fmt::to_string(number(row, "send_q")),
                                   get(row, "local"),
                                   get(row, "peer"),
                                   extra_text(row, view)};
    if (netid) cells.insert(cells.begin(), get(row, "netid"));
    columns.add(std::move(cells), below_text(row, view));
  }
  return columns.text(view.header);
}

// ---- counters
// ------------------------------------------------------------------------------------------------------

Json counters_json(const stack::Stack& stack, bool zeros) {
  Json json = Json::object();
  for (std::size_t i = 0; i < trace::kCounters; ++i) {
    const auto counter = static_cast<trace::Counter>(i);
    const std::uint64_t value = stack.counters().get(counter);
    if (value != 0 || zeros) json[std::string(trace::to_string(counter))] = value;
  }
  return json;
}

std::string counters_text(const Json& counters, std::span<const std::string> patterns) {
  std::string text = "#tapir\n";
  for (const auto& [name, value] : counters.items()) {
    const bool shown =
        patterns.empty() ||
        std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return matches(p, name); });
    if (shown) text += fmt::format("{:<32}{:<16}{:>6}\n", name, value.get<std::uint64_t>(), "0.0");
  }
  return text;
}

Json drops_json(const stack::Stack& stack) {
  Json json = Json::array();
  for (std::size_t i = 1; i < trace::kDropReasons; ++i) {
    const auto reason = static_cast<trace::DropReason>(i);
    if (const std::uint64_t count = stack.counters().dropped(reason); count != 0)
      json.push_back({{"reason", std::string(trace::to_string(reason))},
                      {"count", count},
                      {"why", std::string(trace::explain(reason))}});
  }
  return json;
}

std::string drops_text(const Json& drops) {
  Columns columns({"Reason", "Packets", "Why"}, {1});
  for (const Json& row : drops)
    columns.add({get(row, "reason"), fmt::to_string(number(row, "count")), get(row, "why")});
  return columns.text();
}

}  // namespace tapir::observe
