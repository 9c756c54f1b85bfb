// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/base64.h"
#include "cli/commands.h"
#include "cli/packet_text.h"
#include "runtime/file_sink.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Bytes of frames in one answer, before base64.
constexpr std::size_t kBytesPerAnswer = 256 * 1024;
// Enough for every header that is told as text.
constexpr std::size_t kTextSnap = 256;

// "12:34:56.123456", of this machine's time zone.
std::string time_text(std::uint64_t unix_nsec) {
  const auto seconds = static_cast<std::time_t>(unix_nsec / 1'000'000'000);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return fmt::format("{:02}:{:02}:{:02}.{:06}", parts.tm_hour, parts.tm_min, parts.tm_sec,
                     unix_nsec / 1000 % 1'000'000);
}

// In the hub while it lives.
class Attached {
 public:
  Attached(Running& running, CaptureFilter filter) : running_(running), feed_(std::move(filter)) {
    running_.host.with([this](stack::Stack&, socket::Sockets&, Instant) { running_.captures.add(feed_); });
  }
  ~Attached() {
    running_.host.with([this](stack::Stack&, socket::Sockets&, Instant) { running_.captures.remove(feed_); });
  }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;
  void take(CaptureFeed::Batch& batch) {
    running_.host.with([&](stack::Stack&, socket::Sockets&, Instant) { feed_.take(batch); });
  }

 private:
  Running& running_;
  CaptureFeed feed_;
};

// What the asking side does with what it gets.
class Output {
 public:
  explicit Output(const CaptureOptions& options) : options_(options) {}

  // "-w": the file is made, and begun with its header, before the first packet. Error: one sentence.
  std::expected<void, std::string> open() {
    if (!options_.file) return {};
    auto sink = runtime::open_file_sink(*options_.file);
    if (!sink) return std::unexpected(sink.error());
    sink_ = std::move(*sink);
    writer_.emplace(*sink_);
    return {};
  }

  // False: no more is wanted, or can be written.
  bool take(const json& data) {
    if (const auto interfaces = data.find("interfaces"); interfaces != data.end()) begin(*interfaces);
    if (const auto packets = data.find("packets"); packets != data.end()) {
      for (const json& packet : *packets) {
        if (!take_packet(packet)) return false;
        if (++count_ == options_.count) return false;
      }
      std::fflush(stdout);
    }
    lost_ = data.value("lost", lost_);
    return !failed();
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t lost() const { return lost_; }
  bool failed() const { return writer_ && writer_->failed(); }

 private:
  struct Interface {
    std::string name;
    link::LinkType type = link::LinkType::kEthernet;
  };

  void begin(const json& interfaces) {
    if (writer_) writer_->begin();
    for (const json& interface : interfaces) {
      interfaces_.push_back({interface.value("name", ""), interface.value("link", "") == "ip"
                                                              ? link::LinkType::kRawIp
                                                              : link::LinkType::kEthernet});
      if (writer_) writer_->add_interface(interfaces_.back().type, interfaces_.back().name);
    }
  }

  bool take_packet(const json& packet) {
    const auto at = packet.value("interface", std::size_t{0});
    if (at >= interfaces_.size()) return true;
    const Interface& interface = interfaces_[at];
    const auto unix_nsec = packet.value("time_ns", std::uint64_t{0});
    const bool in = packet.value("direction", "") == "in";
    const auto length = packet.value("length", std::size_t{0});
    std::vector<std::uint8_t> bytes = from_base64(packet.value("bytes", ""));
    if (writer_) {
      const std::array<Bytes, 1> whole = {Bytes(bytes)};
      return writer_->packet(static_cast<std::uint32_t>(at), unix_nsec,
                             in ? link::CaptureDirection::kIn : link::CaptureDirection::kOut, whole,
                             packet.value("comment", ""));
    }
    bytes.resize(std::min<std::size_t>(length, 1 << 20));
    const std::string line = text_.line(bytes, interface.type);
    if (options_.json) {
      fmt::print("{}\n", ordered_json{{"time_ns", unix_nsec},
                                      {"interface", interface.name},
                                      {"direction", in ? "in" : "out"},
                                      {"length", length},
                                      {"text", line},
                                      {"comment", packet.value("comment", "")}}
                             .dump());
    } else {
      fmt::print("{} {} {} {}\n", time_text(unix_nsec), interface.name, in ? "<" : ">", line);
    }
    return true;
  }

  const CaptureOptions& options_;
  std::unique_ptr<runtime::FileSink> sink_;
  std::optional<link::PcapngWriter> writer_;
  std::vector<Interface> interfaces_;
  PacketText text_;
  std::uint64_t count_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace

void answer_capture(Running& running, const json& question, runtime::ControlReply& reply) {
  CaptureFilter filter;
  if (const auto name = question.find("interface"); name != question.end())
    filter.interface = name->get<std::string>();
  if (const auto port = question.find("port"); port != question.end())
    filter.port = port->get<std::uint16_t>();
  filter.snap = question.value("snap", std::size_t{0});
  filter.expression = question.value("expression", "");

  json interfaces = json::array();
  bool known = !filter.interface;
  for (const CaptureHub::Interface& interface : running.captures.interfaces()) {
    interfaces.push_back({{"name", interface.name},
                          {"link", interface.type == link::LinkType::kEthernet ? "ethernet" : "ip"}});
    known = known || interface.name == *filter.interface;
  }
  if (!known)
    return reply.fail("the stack has no interface '" + *filter.interface + "' that can be captured");

  // An expression may make sense on one kind of link only ("ether host …"): it must for those that are
  // captured.
  for (const CaptureHub::Interface& interface : running.captures.interfaces()) {
    if (filter.expression.empty() || (filter.interface && *filter.interface != interface.name)) continue;
    if (const auto compiled = FrameFilter::compile(filter.expression, interface.type); !compiled)
      return reply.fail(
          fmt::format("the filter '{}' is not understood: {}", filter.expression, compiled.error()));
  }
  Attached attached(running, std::move(filter));
  reply.send({{"interfaces", std::move(interfaces)}});
  CaptureFeed::Batch batch;
  std::uint64_t told_lost = 0;
  while (reply.wait(kStreamInterval)) {
    attached.take(batch);
    json packets = json::array();
    std::size_t size = 0;
    const auto flush = [&] {
      reply.send({{"packets", packets}, {"lost", batch.lost}});
      packets = json::array();
      size = 0;
      told_lost = batch.lost;
    };
    for (const CaptureFeed::Packet& packet : batch.packets) {
      packets.push_back({{"time_ns", packet.unix_nsec},
                         {"interface", packet.interface},
                         {"direction", packet.direction == link::CaptureDirection::kIn ? "in" : "out"},
                         {"length", packet.length},
                         {"bytes", to_base64(Bytes(batch.bytes).subspan(packet.offset, packet.kept))},
                         {"comment", packet.comment}});
      size += packet.kept + 100;
      if (size >= kBytesPerAnswer) flush();
    }
    if (!packets.empty() || batch.lost != told_lost) flush();
  }
}

int capture_main(const CaptureOptions& options) {
  if (options.json && options.file)
    return complain("capture", "--json and -w exclude each other: a file is pcapng", 2);
  Output output(options);
  json question = {{"command", "capture"}};
  if (!options.expression.empty())
    question["expression"] = fmt::format("{}", fmt::join(options.expression, " "));
  if (options.interface) question["interface"] = *options.interface;
  if (options.port) question["port"] = *options.port;
  if (!options.file) question["snap"] = kTextSnap;
  if (const auto opened = output.open(); !opened) return complain("capture", opened.error());
  const int status =
      ask_stream("capture", options, question, [&](const json& data) { return output.take(data); });
  if (output.failed())
    return complain("capture", fmt::format("{} cannot be written any more", *options.file));
  if (status != 0) return status;
  std::fflush(stdout);
  if (options.file || output.lost() != 0)
    fmt::print(stderr, "{} packets captured, {} lost\n", output.count(), output.lost());
  return 0;
}

}  // namespace tapir::cli
