// SPDX-License-Identifier: Apache-2.0
#include "tcp/congestion.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "base/assert.h"
#include "tcp/congestion/cubic.h"
#include "tcp/congestion/reno.h"

namespace tapir::tcp {
namespace {

struct Algorithm {
  std::string_view name;
  void (*construct)(void* storage);
};

template <typename T>
void construct(void* storage) {
  static_assert(sizeof(T) <= kCongestionStateMax && alignof(T) <= 8);
  const CongestionControl* const made = ::new (storage) T;
  TAPIR_INVARIANT(static_cast<const void*>(made) == storage, "an algorithm begins with its interface");
}

constexpr Algorithm kAlgorithms[] = {{"cubic", &construct<Cubic>}, {"reno", &construct<Reno>}};
constexpr std::string_view kAvailable = "cubic reno";  // the names above

const Algorithm* find_algorithm(std::string_view name) {
  const auto* found = std::ranges::find(kAlgorithms, name, &Algorithm::name);
  return found == std::end(kAlgorithms) ? nullptr : found;
}

}  // namespace

CongestionSlot::CongestionSlot() { construct<Cubic>(storage_.data()); }

CongestionSlot::~CongestionSlot() { control()->~CongestionControl(); }

bool CongestionSlot::select(std::string_view name) {
  const Algorithm* algorithm = find_algorithm(name);
  if (algorithm == nullptr) return false;
  if (control()->name() == name) return true;
  control()->~CongestionControl();
  algorithm->construct(storage_.data());
  return true;
}

bool CongestionSlot::known(std::string_view name) { return find_algorithm(name) != nullptr; }

std::string_view CongestionSlot::available() { return kAvailable; }

std::uint32_t slow_start(Window& window, std::uint32_t acked) {
  const std::uint32_t room = window.ssthresh > window.cwnd ? window.ssthresh - window.cwnd : 0;
  const std::uint32_t grown = std::min(acked, room);
  window.cwnd = std::min(window.cwnd + grown, window.cwnd_clamp);
  return acked - grown;
}

void congestion_avoidance_ai(Window& window, std::uint32_t w, std::uint32_t acked) {
  // Credits gathered under a larger w are worth one segment at once.
  if (window.cwnd_cnt >= w) {
    window.cwnd_cnt = 0;
    ++window.cwnd;
  }
  window.cwnd_cnt += acked;
  if (window.cwnd_cnt >= w) {
    window.cwnd += window.cwnd_cnt / w;
    window.cwnd_cnt %= w;
  }
  window.cwnd = std::min(window.cwnd, window.cwnd_clamp);
}

}  // namespace tapir::tcp
