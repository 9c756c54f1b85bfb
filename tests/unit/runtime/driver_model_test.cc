// SPDX-License-Identifier: Apache-2.0
// The protocol by which threads share the driving of a stack, tried in every interleaving. The model's steps
// carry the names of driver.cc's and waiters.cc's functions and do to this state what those do to theirs: who
// changes the one changes the other.
//
// A step is what happens between taking the lock and releasing it, or one futex call. The lock is free
// between steps; what a thread waits on without it (futex, ppoll, a timer) is what makes its next step
// possible. Time-outs of calls are left out: they only add ways to wake up.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace tapir::runtime {
namespace {

constexpr int kThreads = 3;
constexpr int kService = 3;
constexpr std::int8_t kNobody = -1;

// What is left out of the protocol, to see that the search finds it.
enum class Broken {
  kNothing,
  kNoHandOver,
  kOnlyTheDriverHandsOver,
  kNoWakeOnAnswer,
  kArmsWithoutLock,
  kNoKick,
  kServiceNotWoken,
  kServiceJustLeaves
};

enum class At : std::uint8_t {
  kOutside,     // between calls
  kArming,      // only of the broken kArmsWithoutLock: unlocked, its futex not yet armed
  kBeforeWait,  // sleep(): unlocked, the futex not looked at
  kInWait,      // in FUTEX_WAIT
  kAwake,       // back from it; wants the lock
  kInPoll,      // wait_for_devices(): in ppoll
  kTicking,     // the service thread: sleeps for drive_grace
  kAsleep,      // the service thread: sleeps until woken
};

struct Thread {
  At at = At::kOutside;
  std::uint8_t calls_left = 0;
  std::uint8_t to_wake = 0;  // posted, FUTEX_WAKE still to come: bits by thread
  bool enlisted = false;
  bool answered = false;
  bool polling = false;
  bool posted = false;  // its futex
};

struct State {
  std::array<Thread, kThreads + 1> threads{};
  std::array<std::int8_t, kThreads> waiting{kNobody, kNobody,
                                            kNobody};  // those enlisted, the one that came last first
  std::array<std::uint8_t, kThreads> arrivals_left{};  // frames still to come for each
  std::uint8_t device = 0;                             // frames that wait in the device: bits by thread
  std::uint8_t socket = 0;                             // and what was delivered to no waiting call
  std::int8_t driver = kNobody;
  bool kicked = false;
  bool service_asleep = false;

  std::string key() const {
    std::string bytes(sizeof(State), '\0');
    std::memcpy(bytes.data(), this, sizeof(State));
    return bytes;
  }
};
static_assert(std::has_unique_object_representations_v<State>, "equal states have equal bytes");

struct Setting {
  std::array<std::uint8_t, kThreads> receives{};  // calls of each thread that wait for a datum of its own
  std::array<std::uint8_t, kThreads> sends{};     // and then calls that send, over loopback, to thread 0
  bool service = false;
};

class Model {
 public:
  Model(const Setting& setting, Broken broken) : setting_(setting), broken_(broken) {
    State start;
    for (int i = 0; i < kThreads; ++i) {
      const auto index = static_cast<std::size_t>(i);
      start.threads[index].calls_left =
          static_cast<std::uint8_t>(setting.receives[index] + setting.sends[index]);
      start.arrivals_left[index] = setting.receives[index];
    }
    // What thread 0 hears from its siblings needs no frame.
    for (const std::uint8_t sends : setting.sends)
      start.arrivals_left[0] = static_cast<std::uint8_t>(start.arrivals_left[0] - sends);
    if (setting.service) start.threads[kService].at = At::kTicking;
    visit(start);
  }

  // Empty: the protocol holds.
  std::string explore() {
    while (!open_.empty()) {
      const State state = open_.back();
      open_.pop_back();
      const bool moved = step_all(state);
      if (std::string wrong = look(state, moved); !wrong.empty()) return wrong;
    }
    return ended_ ? "" : "no interleaving ends with every call answered";
  }
  std::size_t states() const { return seen_.size(); }

 private:
  static std::uint8_t bit(int i) { return static_cast<std::uint8_t>(1U << i); }
  Thread& thread(int i) { return s_.threads[static_cast<std::size_t>(i)]; }

  void visit(const State& state) {
    if (seen_.insert(state.key()).second) open_.push_back(state);
  }
  // Runs one step from `from`.
  void take(const State& from, const std::function<void()>& step) {
    s_ = from;
    step();
    visit(s_);
  }

  // ---- the steps, as driver.cc and waiters.cc have them ----

  void wake(int i) {
    thread(i).posted = true;
    thread(running_).to_wake |= bit(i);
  }
  void kick() {
    if (broken_ != Broken::kNoKick) s_.kicked = true;
  }
  void enlist(int i) {
    thread(i).enlisted = true;
    for (std::size_t k = kThreads - 1; k > 0; --k) s_.waiting[k] = s_.waiting[k - 1];
    s_.waiting[0] = static_cast<std::int8_t>(i);
  }
  void delist(int i) {
    thread(i).enlisted = false;
    std::size_t kept = 0;
    for (const std::int8_t each : std::array(s_.waiting))
      if (each != i && each != kNobody) s_.waiting[kept++] = each;
    while (kept < kThreads) s_.waiting[kept++] = kNobody;
  }
  void answer(int i) {
    thread(i).answered = true;
    delist(i);
    if (s_.driver != i) {
      if (broken_ != Broken::kNoWakeOnAnswer) wake(i);
    } else if (thread(i).polling) {
      kick();
    }
  }
  void complete_ready() {
    for (int i = 0; i < kThreads; ++i) {
      if ((s_.socket & bit(i)) == 0 || !thread(i).enlisted) continue;
      s_.socket = static_cast<std::uint8_t>(s_.socket & ~bit(i));
      answer(i);
    }
  }
  void turn() {
    s_.socket |= s_.device;
    s_.device = 0;
    complete_ready();
  }
  void hand_over() {
    if (broken_ == Broken::kNoHandOver) return;
    if (s_.waiting[0] != kNobody) {
      wake(s_.waiting[0]);
    } else if (thread(kService).polling) {
      s_.driver = kService;
    } else if (s_.service_asleep) {
      s_.service_asleep = false;
      if (broken_ != Broken::kServiceNotWoken) wake(kService);
    }
  }
  // The call is over.
  void leave(int i, bool drove) {
    if (s_.driver == kNobody && (drove || broken_ != Broken::kOnlyTheDriverHandsOver)) hand_over();
    thread(i).answered = false;
    --thread(i).calls_left;
    thread(i).at = At::kOutside;
  }
  void wait_for_devices(int i) {
    thread(i).polling = true;
    thread(i).at = At::kInPoll;
  }
  void drive(int i) {
    s_.driver = static_cast<std::int8_t>(i);
    if (!thread(i).answered) turn();
    if (!thread(i).answered) return wait_for_devices(i);
    s_.driver = kNobody;
    leave(i, true);
  }
  void sleep(int i) {
    if (broken_ == Broken::kArmsWithoutLock) {
      thread(i).at = At::kArming;
      return;
    }
    thread(i).posted = false;
    thread(i).at = At::kBeforeWait;
  }
  // The loop of run_to_answer(), from its head.
  void wait_for_answer(int i) {
    if (thread(i).answered) return leave(i, false);
    if (s_.driver == kNobody || s_.driver == kService) return drive(i);
    sleep(i);
  }
  void run_to_answer(int i) {
    if ((s_.socket & bit(i)) != 0) {
      s_.socket = static_cast<std::uint8_t>(s_.socket & ~bit(i));
      --thread(i).calls_left;
      return;
    }
    enlist(i);
    wait_for_answer(i);
  }
  // A call that does not wait: what it sends is thread 0's, at once.
  void send(int i) {
    s_.socket |= bit(0);
    complete_ready();
    --thread(i).calls_left;
  }
  void polled(int i) {
    thread(i).polling = false;
    if (s_.driver == i) s_.kicked = false;
  }
  void service_drive() {
    s_.driver = kService;
    turn();
    wait_for_devices(kService);
  }
  void service_turns() {
    s_.driver = kService;
    turn();
    service_leaves();
  }
  void service_leaves() {
    if (s_.driver == kService) {
      s_.driver = kNobody;
      if (s_.waiting[0] != kNobody && broken_ != Broken::kServiceJustLeaves) hand_over();
    }
    thread(kService).posted = false;
    thread(kService).at = At::kTicking;
  }

  // ---- every step that can be taken ----

  bool step_all(const State& state) {
    bool moved = false;  // by other than frames that come and timers that run out
    for (int i = 0; i < kThreads; ++i) {
      const auto index = static_cast<std::size_t>(i);
      // Frames come at any time, one at a time for each.
      if (state.arrivals_left[index] > 0 && ((state.device | state.socket) & bit(i)) == 0 &&
          !state.threads[index].answered) {
        take(state, [&] {
          --s_.arrivals_left[index];
          s_.device |= bit(i);
        });
      }
      moved |= step_thread(state, i);
    }
    if (setting_.service) moved |= step_service(state);
    return moved;
  }

  // After the lock is free: the wake-ups that were promised under it.
  bool step_wakes(const State& state, int i) {
    const std::uint8_t to_wake = state.threads[static_cast<std::size_t>(i)].to_wake;
    if (to_wake == 0) return false;
    for (int j = 0; j <= kService; ++j) {
      if ((to_wake & bit(j)) == 0) continue;
      take(state, [&] {
        thread(i).to_wake = static_cast<std::uint8_t>(thread(i).to_wake & ~bit(j));
        if (thread(j).at == At::kInWait) thread(j).at = At::kBeforeWait;
        if (thread(j).at == At::kAsleep) thread(j).at = At::kTicking;
      });
    }
    return true;
  }

  bool step_thread(const State& state, int i) {
    running_ = i;
    if (step_wakes(state, i)) return true;
    const auto index = static_cast<std::size_t>(i);
    const Thread& me = state.threads[index];
    switch (me.at) {
      case At::kOutside:
        if (me.calls_left == 0) return false;
        if (me.calls_left <= setting_.sends[index]) {
          // One datum at a time is in the socket of the one that hears it.
          if ((state.socket & bit(0)) != 0 || state.threads[0].answered) return false;
          take(state, [&] { send(i); });
        } else {
          take(state, [&] { run_to_answer(i); });
        }
        return true;
      case At::kArming:
        take(state, [&] {
          thread(i).posted = false;
          thread(i).at = At::kBeforeWait;
        });
        return true;
      case At::kBeforeWait:
        take(state, [&] { thread(i).at = thread(i).posted ? At::kAwake : At::kInWait; });
        return true;
      case At::kInWait:
        return false;
      case At::kAwake:
        take(state, [&] { wait_for_answer(i); });
        return true;
      case At::kInPoll:
        if (state.device == 0 && !state.kicked) return false;
        take(state, [&] {
          polled(i);
          drive(i);
        });
        return true;
      default:
        return false;
    }
  }

  bool step_service(const State& state) {
    running_ = kService;
    if (step_wakes(state, kService)) return true;
    switch (state.threads[kService].at) {
      case At::kTicking:
        // A tick that finds turns run, or a driver, does nothing, and may find nothing to come back for.
        if (state.driver != kNobody) {
          take(state, [&] {
            s_.service_asleep = true;
            thread(kService).posted = false;
            thread(kService).at = At::kAsleep;
          });
        } else {
          take(state, [&] { service_turns(); });
          take(state, [&] { service_drive(); });
        }
        return false;  // only time makes it
      case At::kInPoll:
        // A call that was made meanwhile ends it too.
        if (state.device == 0 && !state.kicked) return false;
        take(state, [&] {
          polled(kService);
          if (s_.driver != kService) return service_leaves();
          service_drive();
        });
        take(state, [&] {
          polled(kService);
          if (s_.driver == kService) turn();
          service_leaves();
        });
        return true;
      default:
        return false;
    }
  }

  // ---- what must hold ----

  std::string look(const State& state, bool moved) {
    if (moved) return "";
    // Nobody can go on but by a frame or a timer.
    bool all_done = true;
    for (int i = 0; i < kThreads; ++i) {
      const Thread& each = state.threads[static_cast<std::size_t>(i)];
      if (each.calls_left > 0) all_done = false;
      if (each.answered) return "a call is answered, and its thread was not woken";
      if (each.enlisted && (state.socket & bit(i)) != 0)
        return "what a call waits for is there, and it was not answered";
    }
    if (state.waiting[0] != kNobody) {
      if (state.driver == kNobody) return "calls wait, and nobody drives";
      if (!state.threads[static_cast<std::size_t>(state.driver)].polling)
        return "the driver does not look at the devices";
      if (state.device != 0) return "a frame waits, and the driver does not take it";
    }
    if (setting_.service && state.driver == kNobody && state.threads[kService].at == At::kAsleep)
      return "nobody drives, and the service thread sleeps for good";
    ended_ = ended_ || all_done;
    return "";
  }

  const Setting setting_;
  const Broken broken_;
  State s_;
  int running_ = 0;
  bool ended_ = false;
  std::set<std::string> seen_;
  std::vector<State> open_;
};

const Setting kThreeWait{.receives = {2, 2, 2}, .sends = {}, .service = false};
const Setting kTwoWaitOneSends{.receives = {3, 2, 0}, .sends = {0, 0, 2}, .service = false};
const Setting kThreeWaitOneSends{.receives = {2, 1, 1}, .sends = {0, 0, 1}, .service = false};
const Setting kTwoWaitAndTheService{.receives = {2, 2, 0}, .sends = {}, .service = true};
const Setting kThreeWaitAndTheService{.receives = {2, 1, 1}, .sends = {}, .service = true};
const Setting kOneWaitsOneSendsAndTheService{.receives = {3, 0, 0}, .sends = {0, 2, 0}, .service = true};

TEST(DriverModel, ThreeThreadsThatWait) {
  Model model(kThreeWait, Broken::kNothing);
  EXPECT_EQ(model.explore(), "");
  EXPECT_GT(model.states(), 1000u);
  RecordProperty("states", static_cast<int>(model.states()));
}

TEST(DriverModel, TwoThatWaitAndOneThatSendsToThem) {
  for (const Setting& setting : {kTwoWaitOneSends, kThreeWaitOneSends}) {
    Model model(setting, Broken::kNothing);
    EXPECT_EQ(model.explore(), "");
    EXPECT_GT(model.states(), 200u);
  }
}

TEST(DriverModel, WithTheServiceThread) {
  for (const Setting& setting :
       {kTwoWaitAndTheService, kThreeWaitAndTheService, kOneWaitsOneSendsAndTheService}) {
    Model model(setting, Broken::kNothing);
    EXPECT_EQ(model.explore(), "");
    EXPECT_GT(model.states(), 100u);
  }
}

// A search that finds nothing in a protocol with a step left out would find nothing in ours.
TEST(DriverModel, FindsWhatIsLeftOut) {
  EXPECT_NE(Model(kThreeWait, Broken::kNoHandOver).explore(), "");
  EXPECT_NE(Model(kThreeWaitOneSends, Broken::kOnlyTheDriverHandsOver).explore(), "");
  EXPECT_NE(Model(kThreeWait, Broken::kNoWakeOnAnswer).explore(), "");
  EXPECT_NE(Model(kThreeWait, Broken::kArmsWithoutLock).explore(), "");
  EXPECT_NE(Model(kTwoWaitOneSends, Broken::kNoKick).explore(), "");
  EXPECT_NE(Model(kTwoWaitAndTheService, Broken::kServiceNotWoken).explore(), "");
  EXPECT_NE(Model(kThreeWaitAndTheService, Broken::kServiceJustLeaves).explore(), "");
}

}  // namespace
}  // namespace tapir::runtime
