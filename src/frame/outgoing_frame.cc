// SPDX-License-Identifier: Apache-2.0
#include "frame/outgoing_frame.h"

#include <cstring>

#include "base/assert.h"

namespace tapir::inline frame {

void OutgoingFrame::clear() {
  begin_ = end_ = kHeaderReserve;
  payload_count_ = 0;
  payload_size_ = 0;
  checksum = {};
  gso = {};
  ecn = Ecn::kNotEct;
  interface = kNoInterface;
  network_offset = transport_offset = 0;
}

MutableBytes OutgoingFrame::append_header(std::size_t n) {
  TAPIR_INVARIANT(n <= kOutgoingHeaderMax - end_, "headers fit an outgoing frame");
  end_ = static_cast<std::uint16_t>(end_ + n);
  return mutable_header().last(n);
}

MutableBytes OutgoingFrame::push_header(std::size_t n) {
  TAPIR_INVARIANT(n <= begin_, "headers pushed in front fit the reserve");
  const auto shift = static_cast<std::uint16_t>(n);
  begin_ = static_cast<std::uint16_t>(begin_ - shift);
  if (checksum.wanted) checksum.start = static_cast<std::uint16_t>(checksum.start + shift);
  network_offset = static_cast<std::uint16_t>(network_offset + shift);
  transport_offset = static_cast<std::uint16_t>(transport_offset + shift);
  return mutable_header().first(n);
}

void OutgoingFrame::add_payload(Bytes bytes) {
  if (bytes.empty()) return;
  payload_size_ += bytes.size();
  if (payload_count_ != 0) {
    Bytes& last = payload_[payload_count_ - 1];
    if (last.data() + last.size() == bytes.data()) {
      last = Bytes(last.data(), last.size() + bytes.size());
      return;
    }
  }
  TAPIR_INVARIANT(!payload_full(), "the payload has no more spans than there is room for");
  payload_[payload_count_++] = bytes;
}

void OutgoingFrame::copy_to(MutableBytes out) const {
  TAPIR_INVARIANT(out.size() >= size(), "the copy of a frame fits");
  std::uint8_t* to = out.data();
  const auto put = [&to](Bytes bytes) {
    if (bytes.empty()) return;  // memcpy(…, null, 0) is undefined
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  };
  put(header());
  for (Bytes span : payload()) put(span);
}

}  // namespace tapir::inline frame
