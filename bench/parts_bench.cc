// SPDX-License-Identifier: Apache-2.0
// Parts of the path of a packet, one at a time: what each costs when its data is in the cache.
#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/siphash.h"
#include "base/timer_wheel.h"
#include "inet/endpoint.h"
#include "tcp/demux.h"
#include "wire/checksum.h"
#include "wire/tcp_segment.h"

namespace tapir::bench {
namespace {

constexpr SipKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

std::vector<std::uint8_t> bytes_of(std::int64_t size) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

FourTuple tuple_of(std::uint32_t n) {
  return {{IpAddress::v4(10, 0, 0, 1), 80},
          {IpAddress::v4(0x0a010000 + n / 50000), static_cast<std::uint16_t>(10000 + n % 50000)}};
}

void checksum(benchmark::State& state) {
  const auto bytes = bytes_of(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(wire::internet_checksum(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(40)->Arg(1460)->Arg(65160);

void copy_with_checksum(benchmark::State& state) {
  const auto bytes = bytes_of(state.range(0));
  std::vector<std::uint8_t> to(bytes.size());
  for (auto _ : state) benchmark::DoNotOptimize(wire::copy_and_checksum(to, bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(copy_with_checksum)->Arg(1460)->Arg(65160);

void hash_of_a_tuple(benchmark::State& state) {
  FourTuple tuple = tuple_of(0);
  for (auto _ : state) {
    ++tuple.remote.port;
    benchmark::DoNotOptimize(four_tuple_hash(kKey, tuple));
  }
}
BENCHMARK(hash_of_a_tuple);

// A deadline that moves on, as with every ACK.
void arm_again(benchmark::State& state) {
  std::vector<TimerEntry> timers(static_cast<std::size_t>(state.range(0)));
  TimerWheel wheel;
  Instant now{};
  for (TimerEntry& timer : timers) wheel.arm(timer, now + std::chrono::milliseconds(200));
  std::size_t next = 0;
  for (auto _ : state) {
    now += std::chrono::microseconds(1);
    wheel.arm(timers[next], now + std::chrono::milliseconds(200));
    if (++next == timers.size()) next = 0;
    benchmark::DoNotOptimize(wheel.next_deadline());
  }
}
BENCHMARK(arm_again)->Arg(1)->Arg(64)->Arg(10000);

void parse_segment(benchmark::State& state) {
  wire::TcpSegment segment;
  segment.src_port = 40000;
  segment.dst_port = 80;
  segment.flags = wire::kAck | wire::kPsh;
  segment.options.timestamps = wire::TcpTimestamps{1, 2};
  std::array<std::uint8_t, wire::kTcpHeaderMax + 1> bytes{};
  const std::size_t size = wire::emit_tcp(segment, bytes) + 1;
  for (auto _ : state) benchmark::DoNotOptimize(wire::parse_tcp(Bytes(bytes).first(size)));
}
BENCHMARK(parse_segment);

void find_connection(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  tcp::EstablishedTable table(kKey, count, {});
  std::vector<FourTuple> tuples;
  for (std::uint32_t i = 0; i < count; ++i) {
    tuples.push_back(tuple_of(i));
    table.insert(tuples.back(), {tcp::RecordRef::Kind::kConnection, i});
  }
  std::uint32_t next = 0;
  for (auto _ : state) {
    const FourTuple& wanted = tuples[next];
    benchmark::DoNotOptimize(
        table.find(wanted, [&](tcp::RecordRef ref) { return tuples[ref.index] == wanted; }));
    next = (next + 7919) % count;
  }
}
BENCHMARK(find_connection)->Arg(64)->Arg(10000)->Arg(100000);

}  // namespace
}  // namespace tapir::bench
