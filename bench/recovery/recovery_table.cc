// SPDX-License-Identifier: Apache-2.0
// What a sender gets through a bad network: goodput by loss, round trip and congestion control, on virtual
// time. The bottleneck is 100 Mbit/s of 1,514-byte frames with a queue of one bandwidth-delay product;
// goodput counts what the receiving program read from the second second to the sixth; each figure is the
// median of ten seeds, and the same on every machine.
//
//   recovery_table                 prints the whole table (docs/recovery.md)
//   recovery_table --check FILE [WORD...]   measures the rows whose first column contains one of the words
//   (all rows without) and
//                                  compares them with FILE's; exit status 1: a figure differs or a promise is
//                                  broken
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "../../tests/sim/programs.h"
#include "sim/network.h"

namespace tapir::sim {
namespace {

constexpr std::uint64_t kRate = 100'000'000;  // bit/s
constexpr std::uint64_t kFrame = 1514;        // bytes
// Payload of such a frame without and with timestamps, of 1,538 bytes on a wire: 95.6 % is what TCP with
// neither header could have.
constexpr double kLineShare = 0.956;
constexpr int kSeeds = 10;
constexpr IpAddress kSender = IpAddress::v4(10, 0, 0, 1);
constexpr IpAddress kReceiver = IpAddress::v4(10, 0, 0, 2);

// Writes as long as it may.
class Source : public Program {
 public:
  Source(std::uint16_t port, std::string control) : port_(port), control_(std::move(control)) {}
  void run(Host& host, Instant now) override {
    socket::Sockets& sockets = host.sockets();
    if (fd_ < 0) {
      fd_ = *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
      (void)sockets.setsockopt(fd_, IPPROTO_TCP, 13 /* TCP_CONGESTION */, control_.data(),
                               static_cast<socklen_t>(control_.size()), now);
      const sockaddr_in peer = address_of(kReceiver, port_);
      (void)sockets.connect(fd_, reinterpret_cast<const sockaddr*>(&peer), sizeof peer, now);
    }
    while (sockets.send(fd_, block_.data(), block_.size(), MSG_NOSIGNAL, now)) {
    }
  }
  bool done() const override { return false; }

 private:
  std::uint16_t port_;
  std::string control_;
  socket::Descriptor fd_ = -1;
  std::array<std::uint8_t, 16384> block_{};
};

// Reads all there is, and counts.
class Sink : public Program {
 public:
  explicit Sink(std::uint16_t port) : port_(port) {}
  void run(Host& host, Instant now) override {
    socket::Sockets& sockets = host.sockets();
    if (listener_ < 0) {
      listener_ = *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
      const sockaddr_in any = address_of(IpAddress::any_v4(), port_);
      (void)sockets.bind(listener_, reinterpret_cast<const sockaddr*>(&any), sizeof any, now);
      (void)sockets.listen(listener_, 8, now);
    }
    if (fd_ < 0) {
      const auto accepted = sockets.accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK, now);
      if (!accepted) return;
      fd_ = *accepted;
    }
    for (;;) {
      const auto got = sockets.recv(fd_, block_.data(), block_.size(), 0, now);
      if (!got || *got == 0) return;
      received_ += *got;
    }
  }
  bool done() const override { return false; }
  std::uint64_t received() const { return received_; }

 private:
  std::uint16_t port_;
  socket::Descriptor listener_ = -1;
  socket::Descriptor fd_ = -1;
  std::uint64_t received_ = 0;
  std::array<std::uint8_t, 65536> block_{};
};

struct Condition {
  const char* name;
  const char* data;  // what is done to data besides rate and delay, as parse_impair() reads it
  const char* acks;  // and to ACKs
  bool reorders = false;
  const char* knob = "";  // set on both ends: what tells which rule of TCP's a figure owes to
  const char* value = "";
};
constexpr Condition kConditions[] = {
    {"no loss", "", ""},
    {"0.1 % loss", "loss 0.1%", ""},
    {"1 % loss", "loss 1%", ""},
    {"2 % loss", "loss 2%", ""},
    {"5 % loss", "loss 5%", ""},
    {"10 % loss", "loss 10%", ""},
    {"30 % loss", "loss 30%", ""},
    {"bursts", "burst 0.1% 8", ""},
    {"5 % reordered", "", "", true},
    {"1 % of ACKs lost", "", "loss 1%"},
    {"no loss, small windows gather as in Linux", "", "", false, "net.ipv4.tcp_tso_defer_cwnd", "0"},
    {"5 % reordered, PAWS as in Linux", "", "", true, "net.ipv4.tcp_paws_window", "1"},
};
constexpr int kRoundTrips[] = {1, 20, 100};  // ms
constexpr const char* kControls[] = {"reno", "cubic"};

link::ImpairConfig impairment(const char* text) {
  if (*text == 0) return {};
  return *link::parse_impair(text);
}

CableConfig cable_of(const Condition& condition, int rtt_ms) {
  const Duration half = std::chrono::microseconds(rtt_ms * 500);
  const std::uint64_t product = kRate / 8 * static_cast<std::uint64_t>(rtt_ms) / 1000 / kFrame + 1;  // frames
  const std::uint64_t travelling = product / 2 + 1;
  CableConfig cable;
  cable.impaired = cable.impaired_far = true;
  cable.impair = impairment(condition.data);
  cable.impair.in = false;
  cable.impair.delay = half;
  cable.impair.rate_bps = kRate;
  cable.impair.limit = static_cast<std::size_t>(
      product + 1 + travelling);  // the queue, the frame on the line, and those behind it
  if (condition.reorders) {
    cable.impair.reorder_ppm = 50'000;
    cable.impair.reorder_by = half;
    cable.impair.limit += static_cast<std::size_t>(
        product / 80 + 1);  // those held back: 5 % for a quarter of a round trip, in the mean
  }
  cable.impair_far = impairment(condition.acks);
  cable.impair_far.in = false;
  cable.impair_far.delay = half;
  cable.impair_far.limit = 10'000;
  return cable;
}

struct Run {
  Network network;
  Host& sender;
  Host& receiver;
  Run(std::uint64_t seed, const Condition& condition, int rtt_ms)
      : network(seed), sender(network.add_host("sender")), receiver(network.add_host("receiver")) {
    network.connect(sender, {kSender, 24}, receiver, {kReceiver, 24}, cable_of(condition, rtt_ms));
    if (*condition.knob == 0) return;
    for (Host* const host : {&sender, &receiver})
      (void)host->stack().sysctl_set(condition.knob, condition.value, network.now());
  }
};

double goodput(const Condition& condition, int rtt_ms, const char* control, std::uint64_t seed) {
  Run run(seed, condition, rtt_ms);
  Sink& sink = run.network.start<Sink>(run.receiver, std::uint16_t{5001});
  run.network.start<Source>(run.sender, std::uint16_t{5001}, std::string(control));
  (void)run.network.step();  // the programs begin
  run.network.run_for(1s);
  const std::uint64_t before = sink.received();
  run.network.run_for(5s);
  return static_cast<double>(sink.received() - before) * 8 / 5 / 1e6;
}

double median(const Condition& condition, int rtt_ms, const char* control) {
  std::array<double, kSeeds> all{};
  for (int i = 0; i < kSeeds; ++i)
    all[static_cast<std::size_t>(i)] = goodput(condition, rtt_ms, control, static_cast<std::uint64_t>(i) + 1);
  std::sort(all.begin(), all.end());
  return (all[kSeeds / 2 - 1] + all[kSeeds / 2]) / 2;
}

// Jain's index of two flows over 20 s, from the tenth second on; the second begins about a second after the
// first, by `offset` later.
double fairness(const char* control, Duration offset) {
  Run run(1, kConditions[0], 20);
  Sink& first = run.network.start<Sink>(run.receiver, std::uint16_t{5001});
  Sink& second = run.network.start<Sink>(run.receiver, std::uint16_t{5002});
  run.network.start<Source>(run.sender, std::uint16_t{5001}, std::string(control));
  (void)run.network.step();
  run.network.run_for(1s + offset);
  run.network.start<Source>(run.sender, std::uint16_t{5002}, std::string(control));
  run.network.run_for(9s);
  const auto a0 = static_cast<double>(first.received()), b0 = static_cast<double>(second.received());
  run.network.run_for(20s);
  const double a = static_cast<double>(first.received()) - a0,
               b = static_cast<double>(second.received()) - b0;
  return (a + b) * (a + b) / (2 * (a * a + b * b));
}

// Without loss a seed changes nothing: what varies is when the second flow begins.
double median_fairness(const char* control) {
  std::array<double, kSeeds> all{};
  for (int i = 0; i < kSeeds; ++i)
    all[static_cast<std::size_t>(i)] = fairness(control, std::chrono::milliseconds(37 * i));
  std::sort(all.begin(), all.end());
  return (all[kSeeds / 2 - 1] + all[kSeeds / 2]) / 2;
}

std::string row_text(const Condition& condition, int rtt_ms, const std::array<double, 2>& figures) {
  char text[96];
  std::snprintf(text, sizeof text, "| %s, %d ms | %.1f | %.1f |", condition.name, rtt_ms, figures[0],
                figures[1]);
  return text;
}

class Table {
 public:
  Table(std::string file, std::vector<std::string> words) : words_(std::move(words)) {
    if (file.empty()) return;
    checking_ = true;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) expected_.push_back(line);
  }
  bool wanted(std::string_view name) const {
    return words_.empty() || std::any_of(words_.begin(), words_.end(), [&](const std::string& word) {
             return name.find(word) != std::string_view::npos;
           });
  }
  void row(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
    if (!checking_ || std::find(expected_.begin(), expected_.end(), text) != expected_.end()) return;
    std::printf("  ^ is not in the committed table\n");
    ok_ = false;
  }
  void promise(bool kept, const char* what) {
    if (kept) return;
    std::printf("  ^ broken: %s\n", what);
    ok_ = false;
  }
  bool ok() const { return ok_; }

 private:
  std::vector<std::string> words_;
  std::vector<std::string> expected_;
  bool checking_ = false;
  bool ok_ = true;
};

int measure(Table& table) {
  std::printf("| Mbit/s | reno | cubic |\n|---|---|---|\n");
  for (const int rtt : kRoundTrips) {
    std::array<double, 2> clean{};
    for (const Condition& condition : kConditions) {
      if (!table.wanted(std::string(condition.name) + ", " + std::to_string(rtt) + " ms")) continue;
      std::array<double, 2> figures{};
      for (std::size_t i = 0; i < 2; ++i) figures[i] = median(condition, rtt, kControls[i]);
      table.row(row_text(condition, rtt, figures));
      if (condition.name == kConditions[0].name) {
        clean = figures;
        for (const double figure : figures)
          table.promise(figure >= 0.98 * kLineShare * 100, "without loss, 98 % of what the line carries");
      }
      if (!condition.reorders || *condition.knob != 0 || clean[0] == 0) continue;
      for (std::size_t i = 0; i < 2; ++i)
        table.promise(figures[i] >= 0.9 * clean[i], "reordered, 90 % of what it is in order");
    }
  }
  for (const char* control : kControls) {
    const std::string name = std::string("fairness of two flows, ") + control;
    if (!table.wanted(name)) continue;
    const double index = median_fairness(control);
    char text[96];
    std::snprintf(text, sizeof text, "| %s | %.3f | |", name.c_str(), index);
    table.row(text);
    table.promise(index >= 0.95, "Jain's index of two flows is at least 0.95");
  }
  return table.ok() ? 0 : 1;
}

}  // namespace
}  // namespace tapir::sim

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::string file;
  if (words.size() >= 2 && words[0] == "--check") {
    file = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  tapir::sim::Table table(file, words);
  return tapir::sim::measure(table);
}
