// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/runner.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>

#include "sim/drill/calls.h"
#include "sim/drill/code.h"
#include "sim/drill/machine.h"
#include "sim/drill/packets.h"
#include "sim/drill/parser.h"
#include "sim/drill/shell.h"
#include "sim/drill/socket_table.h"
#include "sim/drill/tcp_info.h"
#include "wire/segment_text.h"
#include "wire/tcp_segment.h"

namespace tapir::sim::drill {

namespace {

// How long an expected segment is waited for beyond its time, before it counts as missing.
constexpr Duration kSegmentPatience = 2s;
// The same for "*", which names no time.
constexpr Duration kAnyTimePatience = 10min;
// How long a call without a return time may wait for what the stack does by itself.
constexpr Duration kCallPatience = 60s;
// How long a second blocking call waits for the first to end, as in packetdrill.
constexpr Duration kCallQueuePatience = 1s;
// Injected connections come from these ports on, one after the other.
constexpr std::uint16_t kFirstRemotePort = 40001;

std::string time_text(Duration at) {
  const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(at).count();
  return fmt::format("{}{}.{:06}", us < 0 ? "-" : "", std::abs(us) / 1'000'000, std::abs(us) % 1'000'000);
}

class Run {
 public:
  Run(const Script& script, const Settings& settings, const RunOptions& options)
      : script_(script),
        settings_(settings),
        options_(options),
        machine_(settings_),
        shell_(machine_),
        calls_(machine_, settings_, connections_) {}

  Outcome run() {
    if (prepare()) {
      for (const Event& event : script_.events) {
        run_event(event);
        if (failed()) break;
      }
      if (!failed()) finish();
    }
    if (outcome_.verdict == Verdict::kFail) explain();
    tear_down();
    return std::move(outcome_);
  }

 private:
  // ---- verdicts ----

  bool failed() const { return outcome_.verdict != Verdict::kPass; }
  void fail(Location at, Problem problem) {
    if (failed()) return;
    outcome_.verdict = Verdict::kFail;
    outcome_.line = at.line;
    outcome_.reason = std::move(problem.reason);
    outcome_.expected = std::move(problem.expected);
    outcome_.got = std::move(problem.got);
  }
  void fail(Location at, std::string reason) { fail(at, Problem{std::move(reason), {}, {}}); }
  void skip(std::string reason) {
    if (failed()) return;
    outcome_.verdict = Verdict::kSkip;
    outcome_.reason = std::move(reason);
  }
  void log(std::string line) {
    if (options_.log) outcome_.log.push_back(fmt::format("{:>12}  {}", time_text(elapsed()), line));
  }

  // ---- the frame of a script ----

  bool prepare() {
    for (const Event& event : script_.events) {
      const auto* call = std::get_if<CallEvent>(&event.action);
      if (call == nullptr || is_known_call(call->name)) continue;
      if (is_unsupported_call(call->name))
        skip(fmt::format("{}() is not one of the calls of this interpreter", call->name));
      else
        fail(event.at, fmt::format("unknown call {}()", call->name));
      return false;
    }
    if (script_.init) run_shell(*script_.init, script_.init_at);
    if (failed()) return false;
    machine_.start();
    return true;
  }

  void finish() {
    if (machine_.call_in_flight()) {
      machine_.advance_to(Machine::kStart + in_flight_end_ + tolerance(in_flight_end_ - in_flight_start_),
                          [this] { return !machine_.call_in_flight() || failed(); });
      if (machine_.call_in_flight())
        fail(in_flight_at_, fmt::format("the call has not returned by the end of the script, expected at {}",
                                        time_text(in_flight_end_)));
    }
    if (!failed() && script_.cleanup) {
      // The test is over: what the machine does not have need not be put back.
      if (const ShellOutcome done = shell_.run(script_.cleanup->command); done.fail)
        fail(Location{}, *done.fail);
    }
    run_codes();
  }

  void run_codes() {
    CodeInterpreter interpreter;
    for (const auto& [event, snapshot] : codes_) {
      if (failed()) break;
      if (const auto failure = interpreter.run(std::get<CodeEvent>(event->action), snapshot))
        fail(failure->at, Problem{failure->message, failure->expected, failure->got});
    }
    if (options_.log)
      for (const std::string& line : interpreter.output()) outcome_.log.push_back("print: " + line);
  }

  // Ends what the script left open as packetdrill does: an RST to each connection, then the descriptors.
  void tear_down() {
    if (!machine_.started() || !machine_.broken().empty()) return;
    for (const auto& connection : connections_.all())
      if (connection->remote_isn_known && connection->state != Connection::State::kListening)
        machine_.inject(build_reset(*connection));
  }

  // ---- time ----

  Duration elapsed() const { return machine_.now() - Machine::kStart; }
  // How far an event may be off that comes `since` after the one before.
  Duration tolerance(Duration since) const {
    return std::max(settings_.tolerance, Duration{since.count() / 1000 * settings_.tolerance_permille});
  }

  struct Schedule {
    Duration at{};
    Duration end{};         // of a range; else `at`
    Duration returns_at{};  // of a blocking call
    Duration tolerance{};
    bool any = false;
  };
  Schedule schedule(const Event& event) {
    const bool relative =
        event.time.kind == TimeKind::kRelative || event.time.kind == TimeKind::kRelativeRange;
    const Duration base = relative ? elapsed() : Duration{};
    Schedule when;
    when.any = event.time.kind == TimeKind::kAny;
    when.at = when.any ? elapsed() : base + event.time.at;
    const bool range =
        event.time.kind == TimeKind::kAbsoluteRange || event.time.kind == TimeKind::kRelativeRange;
    when.end = range ? base + event.time.range_end : when.at;
    if (event.time.returns_at) when.returns_at = base + *event.time.returns_at;
    when.tolerance = tolerance(when.at - last_event_at_);
    last_event_at_ = when.at;
    return when;
  }
  // What is wrong with `actual` as the time of something due at `when`.
  static std::optional<Problem> check_time(const Schedule& when, Duration actual, std::string_view what) {
    if (when.any || (actual >= when.at - when.tolerance && actual <= when.end + when.tolerance))
      return std::nullopt;
    const bool early = actual < when.at;
    std::string expected = time_text(when.at);
    if (when.end != when.at) expected += "~" + time_text(when.end);
    return Problem{
        fmt::format("{} too {}: expected at {} s (within {} s), came at {} s", what, early ? "early" : "late",
                    expected, time_text(when.tolerance), time_text(actual)),
        "at " + expected, "at " + time_text(actual)};
  }

  void wait_until(Duration at) {
    machine_.advance_to(Machine::kStart + at, [this] { return failed(); });
  }

  // ---- events ----

  void run_event(const Event& event) {
    const Schedule when = schedule(event);
    const auto* packet = std::get_if<PacketEvent>(&event.action);
    if (packet != nullptr && !packet->inbound) {
      expect_segment(event, *packet, when);
    } else {
      wait_until(when.at);
      if (failed()) return;
      if (auto problem = check_time(when, elapsed(), "event")) return fail(event.at, *problem);
      if (packet != nullptr)
        inject(event, *packet);
      else if (const auto* call = std::get_if<CallEvent>(&event.action))
        run_call(event, *call, when);
      else if (const auto* shell = std::get_if<ShellEvent>(&event.action))
        run_shell(*shell, event.at);
      else
        capture(event);
    }
    if (!failed() && !machine_.broken().empty()) fail(event.at, machine_.broken());
  }

  void run_shell(const ShellEvent& shell, Location at) {
    log("`" + shell.command + "`");
    const std::size_t notes = shell_.notes().size();
    const ShellOutcome done = shell_.run(shell.command);
    for (std::size_t i = notes; i < shell_.notes().size(); ++i) log("note: " + shell_.notes()[i]);
    if (done.skip) skip(*done.skip);
    if (done.fail) fail(at, *done.fail);
    if (machine_.started()) machine_.settle();
  }

  // What the code of this event will see: the connection as it is now.
  void capture(const Event& event) {
    CodeSnapshot snapshot;
    if (const int fd = fd_under_test(); fd >= 0) {
      const auto info = option(fd, IPPROTO_TCP, TCP_INFO, kTcpInfoSize);
      if (!info) return fail(event.at, "code: getsockopt(TCP_INFO) fails on the socket under test");
      add_tcp_info(*info, snapshot);
      if (const auto meminfo = option(fd, SOL_SOCKET, SO_MEMINFO, 64)) add_meminfo(*meminfo, snapshot);
    }
    log("%{ }%");
    codes_.emplace_back(&event, std::move(snapshot));
  }

  int fd_under_test() const {
    return connections_.under_test() != nullptr ? connections_.under_test()->live_fd : -1;
  }

  std::optional<std::vector<std::uint8_t>> option(int fd, int level, int name, std::size_t size) {
    std::vector<std::uint8_t> value(size);
    auto length = static_cast<socklen_t>(size);
    if (!machine_.sockets().getsockopt(fd, level, name, value.data(), &length, machine_.now()))
      return std::nullopt;
    value.resize(std::min<std::size_t>(length, size));
    return value;
  }

  // ---- calls ----

  void run_call(const Event& event, const CallEvent& call, const Schedule& when) {
    if (event.time.returns_at && machine_.call_in_flight()) {
      machine_.advance_to(machine_.now() + kCallQueuePatience,
                          [this] { return !machine_.call_in_flight() || failed(); });
      if (machine_.call_in_flight())
        fail(event.at, fmt::format("the blocking call of line {} has not returned yet", in_flight_at_.line));
      if (failed()) return;
    }
    auto prepared = calls_.prepare(call);
    if (!prepared) return fail(event.at, prepared.error());
    if (event.time.returns_at)
      start_blocking(event, call, std::move(*prepared), when);
    else
      run_inline(event, call, std::move(*prepared));
  }

  void start_blocking(const Event& event, const CallEvent& call, Calls::Prepared prepared,
                      const Schedule& when) {
    log(fmt::format("{}() starts", call.name));
    in_flight_at_ = event.at;
    in_flight_start_ = when.at;
    in_flight_end_ = when.returns_at;
    Schedule end;
    end.at = end.end = when.returns_at;
    end.tolerance = tolerance(when.returns_at - when.at);
    machine_.wait_for(std::move(prepared.call), [this, &event, &call, end, check = std::move(prepared.check)](
                                                    socket::Result<long> result) {
      log(fmt::format("{}() returns {}", call.name, result ? *result : -1));
      if (auto problem = check(result)) return fail(event.at, *problem);
      if (auto problem = check_time(end, elapsed(), fmt::format("return of {}()", call.name)))
        fail(event.at, *problem);
    });
    machine_.settle();
  }

  void run_inline(const Event& event, const CallEvent& call, Calls::Prepared prepared) {
    auto answer = prepared.call.step(machine_.now());
    machine_.settle();
    if (!answer && !machine_.call_in_flight()) {
      // It blocks, and the script with it: as long as the stack can still do something by itself.
      machine_.wait_for(std::move(prepared.call),
                        [&answer](socket::Result<long> result) { answer = result; });
      if (!answer)
        machine_.advance_to(machine_.now() + kCallPatience, [&] { return answer.has_value() || failed(); });
      // The lambda refers to this frame: nothing may call it later.
      if (!answer) machine_.forget_call();
    }
    if (failed()) return;
    if (!answer)
      return fail(event.at, fmt::format("{}() blocks; a call that shall block is written +0...0.2 {}()",
                                        call.name, call.name));
    log(fmt::format("{}() = {}", call.name, *answer ? **answer : -1));
    if (auto problem = prepared.check(*answer)) fail(event.at, *problem);
  }

  // ---- packets in ----

  // The connection a packet is about. New ones begin with injected packets to a listener, or to no socket at
  // all.
  Connection* connection_of(const PacketEvent& packet) {
    if (packet.source_port && packet.inbound) {
      if (Connection* known = connections_.by_remote_port(*packet.source_port)) return known;
      return &open_connection(*packet.source_port, *packet.destination_port);
    }
    if (packet.destination_port) return connections_.by_remote_port(*packet.destination_port);
    Connection* current = connections_.under_test();
    const bool none = current == nullptr || current->state == Connection::State::kListening ||
                      current->state == Connection::State::kFresh;
    if (!none) return current;
    if (!packet.inbound) return nullptr;
    return &open_connection(next_remote_port_++,
                            current != nullptr ? current->tuple.local.port : settings_.bind_port);
  }

  Connection& open_connection(std::uint16_t remote_port, std::uint16_t local_port) {
    Connection& connection = connections_.add();
    connection.state = Connection::State::kPassive;
    connection.tuple = {{settings_.local, local_port}, {settings_.remote, remote_port}};
    return connection;
  }

  void inject(const Event& event, const PacketEvent& packet) {
    Connection* connection = connection_of(packet);
    if (connection->state == Connection::State::kConnecting)
      return fail(event.at,
                  "nothing can be injected here: the script has not expected this connection's SYN yet");
    const auto* tcp = std::get_if<TcpSpec>(&packet.transport);
    if (tcp != nullptr && (tcp->flags & wire::kSyn) != 0) {
      connection->last_injected_syn = SeqNum(tcp->seq);
      if (!connection->remote_isn_known) {
        connection->script_remote_isn = tcp->seq;
        connection->live_remote_isn = SeqNum(tcp->seq);
        connection->remote_isn_known = true;
      }
    }
    std::vector<std::uint8_t> bytes;
    std::string text;
    if (tcp != nullptr) {
      auto built = build_segment(*tcp, packet.ip, *connection, settings_);
      if (!built) return fail(event.at, built.error());
      bytes = std::move(*built);
      text = to_text(*tcp, packet.ip);
    } else {
      bytes = build_icmp(std::get<IcmpSpec>(packet.transport), *connection, settings_);
      text = to_text(std::get<IcmpSpec>(packet.transport));
    }
    log("< " + text);
    steps_.push_back({machine_.next_order(), {elapsed(), true, std::move(text), {}}});
    machine_.inject(bytes);
  }

  // ---- packets out ----

  // Whether `seen` is a segment of `connection`; learns the local port of one that connects.
  static bool belongs(const SeenSegment& seen, Connection& connection) {
    if (connection.state != Connection::State::kConnecting) return seen.tuple == connection.tuple;
    const bool syn = (seen.flags & wire::kSyn) != 0 && (seen.flags & wire::kAck) == 0;
    if (!syn || seen.tuple.remote != connection.tuple.remote) return false;
    connection.state = Connection::State::kActive;
    connection.tuple.local = seen.tuple.local;
    return true;
  }

  // The next segment of `connection`, in wire numbers, waiting until `limit`.
  std::optional<SeenSegment> next_segment(Connection& connection, Instant limit) {
    for (;;) {
      while (!unread_.empty()) {
        SeenSegment seen = std::move(unread_.front());
        unread_.pop_front();
        if (belongs(seen, connection)) return seen;
      }
      while (!machine_.sent().empty()) {
        const SentPacket packet = std::move(machine_.sent().front());
        machine_.sent().pop_front();
        auto seen = read_segment(packet, settings_);
        if (!seen) continue;  // not TCP: packetdrill skips it too
        if (belongs(*seen, connection)) return seen;
        record(*seen, "of another connection");
      }
      machine_.advance_to(limit, [this] { return failed() || !machine_.sent().empty(); });
      if (machine_.sent().empty() || failed()) return std::nullopt;
    }
  }

  void record(const SeenSegment& seen, std::string remark) {
    const Connection* owner = connections_.by_tuple(seen.tuple);
    const SeenSegment shown = owner != nullptr ? to_script(seen, *owner) : seen;
    steps_.push_back({seen.order, {seen.at - Machine::kStart, false, to_text(shown), std::move(remark)}});
  }

  // What a segment of ours tells of the connection's numbers.
  static void learn(const SeenSegment& seen, const TcpSpec& spec, Connection& connection) {
    const bool syn = (seen.flags & wire::kSyn) != 0;
    const bool new_incarnation = connection.state == Connection::State::kPassive &&
                                 connection.local_isn_known && (seen.flags & wire::kAck) != 0 &&
                                 connection.last_injected_syn != connection.live_remote_isn;
    if (syn && (!connection.local_isn_known || new_incarnation)) {
      connection.live_local_isn = SeqNum(seen.seq);
      connection.script_local_isn = (spec.flags & wire::kSyn) != 0 ? spec.seq : 0;
      connection.local_isn_known = true;
      if (new_incarnation) {
        connection.live_remote_isn = connection.last_injected_syn;
        connection.script_remote_isn = connection.last_injected_syn.value();
        connection.timestamps.clear();
        connection.timestamp_offset.reset();
      }
    }
    if ((seen.flags & wire::kAck) != 0) connection.peer_next = SeqNum(seen.ack);
    // Only what the script calls a value can be echoed by it later.
    const auto at = timestamp_at(seen.options.bytes());
    const auto scripted_at = timestamp_at(spec.options.bytes());
    if (!at || !scripted_at) return;
    const auto live = load_be<std::uint32_t>(seen.options.bytes(), *at);
    const auto scripted = load_be<std::uint32_t>(spec.options.bytes(), *scripted_at);
    connection.timestamps[scripted] = live;
    if (!connection.timestamp_offset) connection.timestamp_offset = live - scripted;
  }

  // Makes `seen` as long as the script's segment, as far as the pieces allow it: a super-segment is cut where
  // segmentation would cut it, pieces of one run of data are joined.
  void fit(SeenSegment& seen, std::uint32_t length, Connection& connection, Instant limit) {
    const std::uint32_t unit = seen.segment_size != 0 ? seen.segment_size : seen.length;
    if (settings_.strict_segments) length = seen.segment_size != 0 ? seen.segment_size : seen.length;
    if (seen.segment_size != 0 && length < seen.length && length != 0 && length % seen.segment_size == 0) {
      SeenSegment front = take_front(seen, length);
      unread_.push_front(std::move(seen));
      seen = std::move(front);
    }
    if (settings_.strict_segments || seen.length == 0) return;
    while (seen.length < length && seen.length % unit == 0) {
      auto next = next_segment(connection, limit);
      if (!next) return;
      const std::uint32_t missing = length - seen.length;
      const bool whole_units = next->segment_size != 0 ? next->segment_size == unit : next->length <= unit;
      if (next->segment_size == unit && next->length > missing && missing % unit == 0) {
        SeenSegment front = take_front(*next, missing);
        unread_.push_front(std::move(*next));
        next = std::move(front);
      }
      const std::string pieces =
          fmt::format("  joining {} and {}", to_text(to_script(seen, connection), false),
                      to_text(to_script(*next, connection), false));
      if (!whole_units || next->length > missing || !merge(seen, *next)) {
        unread_.push_front(std::move(*next));
        return;
      }
      log(pieces);
    }
  }

  std::optional<Problem> check_timestamp(const TcpSpec& spec, const SeenSegment& seen) const {
    const auto at = timestamp_at(seen.options.bytes());
    const auto scripted_at = timestamp_at(spec.options.bytes());
    if (!settings_.timestamp_tick || !spec.check_options || !at || !scripted_at) return std::nullopt;
    const auto value = load_be<std::uint32_t>(seen.options.bytes(), *at);
    const auto wanted = load_be<std::uint32_t>(spec.options.bytes(), *scripted_at);
    const auto off = std::abs(static_cast<std::int64_t>(static_cast<std::int32_t>(value - wanted)));
    if (off <= settings_.tolerance / *settings_.timestamp_tick) return std::nullopt;
    return Problem{fmt::format("TS val: expected {}, got {}", wanted, value), {}, {}};
  }

  void expect_segment(const Event& event, const PacketEvent& packet, const Schedule& when) {
    const TcpSpec& spec = std::get<TcpSpec>(packet.transport);
    Connection* connection = connection_of(packet);
    if (connection == nullptr)
      return fail(event.at, "there is no connection yet that a segment could be expected of");
    const Instant limit =
        Machine::kStart + when.end + (when.any ? kAnyTimePatience : when.tolerance + kSegmentPatience);
    auto seen = next_segment(*connection, limit);
    if (failed()) return;
    const std::string expected = to_text(spec, packet.ip);
    if (!seen) return fail(event.at, Problem{"no segment came; expected " + expected, expected, "nothing"});
    const Duration first_at = seen->at - Machine::kStart;
    learn(*seen, spec, *connection);
    if ((spec.flags & wire::kSyn) == 0) fit(*seen, spec.length, *connection, limit);
    const SeenSegment scripted = to_script(*seen, *connection);
    const std::string got = to_text(scripted, spec.window.has_value());
    log("> " + got);
    if (auto different = difference(spec, packet.ip, scripted)) {
      record(*seen, "<- expected otherwise");
      return fail(event.at, Problem{*different, expected, got});
    }
    record(*seen, {});
    if (auto problem = check_timestamp(spec, scripted))
      return fail(event.at, Problem{problem->reason, expected, got});
    for (const Duration at : {first_at, seen->at - Machine::kStart})
      if (auto problem = check_time(when, at, "segment"))
        return fail(event.at,
                    Problem{problem->reason, expected + " " + problem->expected, got + " " + problem->got});
  }

  // ---- failures ----

  // Everything that helps to see why: the last segments, those the script has not read yet among them, and
  // the TCB.
  void explain() {
    for (const SeenSegment& seen : unread_) record(seen, "not read yet");
    for (const SentPacket& packet : machine_.sent())
      if (const auto seen = read_segment(packet, settings_)) record(*seen, "not read yet");
    std::sort(steps_.begin(), steps_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    // The segment that failed stays in sight however many wait behind it.
    std::size_t end = steps_.size();
    std::size_t read = 0;
    for (std::size_t i = 0; i < steps_.size(); ++i)
      if (steps_[i].second.remark != "not read yet") read = i + 1;
    end = std::min(end, read + 4);
    const std::size_t begin = end - std::min(end, kLadderMax);
    for (std::size_t i = begin; i < end; ++i) outcome_.ladder.push_back(steps_[i].second);
    if (const int fd = fd_under_test(); fd >= 0)
      if (const auto info = option(fd, IPPROTO_TCP, TCP_INFO, kTcpInfoSize))
        outcome_.tcb = describe_tcp_info(*info);
    if (outcome_.tcb.empty()) outcome_.tcb = socket_table(machine_.stack(), machine_.now());
  }

  const Script& script_;
  const Settings& settings_;
  const RunOptions& options_;
  Outcome outcome_;
  Connections connections_;
  Machine machine_;
  Shell shell_;
  Calls calls_;
  std::uint16_t next_remote_port_ = kFirstRemotePort;
  Duration last_event_at_{};
  std::deque<SeenSegment> unread_;  // taken from the device, not from the script's point of view
  std::vector<std::pair<std::uint64_t, LadderStep>> steps_;
  std::vector<std::pair<const Event*, CodeSnapshot>> codes_;
  Location in_flight_at_;
  Duration in_flight_start_{};
  Duration in_flight_end_{};
};

Outcome refused(Verdict verdict, Location at, std::string reason) {
  Outcome outcome;
  outcome.verdict = verdict;
  outcome.line = at.line;
  outcome.column = at.column;
  outcome.reason = std::move(reason);
  return outcome;
}

}  // namespace

Outcome run_script(std::string_view text, const RunOptions& options) {
  Settings settings = default_settings();
  const auto apply_given = [&]() -> std::optional<OptionProblem> {
    for (const auto& [name, value] : options.options)
      if (auto problem = apply_option(settings, name, value)) return problem;
    return std::nullopt;
  };
  // Definitions are needed to parse; and what the script sets itself must not win.
  if (const auto problem = apply_given())
    return refused(problem->unsupported ? Verdict::kSkip : Verdict::kFail, {0, 0}, problem->message);
  const auto script = parse_script(text, settings.definitions);
  if (!script) {
    const ScriptError& error = script.error();
    return refused(error.unsupported ? Verdict::kSkip : Verdict::kFail, error.at, error.message);
  }
  for (const ScriptOption& option : script->options)
    if (const auto problem = apply_option(settings, option.name, option.value))
      return refused(problem->unsupported ? Verdict::kSkip : Verdict::kFail, option.at, problem->message);
  if (const auto problem = apply_given()) return refused(Verdict::kFail, {0, 0}, problem->message);
  return Run(*script, settings, options).run();
}

}  // namespace tapir::sim::drill
