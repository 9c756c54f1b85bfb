// SPDX-License-Identifier: Apache-2.0
// `tapir demo`: the stack at work against the kernel, step by step, each step checked.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "cli/commands.h"
#include "cli/demo_end.h"
#include "cli/demo_report.h"
#include "cli/demo_wire.h"
#include "ip/events.h"
#include "observe/ip_tables.h"
#include "observe/ladder.h"
#include "observe/tables.h"
#include "runtime/clock.h"
#include "stack/parts.h"
#include "trace/ring.h"

namespace tapir::cli {

namespace {

using observe::Ladder;

constexpr std::size_t kRecordsMax = 1 << 16;  // of one step; only bulk has more, and is not traced
constexpr Duration kBulkTime = std::chrono::milliseconds(1500);  // each way
constexpr int kPings = 3;

const Endpoint kOurWeb{kDemoOurs.address, 80};
const Endpoint kPeerWeb{kDemoPeers.address, 8080};
const Endpoint kOurEcho{kDemoOurs.address, 7};
const Endpoint kOurSink{kDemoOurs.address, 9};
const Endpoint kPeerSink{kDemoPeers.address, 9009};
const Endpoint kOurNothing{kDemoOurs.address, 4444};
const Endpoint kPeerNothing{kDemoPeers.address, 4444};

constexpr const char* kOurPage = "Hello from tapir, a TCP/IP stack in user space.\n";
constexpr const char* kPeerPage = "Hello from the other end of the wire.\n";

// What the stack decides while this lives.
class Recording {
 public:
  explicit Recording(runtime::StackHost& host) : host_(host), ring_(kRecordsMax) { attach(&ring_); }
  ~Recording() { attach(nullptr); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // All records so far, oldest first.
  std::vector<trace::Record> records() {
    return host_.with([&](stack::Stack&, socket::Sockets&, Instant) {
      std::vector<trace::Record> all;
      all.reserve(ring_.size());
      for (std::size_t i = 0; i < ring_.size(); ++i) all.push_back(ring_[i]);
      return all;
    });
  }

 private:
  void attach(trace::Probe* probe) {
    host_.with([&](stack::Stack& stack, socket::Sockets&, Instant) { stack.tracer().attach(probe); });
  }
  runtime::StackHost& host_;
  trace::RingProbe ring_;
};

std::string error_text(int error) { return std::strerror(error); }

std::string http_answer(std::string_view page) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      page.size(), page);
}

class Demo {
 public:
  Demo(DemoPlace& place, DemoReport& report, const DemoOptions& options)
      : host_(*place.host),
        place_(place),
        ours_(*place.ours),
        peers_(*place.peers),
        report_(report),
        options_(options),
        peer_(place.kernel() ? "the kernel" : "the peer") {}

  void run() {
    ping_both_ways();
    serve_a_page();
    fetch_a_page();
    close_in_four();
    be_refused();
    move_bulk();
    look_back();
  }

 private:
  // ---- 1 ----
  void ping_both_ways() {
    report_.step("ARP and ping, both ways",
                 "Before the first packet, each end must learn the other's MAC address by ARP; then an ICMP "
                 "echo is answered.");
    Recording recording(host_);
    ping_from_peer();
    const std::vector<trace::Record> theirs = recording.records();
    report_.check(arp_seen(theirs, ip::Event::kArpReceived, wire::ArpOperation::kRequest),
                  fmt::format("{} asked \"who has {}?\" by ARP, and tapir answered", peer_,
                              kDemoOurs.address.to_string()));
    report_.check(peer_knows_us(), fmt::format("{} knows tapir's MAC address, {}", peer_, our_mac()));

    // So that tapir has to ask too: what the request of the other end taught it is forgotten.
    host_.with([](stack::Stack& stack, socket::Sockets&, Instant) { stack.parts().neighbors.flush(); });
    const DemoPing ping = ping_from_stack(host_, kDemoPeers.address, kPings);
    report_.check(ping.answered == kPings,
                  fmt::format("tapir pings {}: {} of {} answered{}", kDemoPeers.address.to_string(),
                              ping.answered, kPings, fastest(ping)));
    const std::vector<trace::Record> all = recording.records();
    report_.check(
        arp_seen(all, ip::Event::kArpSent, wire::ArpOperation::kRequest) &&
            arp_seen(all, ip::Event::kArpReceived, wire::ArpOperation::kReply),
        fmt::format("tapir asked \"who has {}?\", and {} answered", kDemoPeers.address.to_string(), peer_));
    auto neighbors = host_.with([](stack::Stack& stack, socket::Sockets&, Instant now) {
      return observe::neighbors_json(stack, now);
    });
    report_.check(neighbors.size() == 1 && neighbors[0]["state"][0] == "REACHABLE",
                  "tapir's neighbour table: " + trimmed(observe::neighbors_text(neighbors)));
  }

  void ping_from_peer() {
    const std::string to = kDemoOurs.address.to_string();
    if (place_.kernel()) {
      const ProgramRun run =
          run_program({"ping", "-n", "-c", std::to_string(kPings), "-i", "0.2", "-W", "2", to});
      if (run.found) {
        report_.check(
            run.status == 0 && run.output.find(fmt::format("{} received", kPings)) != std::string::npos,
            fmt::format("the kernel's ping {}: {}", to, ping_summary(run.output)));
        return;
      }
    }
    const DemoPing ping = place_.kernel() ? ping_from_kernel(kDemoOurs.address, kPings)
                                          : ping_from_stack(*place_.peer_host, kDemoOurs.address, kPings);
    report_.check(ping.answered == kPings, fmt::format("{} pings {}: {} of {} answered{}", peer_, to,
                                                       ping.answered, kPings, fastest(ping)));
  }

  // ---- 2 ----
  void serve_a_page() {
    report_.step("The handshake: a page from tapir's web server",
                 place_.kernel() ? "curl, on the kernel's TCP, fetches a page from a server on tapir. The "
                                   "first three segments make the connection."
                                 : "A client on the second stack fetches a page from a server on tapir. The "
                                   "first three segments make the connection.");
    auto listener = DemoSocket::listen(ours_, kOurWeb);
    if (!report_.check(listener.has_value(), "tapir listens at " + kOurWeb.to_string() + why(listener)))
      return;
    Recording recording(host_);
    auto server = std::async(std::launch::async, [&] { return serve_once(*listener, kOurPage); });
    std::string got;
    if (!fetch_with_curl(got)) {
      got = fetch(peers_, kOurWeb);
      report_.check(got == kOurPage,
                    fmt::format("{} fetched http://{}/: \"{}\"", peer_, kOurWeb.to_string(), trimmed(got)));
    }
    const std::uint16_t port = server.get();
    const Ladder ladder = observe::make_ladder(recording.records(), {kOurWeb.port, port});
    const Ladder handshake = ladder.handshake();
    report_.check(path_of(handshake) == "S in, S. out, . in, accept",
                  "the handshake was SYN, SYN-ACK, ACK; then accept() had the connection");
    report_.check(!handshake.steps.empty() && handshake.steps.back().ours == tcp::State::kEstablished &&
                      handshake.steps.back().peers == tcp::State::kEstablished,
                  "both ends are ESTABLISHED");
    show(handshake, kOurWeb, {kDemoPeers.address, port}, "handshake");
  }

  // Answers whether there is a curl.
  bool fetch_with_curl(std::string& got) {
    if (!place_.kernel()) return false;
    const std::string url = "http://" + kOurWeb.address.to_string() + "/";
    const ProgramRun run = run_program(
        {"curl", "-sS", "--noproxy", "*", "--max-time", std::to_string(kDemoPatienceSeconds), url});
    if (!run.found) return false;
    got = run.output;
    report_.check(run.status == 0 && got == kOurPage, fmt::format("curl {}: \"{}\"", url, trimmed(got)));
    return true;
  }

  // ---- 3 ----
  void fetch_a_page() {
    report_.step(fmt::format("A page from {} web server", place_.kernel() ? "the kernel's" : "the peer's"),
                 fmt::format("The other way round: tapir opens the connection to a server on {}.", peer_));
    auto listener = DemoSocket::listen(peers_, kPeerWeb);
    if (!report_.check(listener.has_value(),
                       fmt::format("{} listens at {}{}", peer_, kPeerWeb.to_string(), why(listener))))
      return;
    Recording recording(host_);
    auto server = std::async(std::launch::async, [&] { return serve_once(*listener, kPeerPage); });
    const std::string got = fetch(ours_, kPeerWeb);
    const std::uint16_t port = server.get();
    report_.check(got == kPeerPage,
                  fmt::format("tapir fetched http://{}/: \"{}\"", kPeerWeb.to_string(), trimmed(got)));
    const Ladder ladder = observe::make_ladder(recording.records(), {port, kPeerWeb.port});
    const Ladder handshake = ladder.handshake();
    report_.check(path_of(handshake) == "S out, S. in, . out", "tapir went CLOSED, SYN-SENT, ESTABLISHED");
    show(handshake, {kDemoOurs.address, port}, kPeerWeb, "handshake");
  }

  // ---- 4 ----
  void close_in_four() {
    report_.step("The four-way close",
                 fmt::format("Each direction is closed by a FIN of its own and an ACK. tapir closes first, "
                             "and so keeps TIME-WAIT; {} waits a moment "
                             "before it closes too, so that all four segments are seen.{}",
                             peer_,
                             place_.kernel() ? " Its ACK of our FIN may come 40 ms late: Linux holds it back "
                                               "in the hope of data to go with it."
                                             : ""));
    auto listener = DemoSocket::listen(ours_, kOurEcho);
    if (!report_.check(listener.has_value(), "tapir listens at " + kOurEcho.to_string() + why(listener)))
      return;
    Recording recording(host_);
    auto accepted = std::async(std::launch::async, [&] { return listener->accept(); });
    auto client = DemoSocket::connect(peers_, kOurEcho);
    auto server = accepted.get();
    if (!report_.check(client && server, "a connection" + why(client))) return;
    client->send("a line\n");
    const std::string line = server->receive_until("\n");
    server->send(line);
    report_.check(client->receive_until("\n") == "a line\n", "a line was sent and echoed");

    // The ACK of the echo would stand between the FIN and its ACK.
    const std::uint16_t port = client->local_port();
    wait_for([&] { return row_of(kOurEcho, port).value("send_q", 1) == 0; });
    server->shutdown_send();
    const bool half = wait_for([&] { return server->state() == tcp::State::kFinWait2; });
    report_.check(half && client->state() == tcp::State::kCloseWait,
                  fmt::format("tapir closed: it is in FIN-WAIT-2, {} in CLOSE-WAIT", peer_));
    report_.check(client->receive_until("").empty(), fmt::format("{} reads the end of the stream", peer_));
    client->close();
    report_.check(wait_for([&] { return row_of(kOurEcho, port).value("state", "") == "TIME-WAIT"; }),
                  fmt::format("{} closed too: tapir is in TIME-WAIT", peer_));
    report_.check(wait_for([&] { return peer_is_gone(port); }), fmt::format("{}'s end is gone", peer_));
    server->close();

    const Ladder close = observe::make_ladder(recording.records(), {kOurEcho.port, port}).close();
    report_.check(path_of(close) == "F. out, . in, F. in, . out", "the close was FIN, ACK, FIN, ACK");
    show(close, kOurEcho, {kDemoPeers.address, port}, "close");
  }

  // ---- 5 ----
  void be_refused() {
    report_.step("A refused connection, both ways",
                 "Nobody listens at port 4444 of either end: a SYN is answered with RST.");
    Recording recording(host_);
    const auto theirs = DemoSocket::connect(peers_, kOurNothing);
    report_.check(!theirs && theirs.error() == ECONNREFUSED,
                  fmt::format("{} connects to {}: {}", peer_, kOurNothing.to_string(),
                              theirs ? "accepted" : error_text(theirs.error())));
    const auto ours = DemoSocket::connect(ours_, kPeerNothing);
    report_.check(!ours && ours.error() == ECONNREFUSED,
                  fmt::format("tapir connects to {}: {}", kPeerNothing.to_string(),
                              ours ? "accepted" : error_text(ours.error())));

    const std::vector<trace::Record> records = recording.records();
    const auto find_port = [&](tcp::Event event) -> std::uint16_t {
      for (const trace::Record& record : records) {
        if (record.event != static_cast<std::uint16_t>(event)) continue;
        const wire::TcpSegment segment = tcp::unpack_segment(observe::words_of(record));
        if (segment.has(wire::kSyn) && segment.dst_port == kOurNothing.port) return segment.src_port;
      }
      return 0;
    };
    const std::uint16_t their_port = find_port(tcp::Event::kSegmentIn),
                        our_port = find_port(tcp::Event::kSegmentOut);
    const Ladder refused_them = observe::make_ladder(records, {kOurNothing.port, their_port});
    const Ladder refused_us = observe::make_ladder(records, {our_port, kPeerNothing.port});
    report_.check(path_of(refused_them) == "S in, R. out" && path_of(refused_us) == "S out, R. in",
                  "both times a SYN, then a RST");
    show(refused_us, {kDemoOurs.address, our_port}, kPeerNothing, "refused");
  }

  // ---- 6 ----
  void move_bulk() {
    report_.step("Bulk, both ways",
                 fmt::format("One connection each way, for 1.5 s or {} MB; every byte is compared.",
                             options_.bulk_bytes >> 20));
    bulk(peers_, ours_, kOurSink, fmt::format("{} to tapir", peer_), "bulk_in");
    bulk(ours_, peers_, kPeerSink, fmt::format("tapir to {}", peer_), "bulk_out");
  }

  void bulk(DemoEnd& from, DemoEnd& to, const Endpoint& at, const std::string& what, const char* key) {
    // Pseudo-random and of no round length, so that bytes which moved or were lost show.
    std::vector<char> pattern((1 << 18) + 13);
    std::uint32_t x = 0x7a915eed;
    for (char& c : pattern) {
      x = x * 1664525U + 1013904223U;
      c = static_cast<char>(x >> 24);
    }
    auto listener = DemoSocket::listen(to, at);
    if (!listener) {
      report_.check(false, fmt::format("{} listens at {}{}", to.name(), at.to_string(), why(listener)));
      return;
    }
    struct Received {
      std::uint64_t bytes = 0;
      bool intact = true;
      Instant end{};
    };
    auto sink = std::async(std::launch::async, [&]() -> Received {
      Received received;
      auto socket = listener->accept();
      std::vector<char> buffer(1 << 18);
      while (socket) {
        const auto got = socket->receive(buffer);
        if (!got) received.intact = false;
        if (!got || *got == 0) break;
        for (std::size_t done = 0; done < *got;) {
          const std::size_t offset = (received.bytes + done) % pattern.size();
          const std::size_t some = std::min(*got - done, pattern.size() - offset);
          if (std::memcmp(buffer.data() + done, pattern.data() + offset, some) != 0) received.intact = false;
          done += some;
        }
        received.bytes += *got;
      }
      received.end = runtime::monotonic_now();
      return received;
    });
    auto source = DemoSocket::connect(from, at);
    const Instant begin = runtime::monotonic_now();
    std::uint64_t sent = 0;
    while (source && sent < options_.bulk_bytes && runtime::monotonic_now() - begin < kBulkTime) {
      const std::size_t offset = sent % pattern.size();
      const std::size_t some = static_cast<std::size_t>(
          std::min<std::uint64_t>(pattern.size() - offset, options_.bulk_bytes - sent));
      const auto done = source->send_some({pattern.data() + offset, some});
      if (!done) {
        report_.note(fmt::format("after {} bytes: {}; tapir's sockets then:\n{}", sent,
                                 error_text(done.error()), sockets_now(host_)));
        if (place_.peer_host) report_.note("the peer's:\n" + sockets_now(*place_.peer_host));
        break;
      }
      sent += *done;
    }
    if (source) source->close();
    const Received received = sink.get();
    const std::uint64_t us = std::max<std::uint64_t>(to_usec(received.end - begin), 1);
    const std::uint64_t mbit = received.bytes * 8 / us;  // bits per µs are Mbit/s
    report_.record(key, {{"bytes", received.bytes}, {"microseconds", us}, {"mbit_per_second", mbit}});
    report_.check(
        received.intact && received.bytes == sent && sent != 0,
        fmt::format("{}: {} MB in {}.{:02} s, {}.{} Gbit/s, every byte as sent", what, received.bytes >> 20,
                    us / 1'000'000, us % 1'000'000 / 10'000, mbit / 1000, mbit % 1000 / 100));
  }

  // ---- 7 ----
  void look_back() {
    report_.step("What the stack counted",
                 "Every segment and every drop has a counter, under Linux's names (`tapir nstat` shows all "
                 "of a running stack).");
    auto counters = host_.with(
        [](stack::Stack& stack, socket::Sockets&, Instant) { return observe::counters_json(stack, false); });
    static const std::vector<std::string> kShown = {"TcpActiveOpens", "TcpPassiveOpens", "TcpInSegs",
                                                    "TcpOutSegs",     "TcpRetransSegs",  "TcpInErrs",
                                                    "TcpOutRsts",     "IcmpInEchos",     "IcmpOutEchoReps"};
    std::string text;
    for (const std::string& name : kShown)
      if (counters.contains(name))
        text += fmt::format("   {:<20}{:>8}\n", name, counters[name].get<std::uint64_t>());
    report_.show(text, "counters", counters);
    const auto get = [&](const char* name) {
      return counters.contains(name) ? counters[name].get<std::uint64_t>() : 0;
    };
    report_.check(get("TcpPassiveOpens") == 3 && get("TcpActiveOpens") == 3,
                  "three connections were accepted and three opened (of these one was refused)");
    report_.check(get("TcpInErrs") == 0, "no segment was malformed or had a wrong checksum");
    tcp::Engine::Gauges left;
    const bool none = wait_for([&] {
      left = host_.with(
          [](stack::Stack& stack, socket::Sockets&, Instant) { return stack.parts().tcp.gauges(); });
      return left.connections == 0 && left.half_open == 0;
    });
    report_.check(none, fmt::format("no connection is left; {} in TIME-WAIT", left.time_wait));
  }

  // ---- helpers ----
  // Accepts one connection and answers whatever it asks; the client's port.
  static std::uint16_t serve_once(DemoSocket& listener, std::string_view page) {
    auto connection = listener.accept();
    if (!connection) return 0;
    const std::uint16_t port = connection->remote_port();
    connection->receive_until("\r\n\r\n");
    connection->send(http_answer(page));
    connection->shutdown_send();
    connection->receive_until("");
    return port;
  }
  // The page at `from`; empty when there is none.
  static std::string fetch(DemoEnd& end, const Endpoint& from) {
    auto connection = DemoSocket::connect(end, from);
    if (!connection || !connection->send(fmt::format(
                           "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", from.to_string())))
      return {};
    const std::string answer = connection->receive_until("");
    const std::size_t body = answer.find("\r\n\r\n");
    return body == std::string::npos || !answer.starts_with("HTTP/1.1 200 ") ? std::string()
                                                                             : answer.substr(body + 4);
  }

  void show(const Ladder& ladder, const Endpoint& ours, const Endpoint& peers, const char* key) {
    observe::LadderStyle style;
    style.our_name = "tapir " + ours.to_string();
    style.peer_name = (place_.kernel() ? "kernel " : "peer ") + peers.to_string();
    style.width = report_.width();
    report_.show(observe::ladder_text(ladder, style), key, observe::ladder_json(ladder));
  }

  // "S in, S. out, . in, accept": the flags of a ladder's segments, PSH apart.
  static std::string path_of(const Ladder& ladder) {
    std::string text;
    for (const observe::LadderStep& step : ladder.steps) {
      if (!text.empty()) text += ", ";
      if (step.kind == observe::LadderStep::Kind::kCall) {
        text += "accept";
        continue;
      }
      const std::uint16_t flags = tcp::unpack_segment(step.words).flags &
                                  static_cast<std::uint16_t>(~(wire::kPsh | wire::kEce | wire::kCwr));
      text += wire::format_tcp_flags(flags) + (step.kind == observe::LadderStep::Kind::kIn ? " in" : " out");
    }
    return text;
  }

  static bool arp_seen(const std::vector<trace::Record>& records, ip::Event event,
                       wire::ArpOperation operation) {
    return std::any_of(records.begin(), records.end(), [&](const trace::Record& record) {
      return record.event == static_cast<std::uint16_t>(event) &&
             record.words[1] == static_cast<std::uint64_t>(operation);
    });
  }
  std::string our_mac() {
    return host_.with([](stack::Stack& stack, socket::Sockets&, Instant) {
      const ip::Interface* interface = stack.parts().interfaces.owner_of(kDemoOurs.address);
      return interface != nullptr ? wire::to_string(interface->mac) : std::string();
    });
  }
  bool peer_knows_us() {
    const std::string address = kDemoOurs.address.to_string(), mac = our_mac();
    if (place_.kernel()) {
      std::ifstream table("/proc/net/arp");
      for (std::string line; std::getline(table, line);)
        if (line.starts_with(address + ' ') && line.find(mac) != std::string::npos) return true;
      return false;
    }
    const auto neighbors = place_.peer_host->with([](stack::Stack& stack, socket::Sockets&, Instant now) {
      return observe::neighbors_json(stack, now);
    });
    return std::any_of(neighbors.begin(), neighbors.end(), [&](const auto& row) {
      return row["dst"] == address && row.value("lladdr", "") == mac;
    });
  }

  // What `tapir ss` would show of the connection between these ends; an empty object: nothing.
  static nlohmann::ordered_json row_of(runtime::StackHost& host, const Endpoint& local,
                                       const Endpoint& peer) {
    const auto rows = host.with(
        [](stack::Stack& stack, socket::Sockets&, Instant now) { return observe::sockets_json(stack, now); });
    for (const auto& row : rows)
      if (row["local"] == local.to_string() && row["peer"] == peer.to_string()) return row;
    return nlohmann::ordered_json::object();
  }
  nlohmann::ordered_json row_of(const Endpoint& local, std::uint16_t port) {
    return row_of(host_, local, {kDemoPeers.address, port});
  }
  bool peer_is_gone(std::uint16_t port) {
    if (!place_.kernel()) return row_of(*place_.peer_host, {kDemoPeers.address, port}, kOurEcho).empty();
    const std::string name = fmt::format("0200000A:{:04X}", port);  // as /proc/net/tcp writes 10.0.0.2
    std::ifstream table("/proc/net/tcp");
    for (std::string line; std::getline(table, line);)
      if (line.find(name) != std::string::npos) return false;
    return true;
  }
  // Looks until `holds` or patience is over.
  template <typename Holds>
  static bool wait_for(Holds holds) {
    const Instant until = runtime::monotonic_now() + std::chrono::seconds(kDemoPatienceSeconds);
    while (!holds()) {
      if (runtime::monotonic_now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  static std::string sockets_now(runtime::StackHost& host) {
    const observe::SsView view{.timers = true, .info = true, .memory = true};
    return observe::sockets_text(host.with([](stack::Stack& stack, socket::Sockets&, Instant now) {
      return observe::sockets_json(stack, now);
    }),
                                 view);
  }

  template <typename Result>
  static std::string why(const Result& result) {
    return result ? std::string() : ": " + error_text(result.error());
  }
  static std::string trimmed(std::string text) {
    text.erase(text.find_last_not_of(" \n\r") + 1);
    return text;
  }
  static std::string fastest(const DemoPing& ping) {
    if (ping.answered == 0) return {};
    return fmt::format(", the fastest in {} ms", observe::decimal(to_usec(ping.fastest)));
  }
  // "3 packets transmitted, 3 received, 0% packet loss", of ping(8)'s output; or its last line.
  static std::string ping_summary(const std::string& output) {
    std::string last;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
      if (line.find(" received") != std::string::npos) return line.substr(0, line.find(", time"));
      if (!line.empty()) last = line;
    }
    return last;
  }

  runtime::StackHost& host_;
  DemoPlace& place_;
  DemoEnd& ours_;
  DemoEnd& peers_;
  DemoReport& report_;
  const DemoOptions& options_;
  std::string peer_;
};

}  // namespace

int demo_main(const DemoOptions& options) {
  const Instant begin = runtime::monotonic_now();
  auto place = make_demo_place(options.over);
  if (!place) {
    fmt::print(stderr, "tapir demo: {}\n", place.error());
    return 1;
  }
  DemoReport report(options.json);
  report.introduce("tapir demo: a second TCP/IP stack on this machine, in user space, talks to the first.");
  report.introduce(place->told);
  if (place->kernel())
    report.introduce(
        "In the diagrams tapir is on the left, the kernel on the right; segments are written as packetdrill "
        "writes them, numbers count from each end's first. "
        "Below each stand the functions of tapir that took the step, and those of Linux that do the same.");
  else
    report.introduce(
        "In the diagrams tapir is on the left, the second stack on the right; segments are written as "
        "packetdrill writes them, numbers count from each end's "
        "first. Below each stand the functions of tapir that took the step, and those of Linux that do the "
        "same.");
  report.record("wire", to_string(place->wire));
  Demo(*place, report, options).run();
  const bool ok = report.finish(static_cast<unsigned long>(to_msec(runtime::monotonic_now() - begin)));
  return ok ? 0 : 1;
}

}  // namespace tapir::cli
