// SPDX-License-Identifier: Apache-2.0
// Plays packetdrill through the table of --so_filename: whole scripts, event by event, by the tool's rules.
// It shares the language's parser and packets with `tapir drill`, and nothing of how that makes calls or
// keeps time.
//
//   drill_player LIBRARY SCRIPT|FOLDER...      each script in a process of its own; exit status 1: one failed
//   drill_player --kernel SCRIPT|FOLDER...     the same against the kernel, in a network namespace (root;
//   real time)
//     --skip WORD     leaves out scripts whose path contains WORD
//     --tolerance MS  how late or early anything may be, for a busy machine
//     -v              says what each event did
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "plugin/player/calls.h"
#include "plugin/player/table.h"
#include "sim/drill/code.h"
#include "sim/drill/packets.h"
#include "sim/drill/parser.h"
#include "sim/drill/settings.h"
#include "sim/drill/tcp_info.h"
#include "wire/tcp_segment.h"

namespace tapir::player {

using namespace sim::drill;

namespace {

// The tool sleeps until so close to an event, then asks for the time without pause.
constexpr long long kSpinUsecs = 20;
// The tool's patience with a second call while one waits, in real time.
constexpr auto kQueuePatience = std::chrono::seconds(1);
// Segments that are told of after one that was not expected.
constexpr int kShownAfterwards = 4;
// How long a packet is waited for beyond its time.
constexpr long long kPatienceUsecs = 2'000'000;
constexpr std::uint16_t kFirstRemotePort = 40001;

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Player {
 public:
  Player(const Table& table, const Script& script, const Settings& settings, bool verbose)
      : table_(table),
        script_(script),
        settings_(settings),
        verbose_(verbose),
        calls_(table, settings_, connections_) {}

  // Throws Failure.
  void run() {
    if (script_.init) shell(script_.init->command);
    start_ = now();
    calls_.set_start(start_ * 1000);
    for (const Event& event : script_.events) {
      line_ = event.at.line;
      run_event(event);
    }
    finish();
  }
  std::uint32_t line() const { return line_; }
  // After a failure: the first assertion before it that did not hold, and what else was sent.
  std::string explain() {
    std::string text;
    CodeInterpreter code;
    for (const auto& [event, names] : codes_)
      if (const auto failure = code.run(*event, names)) {
        text += fmt::format("\n  before it, line {}: {}", failure->at.line, failure->message);
        break;
      }
    table_.set_patience(0);
    for (int i = 0; i < kShownAfterwards; ++i) {
      SentPacket packet;
      packet.bytes.resize(65536);
      std::size_t size = packet.bytes.size();
      long long at = 0;
      if (table_.call<int>(kNetdevReceive, static_cast<void*>(packet.bytes.data()), &size, &at) != 0 ||
          size == 0)
        break;
      packet.bytes.resize(size);
      const auto seen = read_segment(packet, settings_);
      const Connection* const c = seen ? connections_.by_tuple(seen->tuple) : nullptr;
      if (c != nullptr)
        text += fmt::format("\n  after it, {:.6f} > {}", static_cast<double>(at - start_) / 1e6,
                            to_text(to_script(*seen, *c)));
    }
    return text;
  }

 private:
  // ---- time, in microseconds since the start ----

  long long now() const {
    timeval tv{};
    table_.call<int>(kGettimeofday, &tv, static_cast<struct timezone*>(nullptr));
    return static_cast<long long>(tv.tv_sec) * 1'000'000 + tv.tv_usec;
  }
  static long long usecs(Duration d) {
    return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  }

  struct When {
    bool any = false;
    long long at = 0, end = 0, returns_at = 0, tolerance = 0;
  };
  When schedule(const Event& event) {
    const EventTime& time = event.time;
    const auto* packet = std::get_if<PacketEvent>(&event.action);
    const bool inbound = packet != nullptr && packet->inbound;
    const bool relative = time.kind == TimeKind::kRelative || time.kind == TimeKind::kRelativeRange;
    When when;
    when.any = time.kind == TimeKind::kAny;
    // Packets of one train keep the distances that the script gives them.
    const long long base = !relative ? 0 : inbound && last_inbound_ ? last_at_ : now() - start_;
    when.at = when.any ? now() - start_ : base + usecs(time.at);
    when.end = time.kind == TimeKind::kAbsoluteRange || time.kind == TimeKind::kRelativeRange
                   ? base + usecs(time.range_end)
                   : when.at;
    if (time.returns_at) when.returns_at = base + usecs(*time.returns_at);
    when.tolerance = tolerance(when.at - last_at_);
    last_at_ = when.at;
    last_inbound_ = inbound;
    return when;
  }
  long long tolerance(long long since) const {
    return std::max(usecs(settings_.tolerance), since * settings_.tolerance_permille / 1000);
  }

  void check_time(const When& when, long long actual, const std::string& what) const {
    if (when.any || (actual >= when.at - when.tolerance && actual <= when.end + when.tolerance)) return;
    throw Failure(fmt::format("{} at {:.6f} s, expected at {:.6f} s (within {:.6f} s)", what,
                              static_cast<double>(actual) / 1e6, static_cast<double>(when.at) / 1e6,
                              static_cast<double>(when.tolerance) / 1e6));
  }
  void wait_until(long long at) {
    for (;;) {
      const long long left = at - (now() - start_);
      if (left <= 0) return;
      if (left > kSpinUsecs) table_.call<int>(kUsleep, static_cast<useconds_t>(left - kSpinUsecs));
      collect();
    }
  }

  // ---- events ----

  void say(const std::string& text) {
    if (verbose_)
      std::fprintf(stderr, "  %.6f  %s\n", static_cast<double>(now() - start_) / 1e6, text.c_str());
  }

  void run_event(const Event& event) {
    const When when = schedule(event);
    const auto* packet = std::get_if<PacketEvent>(&event.action);
    if (packet != nullptr && !packet->inbound) return expect(*packet, when);
    wait_until(when.at);
    check_time(when, now() - start_, "the event came");
    if (packet != nullptr)
      inject(*packet);
    else if (const auto* call = std::get_if<CallEvent>(&event.action))
      run_call(event, *call, when);
    else if (const auto* command = std::get_if<ShellEvent>(&event.action))
      shell(command->command);
    else
      codes_.emplace_back(&std::get<CodeEvent>(event.action), snapshot());
    collect();
  }

  void shell(const std::string& command) {
    say("`" + command + "`");
    if (const int status = table_.system(command.c_str()); status != 0)
      throw Failure(fmt::format("the command ended with {}: {}", status, command));
  }

  CodeSnapshot snapshot() const {
    CodeSnapshot names;
    const Connection* const under_test = connections_.under_test();
    if (under_test == nullptr || under_test->live_fd < 0) return names;
    std::vector<std::uint8_t> bytes(kTcpInfoSize);
    socklen_t length = static_cast<socklen_t>(bytes.size());
    if (table_.getsockopt(under_test->live_fd, IPPROTO_TCP, 11 /* TCP_INFO */, bytes.data(), &length) != 0)
      throw Failure("getsockopt(TCP_INFO) fails");
    bytes.resize(length);
    add_tcp_info(bytes, names);
    std::vector<std::uint8_t> memory(64);
    length = static_cast<socklen_t>(memory.size());
    if (table_.getsockopt(under_test->live_fd, SOL_SOCKET, 55 /* SO_MEMINFO */, memory.data(), &length) ==
        0) {
      memory.resize(length);
      add_meminfo(memory, names);
    }
    return names;
  }

  // ---- calls: one that may wait has a thread of its own ----

  void run_call(const Event& event, const CallEvent& call, const When& when) {
    if (event.time.returns_at) {
      const auto patience = std::chrono::steady_clock::now() + kQueuePatience;
      while (waiting_ && std::chrono::steady_clock::now() < patience) {
        table_.call<int>(kUsleep, useconds_t{1000});
        collect();
      }
      if (waiting_) throw Failure("a blocking call while another has not returned");
    }
    Calls::Prepared prepared = calls_.prepare(call);
    if (event.time.returns_at) return start(call, std::move(prepared), when);
    const long result = prepared.make();
    const Calls::Answer answer{result, result < 0 ? errno : 0};
    say(fmt::format("{}() = {}", call.name, result));
    if (const auto wrong = prepared.check(answer)) throw Failure(*wrong);
  }

  struct Waiting {
    std::thread thread;
    std::atomic<int> id{0};
    std::atomic<bool> done{false};
    Calls::Answer answer;
    long long returned = 0;
    Calls::Prepared prepared;
    When end;
    std::string name;
  };

  void start(const CallEvent& call, Calls::Prepared prepared, const When& when) {
    waiting_ = std::make_unique<Waiting>();
    waiting_->prepared = std::move(prepared);
    waiting_->end.at = waiting_->end.end = when.returns_at;
    waiting_->end.tolerance = tolerance(when.returns_at - when.at);
    waiting_->name = call.name;
    waiting_->thread = std::thread([this, w = waiting_.get()] {
      w->id = ::gettid();
      const long result = w->prepared.make();
      w->answer = {result, result < 0 ? errno : 0};
      w->returned = now() - start_;
      w->done = true;
    });
    // Until it sleeps in the kernel or is done, as the tool.
    while (!waiting_->done && !asleep(waiting_->id)) std::this_thread::yield();
  }
  static bool asleep(int id) {
    if (id == 0) return false;
    std::ifstream in(fmt::format("/proc/self/task/{}/stat", id));
    std::string text;
    std::getline(in, text);
    const std::size_t at = text.rfind(") ");
    return at != std::string::npos && text[at + 2] == 'S';
  }
  // The call that waited has returned: what it says, and when.
  void collect() {
    if (!waiting_ || !waiting_->done) return;
    const std::unique_ptr<Waiting> done = std::move(waiting_);
    done->thread.join();
    say(fmt::format("{}() returned {}", done->name, done->answer.result));
    if (const auto wrong = done->prepared.check(done->answer)) throw Failure(*wrong);
    check_time(done->end, done->returned, done->name + "() returned");
  }

  // ---- packets ----

  Connection& connection_of(const PacketEvent& packet) {
    const auto open = [&](std::uint16_t remote_port, std::uint16_t local_port) -> Connection& {
      Connection& made = connections_.add();
      made.state = Connection::State::kPassive;
      made.tuple = {{settings_.local, local_port}, {settings_.remote, remote_port}};
      return made;
    };
    const auto named = packet.inbound ? packet.source_port : packet.destination_port;
    if (named) {
      if (Connection* known = connections_.by_remote_port(*named)) return *known;
      if (packet.inbound) return open(*named, *packet.destination_port);
    }
    Connection* const current = connections_.under_test();
    if (current != nullptr && current->state != Connection::State::kListening &&
        current->state != Connection::State::kFresh)
      return *current;
    if (!packet.inbound) throw Failure("no connection that a packet could be expected of");
    return open(next_port_++, current != nullptr ? current->tuple.local.port : settings_.bind_port);
  }

  void inject(const PacketEvent& packet) {
    Connection& c = connection_of(packet);
    const auto* tcp = std::get_if<TcpSpec>(&packet.transport);
    if (tcp != nullptr && (tcp->flags & wire::kSyn) != 0) {
      c.last_injected_syn = SeqNum(tcp->seq);
      if (!c.remote_isn_known) {
        c.script_remote_isn = tcp->seq;
        c.live_remote_isn = SeqNum(tcp->seq);
        c.remote_isn_known = true;
      }
    }
    std::vector<std::uint8_t> bytes;
    if (tcp != nullptr) {
      auto built = build_segment(*tcp, packet.ip, c, settings_);
      if (!built) throw Failure(built.error());
      bytes = std::move(*built);
      say("< " + to_text(*tcp, packet.ip));
    } else {
      bytes = build_icmp(std::get<IcmpSpec>(packet.transport), c, settings_);
    }
    if (table_.call<int>(kNetdevSend, static_cast<const void*>(bytes.data()), bytes.size()) != 0)
      throw Failure("the packet is not taken");
  }

  // The next TCP segment of `c`; nothing will come: throws.
  SeenSegment next(Connection& c, const std::string& expected) {
    for (;;) {
      SentPacket packet;
      packet.bytes.resize(65536);
      std::size_t size = packet.bytes.size();
      long long at = 0;
      if (table_.call<int>(kNetdevReceive, static_cast<void*>(packet.bytes.data()), &size, &at) != 0)
        continue;
      collect();
      if (size == 0) throw Failure("nothing came; expected " + expected);
      packet.bytes.resize(size);
      packet.at = Instant{std::chrono::microseconds(at - start_)};
      const auto seen = read_segment(packet, settings_);
      if (!seen) continue;
      if (c.state == Connection::State::kConnecting) {
        const bool syn = (seen->flags & wire::kSyn) != 0 && (seen->flags & wire::kAck) == 0;
        if (!syn || seen->tuple.remote != c.tuple.remote) continue;
        c.state = Connection::State::kActive;
        c.tuple.local = seen->tuple.local;
        return *seen;
      }
      if (seen->tuple == c.tuple) return *seen;
    }
  }

  static void learn(const SeenSegment& seen, const TcpSpec& spec, Connection& c) {
    const bool renewed = c.state == Connection::State::kPassive && c.local_isn_known &&
                         (seen.flags & wire::kAck) != 0 && c.last_injected_syn != c.live_remote_isn;
    if ((seen.flags & wire::kSyn) != 0 && (!c.local_isn_known || renewed)) {
      c.live_local_isn = SeqNum(seen.seq);
      c.script_local_isn = (spec.flags & wire::kSyn) != 0 ? spec.seq : 0;
      c.local_isn_known = true;
      if (renewed) {
        c.live_remote_isn = c.last_injected_syn;
        c.script_remote_isn = c.last_injected_syn.value();
        c.timestamps.clear();
        c.timestamp_offset.reset();
      }
    }
    if ((seen.flags & wire::kAck) != 0) c.peer_next = SeqNum(seen.ack);
    const auto at = timestamp_at(seen.options.bytes());
    const auto scripted_at = timestamp_at(spec.options.bytes());
    if (!at || !scripted_at) return;
    const auto live = load_be<std::uint32_t>(seen.options.bytes(), *at);
    const auto scripted = load_be<std::uint32_t>(spec.options.bytes(), *scripted_at);
    c.timestamps[scripted] = live;
    if (!c.timestamp_offset) c.timestamp_offset = live - scripted;
  }

  void expect(const PacketEvent& packet, const When& when) {
    const TcpSpec& spec = std::get<TcpSpec>(packet.transport);
    Connection& c = connection_of(packet);
    const std::string expected = to_text(spec, packet.ip);
    table_.set_patience(when.any ? kPatienceUsecs : when.end - (now() - start_) + kPatienceUsecs);
    SeenSegment seen = next(c, expected);
    learn(seen, spec, c);
    // Pieces of one run of data count as one, unless the script is strict.
    const std::uint32_t unit = seen.length;
    while ((spec.flags & wire::kSyn) == 0 && !settings_.strict_segments && seen.length != 0 &&
           seen.length < spec.length && seen.length % unit == 0) {
      SeenSegment more = next(c, expected);
      if (more.length > unit || !merge(seen, more))
        throw Failure("expected " + expected + ", got " + to_text(to_script(seen, c)) + ", then " +
                      to_text(to_script(more, c)));
    }
    const SeenSegment scripted = to_script(seen, c);
    say("> " + to_text(scripted));
    if (const auto wrong = difference(spec, packet.ip, scripted))
      throw Failure(*wrong + "; expected " + expected + ", got " + to_text(scripted));
    check_time(when, usecs(seen.at.time_since_epoch()), "the segment came");
    // What comes next is counted from now.
    if (!when.any) last_at_ = when.at;
  }

  // ---- the end ----

  void finish() {
    if (waiting_) {
      const auto patience = std::chrono::steady_clock::now() + kQueuePatience;
      while (waiting_ && std::chrono::steady_clock::now() < patience) {
        const long long left = std::max<long long>(waiting_->end.at - (now() - start_), 0);
        table_.call<int>(kUsleep, static_cast<useconds_t>(std::min<long long>(left + 1000, 1'000'000)));
        collect();
      }
      if (waiting_) throw Failure("a call has not returned by the end of the script");
    }
    if (script_.cleanup) (void)table_.system(script_.cleanup->command.c_str());
    CodeInterpreter code;
    for (const auto& [event, names] : codes_)
      if (const auto failure = code.run(*event, names)) {
        line_ = failure->at.line;
        throw Failure(failure->message + " (" + failure->got + ")");
      }
    for (const std::string& line : code.output()) say("print: " + line);
    for (const auto& connection : connections_.all()) {
      if (!connection->remote_isn_known || connection->state == Connection::State::kListening) continue;
      const auto reset = build_reset(*connection);
      table_.call<int>(kNetdevSend, static_cast<const void*>(reset.data()), reset.size());
    }
    for (const int fd : calls_.open_sockets())
      if (::close(fd) != 0) throw Failure(fmt::format("close({}): {}", fd, std::strerror(errno)));
    table_.call<void>(kFree);
  }

  const Table& table_;
  const Script& script_;
  const Settings& settings_;
  bool verbose_;
  Connections connections_;
  Calls calls_;
  long long start_ = 0;
  long long last_at_ = 0;
  bool last_inbound_ = false;
  std::uint32_t line_ = 0;
  std::uint16_t next_port_ = kFirstRemotePort;
  std::unique_ptr<Waiting> waiting_;
  std::vector<std::pair<const CodeEvent*, CodeSnapshot>> codes_;
};

enum Exit { kPassed = 0, kFailed = 1, kUnable = 2, kSkipped = 3 };

struct Options {
  std::string library;  // empty: the kernel
  bool verbose = false;
  unsigned tolerance_ms = 0;  // 0: the script's own
};

// What a player works with. A thread of it may still be in its call when the script is over, and come back at
// any time: never destroyed.
struct Stage {
  Table table;
  Script script;
  Settings settings;
};

// In a process of its own.
int play(const std::string& path, const Options& options) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  Settings settings = default_settings();
  auto script = parse_script(text.str(), settings.definitions);
  if (!script) {
    std::printf("%s %s:%u %s\n", script.error().unsupported ? "SKIP" : "FAIL", path.c_str(),
                script.error().at.line, script.error().message.c_str());
    return script.error().unsupported ? kSkipped : kFailed;
  }
  for (const ScriptOption& option : script->options)
    if (const auto problem = apply_option(settings, option.name, option.value)) {
      std::printf("SKIP %s:%u %s\n", path.c_str(), option.at.line, problem->message.c_str());
      return kSkipped;
    }
  if (options.tolerance_ms != 0) settings.tolerance = std::chrono::milliseconds(options.tolerance_ms);
  auto* const stage = new Stage{{}, std::move(*script), settings};
  Table& table = stage->table;
  if (options.library.empty()) {
    KernelConfig config;
    config.local = settings.local.to_string() + "/" + std::to_string(settings.prefix_length);
    config.gateway = settings.gateway.to_string();
    config.mtu = settings.mtu;
    if (text.str().find("congestion_control=reno") != std::string::npos) config.congestion_control = "reno";
    table = enter_kernel(config);
  } else {
    const std::string flags =
        "sysctl=none,local=" + settings.local.to_string() + ",remote=" + settings.remote.to_string() +
        ",gateway=" + settings.gateway.to_string() + ",mtu=" + std::to_string(settings.mtu);
    table = load_library(options.library.c_str(), flags.c_str());
  }
  auto* const player = new Player(table, stage->script, stage->settings, options.verbose);
  try {
    player->run();
  } catch (const std::exception& failure) {
    std::printf("FAIL %s:%u %s%s\n", path.c_str(), player->line(), failure.what(),
                options.library.empty() ? player->explain().c_str() : "");
    return kFailed;
  }
  std::printf("PASS %s\n", path.c_str());
  return kPassed;
}

}  // namespace
}  // namespace tapir::player

int main(int argc, char** argv) {
  using namespace tapir::player;
  Options options;
  std::vector<std::string> paths, skipped;
  bool kernel = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--kernel")
      kernel = true;
    else if (word == "-v")
      options.verbose = true;
    else if (word == "--tolerance" && i + 1 < argc)
      options.tolerance_ms = static_cast<unsigned>(std::atoi(argv[++i]));
    else if (word == "--skip" && i + 1 < argc)
      skipped.push_back(argv[++i]);
    else if (!kernel && options.library.empty())
      options.library = std::filesystem::absolute(word);
    else
      paths.push_back(std::filesystem::absolute(word));
  }
  std::vector<std::string> scripts;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      scripts.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      if (entry.path().extension() == ".pkt") scripts.push_back(entry.path());
  }
  std::sort(scripts.begin(), scripts.end());
  ::signal(SIGPIPE, SIG_IGN);  // as the tool does
  int counts[4] = {};
  for (const std::string& script : scripts) {
    if (std::any_of(skipped.begin(), skipped.end(),
                    [&](const std::string& word) { return script.find(word) != std::string::npos; }))
      continue;
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      const int status = play(script, options);
      std::fflush(stdout);
      std::fflush(stderr);
      remove_commands();
      ::_exit(status);  // threads that still wait would find what std::exit() has destroyed
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const int ended = WIFEXITED(status) ? WEXITSTATUS(status) : int{kUnable};
    if (!WIFEXITED(status)) std::printf("FAIL %s ended by signal %d\n", script.c_str(), WTERMSIG(status));
    ++counts[ended < 4 ? ended : int{kUnable}];
  }
  std::printf("%d passed, %d failed, %d skipped, %d could not be run\n", counts[kPassed], counts[kFailed],
              counts[kSkipped], counts[kUnable]);
  return counts[kFailed] == 0 && counts[kUnable] == 0 && counts[kPassed] != 0 ? 0 : 1;
}
