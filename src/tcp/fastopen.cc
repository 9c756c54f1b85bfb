// SPDX-License-Identifier: Apache-2.0
#include "tcp/fastopen.h"

#include <algorithm>
#include <array>

namespace tapir::tcp {

using trace::Counter;

// ---- cookies ----

wire::FastOpenOption fast_open_cookie(SipKey key, const IpAddress& client, const IpAddress& server,
                                      bool experimental) {
  // Both addresses as they stand in the IP header of the SYN.
  std::array<std::uint8_t, 32> addresses{};
  const std::size_t size = client.is_v4() ? 4 : 16;
  std::copy_n(client.bytes().end() - static_cast<std::ptrdiff_t>(size), size, addresses.begin());
  std::copy_n(server.bytes().end() - static_cast<std::ptrdiff_t>(size), size,
              addresses.begin() + static_cast<std::ptrdiff_t>(size));
  const std::uint64_t hash = siphash_2_4(key, Bytes(addresses.data(), 2 * size));
  wire::FastOpenOption option;
  option.experimental = experimental;
  option.length = sizeof(hash);
  for (std::size_t i = 0; i < sizeof(hash); ++i)
    option.cookie[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  return option;
}

int fast_open_cookie_matches(const FastOpenKeys& keys, const wire::FastOpenOption& shown,
                             const IpAddress& client, const IpAddress& server) {
  const auto made_with = [&](const SipKey& key) {
    return std::ranges::equal(fast_open_cookie(key, client, server, false).bytes(), shown.bytes());
  };
  if (made_with(keys.primary)) return 1;
  return keys.backup && made_with(*keys.backup) ? 2 : 0;
}

// ---- the client's memory ----

std::uint64_t FastOpenCache::hash(const IpAddress& local, const IpAddress& remote) const {
  std::array<std::uint8_t, 32> both{};
  std::ranges::copy(local.bytes(), both.begin());
  std::ranges::copy(remote.bytes(), both.begin() + 16);
  return siphash_1_3(key_, Bytes(both));
}

const FastOpenMetric* FastOpenCache::find(const IpAddress& local, const IpAddress& remote) const {
  const auto index = table_.find(hash(local, remote), [&](std::uint32_t i) {
    const FastOpenMetric& metric = *metrics_.at(i);
    return metric.local == local && metric.remote == remote;
  });
  return index ? metrics_.at(*index) : nullptr;
}

void FastOpenCache::unlink(FastOpenMetric& metric) {
  (metric.older == 0 ? oldest_ : metrics_.at(metric.older - 1)->newer) = metric.newer;
  (metric.newer == 0 ? newest_ : metrics_.at(metric.newer - 1)->older) = metric.older;
}

void FastOpenCache::link_newest(FastOpenMetric& metric) {
  const std::uint32_t me = metrics_.handle_of(metric).index + 1;
  metric.older = newest_;
  metric.newer = 0;
  (newest_ == 0 ? oldest_ : metrics_.at(newest_ - 1)->newer) = me;
  newest_ = me;
}

void FastOpenCache::drop_oldest() {
  FastOpenMetric& metric = *metrics_.at(oldest_ - 1);
  table_.erase(hash(metric.local, metric.remote), oldest_ - 1);
  unlink(metric);
  metrics_.erase(metric);
}

FastOpenMetric* FastOpenCache::make(const IpAddress& local, const IpAddress& remote) {
  if (metrics_.size() == kFastOpenCacheMax) drop_oldest();
  const Handle<FastOpenMetric> handle = metrics_.emplace();
  FastOpenMetric* metric = metrics_.get(handle);
  if (metric == nullptr) return nullptr;
  metric->local = local;
  metric->remote = remote;
  if (!table_.insert(hash(local, remote), handle.index)) {
    metrics_.erase(*metric);
    return nullptr;
  }
  link_newest(*metric);
  return metric;
}

void FastOpenCache::learn(const IpAddress& local, const IpAddress& remote, std::uint16_t mss,
                          const wire::FastOpenOption* cookie, bool syn_lost, std::uint8_t try_experimental,
                          Instant now) {
  auto* metric = const_cast<FastOpenMetric*>(find(local, remote));
  if (metric == nullptr) metric = make(local, remote);
  if (metric == nullptr) return;  // no memory: the next connection asks again
  unlink(*metric);
  link_newest(*metric);
  metric->changed_at = now;
  if (mss != 0) metric->mss = mss;
  if (cookie != nullptr && cookie->length > 0)
    metric->cookie = *cookie;
  else if (try_experimental > metric->try_experimental && metric->cookie.length == 0 &&
           !metric->cookie.experimental)
    metric->try_experimental = try_experimental;
  if (!syn_lost) {
    metric->syn_losses = 0;
    return;
  }
  if (metric->syn_losses != 0xffff) ++metric->syn_losses;
  metric->last_syn_loss_at = now;
}

void FastOpenCache::clear() {
  table_.clear();
  metrics_.clear();
  oldest_ = newest_ = 0;
}

// ---- black holes ----

void FastOpenPause::begin(const Knobs& knobs, trace::Counters& counters, Instant now) {
  if (knobs.tcp_fastopen_blackhole_timeout_sec == 0) return;
  since_ = now;
  ++times_;
  counters.add(Counter::kTcpExtTCPFastOpenBlackhole);
}

FastOpenPause::Answer FastOpenPause::ask(const Knobs& knobs, Instant now) const {
  if (knobs.tcp_fastopen_blackhole_timeout_sec == 0 || times_ == 0) return {};
  constexpr std::uint32_t kDoublingsMax = 6;  // Linux's: 64 times the knob at most
  const Duration rest = std::chrono::seconds(knobs.tcp_fastopen_blackhole_timeout_sec) *
                        (std::int64_t{1} << std::min(times_ - 1, kDoublingsMax));
  if (now - since_ < rest) return {.allowed = false, .on_trial = false};
  return {.allowed = true, .on_trial = true};
}

}  // namespace tapir::tcp
