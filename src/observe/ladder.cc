// SPDX-License-Identifier: Apache-2.0
#include "observe/ladder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "tcp/events.h"

namespace tapir::observe {

using tcp::State;

namespace {

// ---- what happened ----

// The peer's state, as far as its segments, and ours that it answered, tell.
class PeerState {
 public:
  State now() const { return state_; }
  void begin(State state) { state_ = state; }

  void on_segment(bool from_peer, const wire::TcpSegment& segment) {
    if (segment.has(wire::kRst)) {
      state_ = State::kClosed;
      return;
    }
    if (from_peer) {
      if (segment.has(wire::kSyn)) state_ = segment.has(wire::kAck) ? State::kSynReceived : State::kSynSent;
      if (segment.has(wire::kFin)) on_peers_fin();
      return;
    }
    if (segment.has(wire::kSyn)) {
      if (segment.has(wire::kAck) && state_ == State::kSynSent) state_ = State::kEstablished;
      return;
    }
    if (segment.has(wire::kAck)) on_our_ack(segment.ack);
    if (segment.has(wire::kFin)) on_our_fin();
  }
  void note_fin_end(SeqNum end) { fin_end_ = end; }

 private:
  void on_peers_fin() {
    if (state_ == State::kEstablished || state_ == State::kSynReceived) state_ = State::kFinWait1;
    if (state_ == State::kCloseWait) state_ = State::kLastAck;
  }
  void on_our_ack(SeqNum ack) {
    if (state_ == State::kSynReceived) state_ = State::kEstablished;
    if (!fin_end_ || ack < *fin_end_) return;
    if (state_ == State::kFinWait1) state_ = State::kFinWait2;
    if (state_ == State::kClosing) state_ = State::kTimeWait;
    if (state_ == State::kLastAck) state_ = State::kClosed;
  }
  void on_our_fin() {
    if (state_ == State::kEstablished) state_ = State::kCloseWait;
    if (state_ == State::kFinWait1) state_ = State::kClosing;
    if (state_ == State::kFinWait2) state_ = State::kTimeWait;
  }

  State state_ = State::kClosed;
  std::optional<SeqNum> fin_end_;
};

// A move that a call of the program makes; the others follow from segments and timers.
bool by_call(State before, State after) {
  return after == State::kSynSent || after == State::kLastAck ||
         (after == State::kFinWait1 && (before == State::kEstablished || before == State::kSynReceived));
}

class LadderMaker {
 public:
  explicit LadderMaker(const Flow& flow) : flow_(flow) {}

  void on_record(const trace::Record& record) {
    switch (static_cast<tcp::Event>(record.event)) {
      case tcp::Event::kSegmentIn:
        return on_segment(record, true);
      case tcp::Event::kSegmentOut:
        return on_segment(record, false);
      case tcp::Event::kState:
        if (subject_ != 0 && record.subject == subject_)
          on_state(static_cast<State>(record.words[0]), static_cast<State>(record.words[1]));
        return;
      case tcp::Event::kHalfOpenBorn:
        if (ours(record)) set_state(State::kSynReceived);
        return;
      case tcp::Event::kConnectionBorn:
        if (ours(record)) subject_ = record.subject;
        return;
      case tcp::Event::kTimeWaitBorn:
        if (ours(record)) set_state(record.words[3] != 0 ? State::kFinWait2 : State::kTimeWait);
        return;
      case tcp::Event::kAccepted:
        if (subject_ != 0 && record.words[0] == subject_) on_accept(record.time);
        return;
      default:
        return;
    }
  }

  Ladder finish() {
    if (called_) set_state(*called_);
    // Who refuses was not listening.
    if (ladder_.peers == State::kListen && ladder_.steps.size() > 1 &&
        tcp::unpack_segment(ladder_.steps[1].words).has(wire::kRst)) {
      ladder_.peers = State::kClosed;
      for (LadderStep& step : ladder_.steps) step.peers = State::kClosed;
    }
    return std::move(ladder_);
  }

 private:
  bool ours(const trace::Record& record) const {
    return record.words[0] == tcp::pack_ports(flow_.local_port, flow_.remote_port);
  }

  void set_state(State state) {
    state_ = state;
    if (!ladder_.steps.empty()) ladder_.steps.back().ours = state;
  }
  void on_state(State before, State after) {
    // What a call did shows with the segment that it makes us send.
    if (by_call(before, after)) {
      called_ = after;
    } else if (after != State::kClosed || state_ != State::kTimeWait) {
      set_state(after);
    }
  }

  void on_accept(Instant time) {
    LadderStep step;
    step.kind = LadderStep::Kind::kCall;
    step.time = time;
    step.step = Step::kAccept;
    step.segment.head = "accept()";
    step.ours = state_;
    step.peers = peer_.now();
    ladder_.steps.push_back(std::move(step));
  }

  void on_segment(const trace::Record& record, bool in) {
    const tcp::SegmentWords words = words_of(record);
    const wire::TcpSegment segment = tcp::unpack_segment(words);
    if ((in ? segment.dst_port : segment.src_port) != flow_.local_port ||
        (in ? segment.src_port : segment.dst_port) != flow_.remote_port)
      return;
    if (tcp::subject_kind(record.subject) == tcp::SubjectKind::kConnection) subject_ = record.subject;
    if (again(record, in, words)) return;
    if (ladder_.steps.empty()) begin(segment, in, record.subject);
    learn_bases(segment, in);

    LadderStep step;
    step.kind = in ? LadderStep::Kind::kIn : LadderStep::Kind::kOut;
    step.time = record.time;
    step.words = words;
    const State before = state_;
    if (!in && called_) {
      state_ = *called_;
      called_.reset();
    }
    if (in && segment.has(wire::kFin)) peer_.note_fin_end(segment.seq + tcp::payload_bytes(words) + 1);
    // The small record of an orphan does not tell its state: only the peer's FIN moves it.
    if (in && tcp::subject_kind(record.subject) == tcp::SubjectKind::kTimeWait && segment.has(wire::kFin))
      state_ = State::kTimeWait;
    peer_.on_segment(in, segment);
    step.segment =
        segment_parts(words, in ? wire::SegmentTextBases{their_iss_, our_iss_, their_ts_, our_ts_}
                                : wire::SegmentTextBases{our_iss_, their_iss_, our_ts_, their_ts_});
    step.ours = state_;
    step.peers = peer_.now();
    befores_.push_back(before);
    ladder_.steps.push_back(std::move(step));
    last_ = record;
  }

  // The ACK that ends a handshake is seen by the half-open record, then by the connection it becomes: one
  // segment.
  bool again(const trace::Record& record, bool in, const tcp::SegmentWords& words) const {
    return in && !ladder_.steps.empty() && last_.event == record.event && last_.time == record.time &&
           last_.subject != record.subject &&
           last_.words == std::array<std::uint64_t, 4>{words.a, words.b, words.c, words.d};
  }

  void begin(const wire::TcpSegment& first, bool in, trace::Subject subject) {
    const bool syn = first.has(wire::kSyn) && !first.has(wire::kAck);
    state_ = !syn ? State::kEstablished : in && subject != 0 ? State::kListen : State::kClosed;
    peer_.begin(!syn ? State::kEstablished : in ? State::kClosed : State::kListen);
    ladder_.ours = state_;
    ladder_.peers = peer_.now();
    if (!syn) (in ? our_iss_ : their_iss_) = first.ack;
  }
  void learn_bases(const wire::TcpSegment& segment, bool in) {
    bool& known = in ? their_known_ : our_known_;
    if (known) return;
    known = true;
    (in ? their_iss_ : our_iss_) = segment.seq;
    if (segment.options.timestamps) (in ? their_ts_ : our_ts_) = segment.options.timestamps->value;
  }

 public:
  const std::vector<State>& befores() const { return befores_; }

 private:
  Flow flow_;
  trace::Subject subject_ = 0;    // of the connection, once known
  State state_ = State::kClosed;  // ours
  std::optional<State> called_;   // what a call made of it, until the segment that follows
  PeerState peer_;
  SeqNum our_iss_, their_iss_;
  std::uint32_t our_ts_ = 0, their_ts_ = 0;
  bool our_known_ = false, their_known_ = false;
  trace::Record last_;
  std::vector<State> befores_;  // our state before each segment
  Ladder ladder_;
};

// ---- how it is drawn ----

constexpr std::size_t kTimeWidth = 9, kStateWidth = 12, kIndent = 2;

// Columns that `text` takes: UTF-8, every character one column.
std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// A chain of calls broken before arrows, so that no line is wider than `width`.
std::string wrapped(std::string_view chain, std::size_t width, const std::string& indent) {
  static constexpr std::string_view kArrow = " → ";
  std::string out, line;
  while (!chain.empty()) {
    const std::size_t at = chain.find(kArrow);
    const std::string_view call = chain.substr(0, at);
    chain = at == std::string_view::npos ? std::string_view{} : chain.substr(at + kArrow.size());
    if (line.empty()) {
      line = call;
    } else if (columns_of(line) + columns_of(kArrow) + columns_of(call) <= width) {
      line += kArrow;
      line += call;
    } else {
      out += line + '\n' + indent;
      line = "→ ";
      line += call;
    }
  }
  return out + line + '\n';
}

std::string milliseconds(Duration since) {
  const std::uint64_t us = to_usec(since);
  return fmt::format("{}.{:03}", us / 1000, us % 1000);
}

std::string centered(std::string_view text, std::size_t width, char fill) {
  const std::size_t spare = width > text.size() ? width - text.size() : 0;
  return std::string(spare / 2, fill) + std::string(text) + std::string(spare - spare / 2, fill);
}

// "--- text --->" of exactly `width` columns.
std::string arrow(const std::string& text, std::size_t width, bool in) {
  const std::string middle = centered(' ' + text + ' ', width - 1, '-');
  return in ? '<' + middle : middle + '>';
}

}  // namespace

Ladder make_ladder(std::span<const trace::Record> records, const Flow& flow) {
  LadderMaker maker(flow);
  for (const trace::Record& record : records) maker.on_record(record);
  const std::vector<State> befores = maker.befores();
  Ladder ladder = maker.finish();
  // Only now are the states after each step final.
  std::size_t at = 0;
  bool open_answered = false;
  for (LadderStep& step : ladder.steps) {
    if (step.kind == LadderStep::Kind::kCall) continue;
    const wire::TcpSegment segment = tcp::unpack_segment(step.words);
    const bool in = step.kind == LadderStep::Kind::kIn;
    step.step = step_of(in, segment.flags, tcp::payload_bytes(step.words), befores[at++], step.ours);
    if (step.step == Step::kAckOut && open_answered) step.step = Step::kHandshakeAck;
    open_answered = step.step == Step::kSynAckIn;
  }
  return ladder;
}

Ladder Ladder::handshake() const {
  Ladder part{ours, peers, {}};
  for (const LadderStep& step : steps) {
    const bool both = !part.steps.empty() && part.steps.back().ours == State::kEstablished &&
                      part.steps.back().peers == State::kEstablished;
    if (both && step.step != Step::kAccept) break;
    part.steps.push_back(step);
  }
  // The call may come after the first data; it still belongs here.
  const auto is_accept = [](const LadderStep& step) { return step.step == Step::kAccept; };
  if (std::none_of(part.steps.begin(), part.steps.end(), is_accept))
    if (const auto accept = std::find_if(steps.begin(), steps.end(), is_accept); accept != steps.end())
      part.steps.push_back(*accept);
  return part;
}

Ladder Ladder::close() const {
  const auto is_fin = [](const LadderStep& step) {
    return step.kind != LadderStep::Kind::kCall && tcp::unpack_segment(step.words).has(wire::kFin);
  };
  const auto first = std::find_if(steps.begin(), steps.end(), is_fin);
  Ladder part{ours, peers, {first, steps.end()}};
  if (first != steps.begin() && first != steps.end()) {
    part.ours = std::prev(first)->ours;
    part.peers = std::prev(first)->peers;
  }
  return part;
}

std::string ladder_text(const Ladder& ladder, const LadderStyle& style) {
  const std::size_t width = std::max<std::size_t>(style.width, 76);
  const std::size_t between = width - kIndent - kTimeWidth - 2 - kStateWidth - 1 - 2 - 1 - kStateWidth;
  const std::string gap(kIndent + kTimeWidth + 2, ' ');
  const std::string blank(between, ' ');
  const std::string functions_indent(gap.size() + 7, ' ');
  const auto post = [&](std::string_view time, const char* ours, const std::string& middle,
                        const char* peers) {
    std::string line = fmt::format("{:{}}{:>{}}  {:<{}} |{}| {}", "", kIndent, time, kTimeWidth, ours,
                                   kStateWidth, middle, peers);
    line.erase(line.find_last_not_of(' ') + 1);
    return line + '\n';
  };

  std::string text;
  // Above its post; a longer one begins further left, so that it ends with the page.
  const std::size_t right = std::max(kStateWidth, style.peer_name.size());
  const std::size_t left = std::max(width - gap.size() - right, style.our_name.size() + 1);
  text += fmt::format("{}{:<{}}{}\n", gap, style.our_name, left, style.peer_name);
  text += post("ms", tcp::to_string(ladder.ours), blank, tcp::to_string(ladder.peers));
  const Instant begin = ladder.steps.empty() ? Instant{} : ladder.steps.front().time;
  for (const LadderStep& step : ladder.steps) {
    const std::string time = milliseconds(step.time - begin);
    const char* const ours = tcp::to_string(step.ours);
    const char* const peers = tcp::to_string(step.peers);
    const std::string whole = step.segment.text();
    if (step.kind == LadderStep::Kind::kCall) {
      text += post(time, ours, fmt::format(" {:<{}}", whole, between - 1), peers);
    } else if (const bool in = step.kind == LadderStep::Kind::kIn; whole.size() + 6 <= between) {
      text += post(time, ours, arrow(whole, between, in), peers);
    } else {
      text += post(time, ours, arrow(step.segment.head, between, in), peers);
      text += post("", "", centered(step.segment.options, between, ' '), "");
    }
    if (!style.functions) continue;
    const Chains& chains = functions_of(step.step);
    text += fmt::format("{}tapir  {}", gap,
                        wrapped(chains.tapir, width - functions_indent.size(), functions_indent));
    text += fmt::format("{}Linux  {}", gap,
                        wrapped(chains.linux_kernel, width - functions_indent.size(), functions_indent));
  }
  return text;
}

nlohmann::ordered_json ladder_json(const Ladder& ladder) {
  auto steps = nlohmann::ordered_json::array();
  const Instant begin = ladder.steps.empty() ? Instant{} : ladder.steps.front().time;
  for (const LadderStep& step : ladder.steps) {
    const Chains& chains = functions_of(step.step);
    const char* const kind = step.kind == LadderStep::Kind::kIn    ? "in"
                             : step.kind == LadderStep::Kind::kOut ? "out"
                                                                   : "call";
    steps.push_back({{"time_us", to_usec(step.time - begin)},
                     {"kind", kind},
                     {"segment", step.segment.text()},
                     {"tapir_state", tcp::to_string(step.ours)},
                     {"peer_state", tcp::to_string(step.peers)},
                     {"tapir_functions", std::string(chains.tapir)},
                     {"linux_functions", std::string(chains.linux_kernel)}});
  }
  return {{"tapir_state", tcp::to_string(ladder.ours)},
          {"peer_state", tcp::to_string(ladder.peers)},
          {"steps", std::move(steps)}};
}

}  // namespace tapir::observe
