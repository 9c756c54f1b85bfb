// SPDX-License-Identifier: Apache-2.0
// A received frame: bytes with one owner, from the driver's pool up to the receive queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/bytes.h"
#include "base/time.h"
#include "inet/protocol.h"

namespace tapir::inline frame {

class FramePool;

// What is known of a frame's transport checksum.
enum class ChecksumState : std::uint8_t {
  kNone,      // unknown: software must check it
  kVerified,  // the device checked it
  kPartial,   // the sender (on this machine) left it to be filled in: bytes are trusted, the field is not
              // complete
};

// A super-segment: one IP packet that stands for several of `size` bytes of payload each.
enum class GsoType : std::uint8_t { kNone, kTcpV4, kTcpV6, kUdp };
struct Gso {
  GsoType type = GsoType::kNone;
  std::uint16_t size = 0;  // payload bytes of each segment but the last
  bool ecn = false;        // CWR on the first segment only
};

// Lives at the start of a frame's buffer; the frame's bytes follow.
//
//   | FrameHeader | headroom | begin ... end | tailroom |
//                 0          begin         end        capacity
struct FrameHeader {
  FramePool* pool = nullptr;
  FrameHeader* next = nullptr;  // while in a FrameQueue
  std::uint32_t capacity = 0;   // bytes after the header
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t true_size = 0;  // bytes charged to the memory budget: header, headroom and size class
  Instant received_at{};
  InterfaceId interface = kNoInterface;
  ChecksumState checksum = ChecksumState::kNone;
  Gso gso;
};

// Move-only handle; an empty one owns nothing. Returns its buffer to its pool when destroyed.
class Frame {
 public:
  Frame() = default;
  Frame(Frame&& other) noexcept : header_(std::exchange(other.header_, nullptr)) {}
  Frame& operator=(Frame&& other) noexcept {
    if (this != &other) {
      reset();
      header_ = std::exchange(other.header_, nullptr);
    }
    return *this;
  }
  ~Frame() { reset(); }

  explicit operator bool() const { return header_ != nullptr; }
  // Gives the buffer back to its pool.
  void reset() {
    if (header_ != nullptr) give_back();
  }

  Bytes bytes() const { return {data(), size()}; }
  MutableBytes mutable_bytes() { return {data(), size()}; }
  std::size_t size() const { return header_->end - header_->begin; }
  std::size_t headroom() const { return header_->begin; }
  std::size_t tailroom() const { return header_->capacity - header_->end; }

  // Moves the edges; each stays inside the buffer (an invariant).
  void trim_front(std::size_t n);
  void trim_back(std::size_t n);
  MutableBytes push_front(std::size_t n);  // the new first n bytes
  MutableBytes push_back(std::size_t n);   // the new last n bytes

  FrameHeader& meta() { return *header_; }
  const FrameHeader& meta() const { return *header_; }

 private:
  friend class FramePool;
  friend class FrameQueue;
  explicit Frame(FrameHeader* header) : header_(header) {}
  void give_back();
  std::uint8_t* data() const { return reinterpret_cast<std::uint8_t*>(header_ + 1) + header_->begin; }

  FrameHeader* header_ = nullptr;
};

// First in, first out; no allocation. Keeps the sums that its owner needs to bound it.
class FrameQueue {
 public:
  FrameQueue() = default;
  FrameQueue(FrameQueue&& other) noexcept;
  FrameQueue& operator=(FrameQueue&& other) noexcept;
  ~FrameQueue() { clear(); }

  bool empty() const { return head_ == nullptr; }
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return bytes_; }          // sum of size() at the time of push
  std::size_t true_size() const { return true_size_; }  // sum of what the buffers cost
  void push_back(Frame frame);
  Frame pop_front();
  // The head frame's header, or null. Its bytes may be looked at, not resized.
  const FrameHeader* front() const { return head_; }
  FrameHeader* front() { return head_; }
  void clear();

 private:
  FrameHeader* head_ = nullptr;
  FrameHeader* tail_ = nullptr;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::size_t true_size_ = 0;
};

}  // namespace tapir::inline frame
