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

constexpr unsigned kEventsMax = 60;

class Receiving {
 public:
  Receiving(std::uint64_t seed, bool closely)
      : closely_(closely), rng_(seed), opening_(Opening::any(rng_)), recorder_(opening_.commands) {}

  std::string script() {
    recorder_.on_sent([this](const SeenSegment& seen) {
      if ((seen.flags & wire::kAck) != 0) acknowledged_ = std::max(acknowledged_, seen.ack);
      sent_ = std::max(sent_, seen.seq + seen.length);
    });
    recorder_.without_windows();
    recorder_.accept_connection(opening_.syn(), opening_.rtt, opening_.timestamps);
    if (closely_) recorder_.look_closely();
    for (unsigned i = 0; i < kEventsMax && !recorder_.broken(); ++i) {
      if (rng_.below(3) == 0) {
        const auto wait = std::chrono::milliseconds(
            kStepMs * static_cast<std::int64_t>(rng_.between(1, rng_.below(4) == 0 ? 60 : 6)));
        advance_calmly(recorder_, recorder_.now() + wait);
        if (rng_.below(6) == 0 && recorder_.now() + 60ms < recorder_.next_timeout()) recorder_.assert_info();
      }
      event();
    }
    advance_calmly(recorder_, recorder_.now() + 300ms);
    recorder_.assert_info();
    return recorder_.text();
  }

 private:
  void event() {
    switch (rng_.below(12)) {
      case 0:
        return recorder_.read(static_cast<std::uint32_t>(rng_.between(1, 40'000)));
      case 1:
        return recorder_.write(static_cast<std::uint32_t>(rng_.between(1, 3 * std::uint64_t{opening_.mss})));
      case 2:
        if (rng_.below(4) == 0)
          return recorder_.set_option("SOL_TCP", IPPROTO_TCP, "TCP_QUICKACK", TCP_QUICKACK,
                                      static_cast<int>(rng_.below(2)));
        [[fallthrough]];
      default:
        data();
    }
  }

  void data() {
    TcpSpec spec;
    spec.flags = wire::kAck;
    if (rng_.below(3) == 0) spec.flags |= wire::kPsh;
    spec.length =
        rng_.below(4) == 0 ? static_cast<std::uint32_t>(rng_.between(1, opening_.mss)) : opening_.mss;
    if (opening_.timestamps) spec.length = std::min<std::uint32_t>(spec.length, opening_.mss - 12U);
    const std::uint64_t kind = rng_.below(10);
    if (kind < 5)
      spec.seq = next_;  // in order
    else if (kind < 8)
      spec.seq = next_ + static_cast<std::uint32_t>(rng_.between(1, 6)) * opening_.mss;  // leaves a hole
    else
      spec.seq =
          static_cast<std::uint32_t>(rng_.between(acknowledged_ > 3000 ? acknowledged_ - 3000 : 1, next_));
    if (kind < 5 || rng_.below(3) == 0) next_ = std::max(next_, spec.seq + spec.length);
    if (rng_.below(4) == 0 && acknowledged_ < next_) {
      spec.seq = acknowledged_;  // fills the first
      next_ = std::max(next_, spec.seq + spec.length);
    }
    spec.ack = sent_;
    spec.window = 65535;
    if (opening_.timestamps) {
      spec.options.nop();
      spec.options.nop();
      spec.options.timestamps(
          {static_cast<std::uint32_t>(700 + recorder_.now() / 1ms), recorder_.last_timestamp()});
    }
    recorder_.inject(spec);
  }

  bool closely_;
  Rng rng_;
  Opening opening_;
  Recorder recorder_;
  std::uint32_t next_ = 1;  // where the peer goes on
  std::uint32_t acknowledged_ = 1;
  std::uint32_t sent_ = 1;
};

}  // namespace

std::string receiving(std::uint64_t seed, bool closely) { return Receiving(seed, closely).script(); }

}  // namespace tapir::scenarios
