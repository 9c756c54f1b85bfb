// SPDX-License-Identifier: Apache-2.0
// Live captures of a running stack: every device is wrapped in a CapturePoint, which copies what passes to
// the captures under way. While there is none it costs one look at an empty list per batch. All of it under
// the stack's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
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
};

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
  };
  struct Batch {
    std::vector<Packet> packets;
    std::vector<std::uint8_t> bytes;
    std::uint64_t lost = 0;  // frames, since the capture began
  };

  explicit CaptureFeed(CaptureFilter filter) : filter_(std::move(filter)) {}
  void add(std::uint32_t interface, const std::string& name, link::LinkType type,
           link::CaptureDirection direction, std::uint64_t unix_nsec, std::span<const Bytes> pieces);
  // Moves what waits into `batch`, whose memory is used for the next.
  void take(Batch& batch);

 private:
  bool wants(const std::string& name, link::LinkType type, Bytes front) const;

  CaptureFilter filter_;
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

  // The feed outlives its stay.
  void add(CaptureFeed& feed) { feeds_.push_back(&feed); }
  void remove(CaptureFeed& feed) { std::erase(feeds_, &feed); }

  bool idle() const { return feeds_.empty(); }
  void pass(std::uint32_t interface, link::CaptureDirection direction, Instant now,
            std::span<const Bytes> pieces);

 private:
  Duration epoch_;
  std::vector<Interface> interfaces_;
  std::vector<CaptureFeed*> feeds_;
};

}  // namespace tapir::cli
