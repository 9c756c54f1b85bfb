// SPDX-License-Identifier: Apache-2.0
// Live captures of a running stack: every device is wrapped in a CapturePoint, which copies what passes to
// the captures under way. While there is none it costs one look at an empty list per batch. All of it under
// the stack's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "inet/endpoint.h"
#include "link/capture.h"
#include "link/device.h"

namespace tapir::cli {

// Bytes that one capture keeps between two looks; beyond them frames are not captured, and counted as lost.
// At 1 GB/s it is the traffic of 16 ms.
inline constexpr std::size_t kCaptureFeedBytes = 16 << 20;

// What one capture wants.
struct CaptureFilter {
  std::optional<std::string> interface;  // none: all
  std::optional<std::uint16_t> port;     // only TCP and UDP from or to it
  std::size_t snap = 0;                  // bytes kept of each frame; 0 = all
  std::string expression;                // pcap-filter(7)'s; empty: every frame
};

// An expression of pcap-filter(7), compiled for frames of one kind of link.
class FrameFilter {
 public:
  // Error: what the compiler says.
  static std::expected<std::unique_ptr<FrameFilter>, std::string> compile(const std::string& expression,
                                                                          link::LinkType type);
  ~FrameFilter();
  FrameFilter(const FrameFilter&) = delete;
  FrameFilter& operator=(const FrameFilter&) = delete;
  bool wants(Bytes frame) const;

 private:
  struct Program;
  explicit FrameFilter(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

// What a frame of a connection finds there, for its comment; called under the stack's lock. Empty: nothing.
using Describe = std::function<std::string(const FourTuple& tuple)>;

// One capture: frames wait here until they are taken.
class CaptureFeed {
 public:
  struct Packet {
    std::uint64_t unix_nsec = 0;
    std::uint32_t interface = 0;  // index into CaptureHub::interfaces()
    link::CaptureDirection direction = link::CaptureDirection::kUnknown;
    std::uint32_t length = 0;  // of the frame
    std::uint32_t kept = 0;    // bytes of it, in `bytes`, from
    std::size_t offset = 0;
    std::string comment;  // the state of its connection, after it was sent or before it is looked at
  };
  struct Batch {
    std::vector<Packet> packets;
    std::vector<std::uint8_t> bytes;
    std::uint64_t lost = 0;  // frames, since the capture began
  };

  explicit CaptureFeed(CaptureFilter filter);
  // `describe` may be empty.
  void add(std::uint32_t interface, const std::string& name, link::LinkType type,
           link::CaptureDirection direction, std::uint64_t unix_nsec, std::span<const Bytes> pieces,
           const Describe& describe);
  bool waits() const { return !waiting_.packets.empty(); }
  // Moves what waits into `batch`, whose memory is used for the next.
  void take(Batch& batch);

 private:
  bool wants(const std::string& name, link::LinkType type, Bytes front) const;

  CaptureFilter filter_;
  std::unique_ptr<FrameFilter> ethernet_;  // of the expression; null: none
  std::unique_ptr<FrameFilter> raw_ip_;
  Batch waiting_;
};

class CaptureHub {
 public:
  struct Interface {
    std::string name;
    link::LinkType type = link::LinkType::kEthernet;
  };

  // `epoch` is added to Instants to make them time since 1970.
  explicit CaptureHub(Duration epoch) : epoch_(epoch) {}
  // Wraps a device of the stack.
  std::unique_ptr<link::Device> wrap(std::unique_ptr<link::Device> inner, std::string name);
  const std::vector<Interface>& interfaces() const { return interfaces_; }

  // Every packet's comment, from now on.
  void describe_with(Describe describe) { describe_ = std::move(describe); }

  // Every frame of interfaces that are wrapped from now on goes to the file too, commented. `writer` has
  // begun, and outlives the hub.
  void record_to(link::PcapngWriter& writer) { recorder_ = &writer; }

  // The feed outlives its stay.
  void add(CaptureFeed& feed) { feeds_.push_back(&feed); }
  void remove(CaptureFeed& feed) { std::erase(feeds_, &feed); }

  Duration epoch() const { return epoch_; }
  bool idle() const { return feeds_.empty() && recorder_ == nullptr; }
  void pass(std::uint32_t interface, link::CaptureDirection direction, Instant now,
            std::span<const Bytes> pieces);

 private:
  Duration epoch_;
  std::vector<Interface> interfaces_;
  std::vector<CaptureFeed*> feeds_;
  link::PcapngWriter* recorder_ = nullptr;  // null: no file
  Describe describe_;
};

}  // namespace tapir::cli
