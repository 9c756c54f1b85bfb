// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/rng.h"
#include "scenarios/calm.h"
#include "scenarios/kinds.h"
#include "scenarios/opening.h"
#include "scenarios/recorder.h"
#include "wire/tcp_segment.h"

namespace tapir::scenarios {

namespace {

constexpr unsigned kEventsMax = 40;
// Linux answers what it does not accept with one ACK per half second (tcp_invalid_ratelimit): events lie further
// apart, or close together.
constexpr Duration kRateLimit = 600ms;

class Hostile {
 public:
  Hostile(std::uint64_t seed, bool closely) : closely_(closely), rng_(seed), opening_(Opening::any(rng_)), recorder_(opening_.commands) {}

  std::string script() {
    recorder_.on_sent([this](const SeenSegment& seen) {
      if ((seen.flags & wire::kAck) != 0) next_ = seen.ack;
      sent_ = std::max(sent_, seen.seq + seen.length + ((seen.flags & wire::kFin) != 0 ? 1U : 0U));
    });
    recorder_.accept_connection(opening_.syn(), opening_.rtt, opening_.timestamps);
    if (closely_) recorder_.look_closely();
    sent_ = std::max(sent_, 1U);
    for (unsigned i = 0; i < kEventsMax && !recorder_.broken(); ++i) {
      const std::uint64_t pause = rng_.below(4);
      if (pause == 0) advance_calmly(recorder_, recorder_.now() + kRateLimit);
      if (pause == 1) advance_calmly(recorder_, recorder_.now() + std::chrono::milliseconds(kStepMs * static_cast<std::int64_t>(rng_.between(1, 20))));
      if (rng_.below(8) == 0 && recorder_.now() + 60ms < recorder_.next_timeout()) recorder_.assert_info();
      event();
    }
    advance_calmly(recorder_, recorder_.now() + 300ms);
    recorder_.assert_info();
    return recorder_.text();
  }

 private:
  void event() {
    switch (rng_.below(24)) {
      case 0: return recorder_.read(static_cast<std::uint32_t>(rng_.between(1, 20'000)));
      case 1: case 2: case 3: return recorder_.write(static_cast<std::uint32_t>(rng_.between(1, 6 * std::uint64_t{opening_.mss})));
      case 4: return rng_.below(3) == 0 ? recorder_.shutdown(static_cast<int>(rng_.below(3))) : void();
      case 5: return rng_.below(4) == 0 ? recorder_.close() : void();
      default: return segment();
    }
  }

  std::uint32_t near(std::uint32_t number) {
    switch (rng_.below(6)) {
      case 0: return number - static_cast<std::uint32_t>(rng_.between(1, 3000));
      case 1: return number + static_cast<std::uint32_t>(rng_.between(1, 3000));
      case 2: return number + (rng_.below(2) == 0 ? 1U : UINT32_MAX);
      case 3: return rng_.below(8) == 0 ? rng_.next_u32() : number;
      default: return number;
    }
  }

  void segment() {
    TcpSpec spec;
    spec.flags = wire::kAck;
    switch (rng_.below(16)) {
      case 0: spec.flags |= wire::kFin; break;
      case 1: spec.flags |= rng_.below(3) == 0 ? wire::kRst : wire::kPsh; break;
      case 2: spec.flags |= wire::kSyn; break;
      case 3: spec.flags = rng_.below(2) == 0 ? wire::kSyn : wire::kRst; break;
      case 4: spec.flags = 0; break;
      case 5: case 6: case 7: spec.flags |= wire::kPsh; break;
      default: break;
    }
    if ((spec.flags & wire::kSyn) == 0 && rng_.below(2) == 0) spec.length = static_cast<std::uint32_t>(rng_.between(1, opening_.mss));
    spec.seq = near(next_);
    // SYNs are written as on the wire: the peer's first number is 0.
    if ((spec.flags & wire::kAck) != 0) spec.ack = near(rng_.below(2) == 0 ? sent_ : static_cast<std::uint32_t>(rng_.between(1, sent_)));
    spec.window = static_cast<std::uint16_t>(rng_.below(6) == 0 ? rng_.below(20) : rng_.below(6) == 0 ? 0 : 60000);
    if (opening_.timestamps && rng_.below(12) != 0) {
      spec.options.nop();
      spec.options.nop();
      auto value = static_cast<std::uint32_t>(700 + recorder_.now() / 1ms);
      if (rng_.below(8) == 0) value -= static_cast<std::uint32_t>(rng_.between(1, 2000));
      spec.options.timestamps({value, recorder_.last_timestamp()});
    }
    recorder_.inject(spec);
  }

  bool closely_;
  Rng rng_;
  Opening opening_;
  Recorder recorder_;
  std::uint32_t next_ = 1;   // what the stack waits for
  std::uint32_t sent_ = 1;
};

}  // namespace

std::string hostile(std::uint64_t seed, bool closely) { return Hostile(seed, closely).script(); }

}  // namespace tapir::scenarios
