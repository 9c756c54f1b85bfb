// SPDX-License-Identifier: Apache-2.0
#include "ip/fragments.h"

#include <algorithm>
#include <cstring>

namespace tapir::ip {
namespace {

using trace::Counter;
using trace::DropReason;

constexpr unsigned ecn_bit(Ecn ecn) { return 1U << static_cast<unsigned>(ecn); }

}  // namespace

Fragments::Fragments(FramePool& pool, SipKey key, const Knobs& knobs, trace::Counters& counters)
    : pool_(pool), key_(key), knobs_(knobs), counters_(counters) {}

Fragments::~Fragments() {
  while (Partial* partial = by_age_.front()) remove(*partial);
}

Fragments::Partial* Fragments::find(const Key& key, std::uint64_t hash) {
  const auto index = table_.find(hash, [&](std::uint32_t at) { return datagrams_.at(at)->key == key; });
  return index ? datagrams_.at(*index) : nullptr;
}

Fragments::Partial* Fragments::create(const Key& key, std::uint64_t hash, Instant now) {
  if (datagrams_.size() == datagrams_.limit()) remove(*by_age_.front());
  const Handle<Partial> handle = datagrams_.emplace();
  Partial* partial = datagrams_.get(handle);
  if (partial == nullptr) return nullptr;
  if (!table_.insert(hash, handle.index)) {
    datagrams_.erase(*partial);
    return nullptr;
  }
  partial->key = key;
  partial->hash = hash;
  partial->expires_at = later(now, knobs_.ipfrag_time);
  by_age_.push_back(*partial);
  return partial;
}

void Fragments::remove(Partial& partial) {
  while (Piece* piece = partial.pieces.pop_front()) pieces_.erase(*piece);
  bytes_ -= partial.true_size;
  table_.erase(partial.hash, datagrams_.handle_of(partial).index);
  by_age_.erase(partial);
  datagrams_.erase(partial);
}

std::unexpected<FragmentVerdict> Fragments::discard(Partial* partial, DropReason reason) {
  counters_.add(Counter::kIpReasmFails);
  if (reason == DropReason::kFragOverlap) counters_.add(Counter::kIpExtReasmOverlaps);
  if (partial != nullptr) remove(*partial);
  return std::unexpected(FragmentVerdict{false, reason});
}

// The oldest datagrams go first, never `keep`.
void Fragments::make_room(const Partial* keep) {
  while (bytes_ > knobs_.ipfrag_high_thresh || pieces_.size() == pieces_.limit()) {
    Partial* oldest = by_age_.front();
    if (oldest == keep) oldest = by_age_.next(*oldest);
    if (oldest == nullptr) return;
    counters_.add(Counter::kIpReasmFails);
    counters_.drop(DropReason::kFragMemory, oldest->pieces.size());
    remove(*oldest);
  }
}

// A small fragment in a large buffer would make the limit in bytes a limit of a few fragments.
Frame Fragments::compacted(Frame packet) {
  const auto fits = std::lower_bound(kFrameClasses.begin(), kFrameClasses.end(), packet.size());
  const bool sparse = packet.meta().true_size > 2 * packet.size() + 512;
  if (!sparse || fits == kFrameClasses.end() || kFrameHeadroom + *fits >= packet.meta().capacity)
    return packet;
  Frame smaller = pool_.copy(packet);
  return smaller ? std::move(smaller) : std::move(packet);
}

Fragments::Placed Fragments::place(Partial& partial, Piece& piece) {
  // Fragments mostly come in order: search from the end.
  Piece* before = partial.pieces.back();
  while (before != nullptr && before->begin > piece.begin) before = partial.pieces.prev(*before);
  Piece* after = before != nullptr ? partial.pieces.next(*before) : partial.pieces.front();
  if (before != nullptr && before->end > piece.begin) {
    std::uint32_t covered = before->end;
    for (Piece* next = after; covered < piece.end && next != nullptr && next->begin == covered;
         next = partial.pieces.next(*next))
      covered = next->end;
    return covered >= piece.end ? Placed::kDuplicate : Placed::kOverlap;
  }
  if (after == nullptr) {
    partial.pieces.push_back(piece);
    return Placed::kNew;
  }
  if (after->begin < piece.end) return Placed::kOverlap;
  partial.pieces.insert_before(*after, piece);
  return Placed::kNew;
}

std::expected<Frame, FragmentVerdict> Fragments::add(const wire::Ipv4Header& header, Frame packet,
                                                     Instant now) {
  counters_.add(Counter::kIpReasmReqds);
  const Key key{header.src, header.dst, header.id, header.protocol};
  const std::uint64_t hash = siphash_1_3(
      key_, std::array<std::uint64_t, 5>{
                load_be<std::uint64_t>(key.source.bytes(), 0), load_be<std::uint64_t>(key.source.bytes(), 8),
                load_be<std::uint64_t>(key.destination.bytes(), 0),
                load_be<std::uint64_t>(key.destination.bytes(), 8),
                static_cast<std::uint64_t>(key.id) << 8 | static_cast<std::uint8_t>(key.protocol)});
  Partial* partial = find(key, hash);

  const std::uint8_t header_size = header.header_length;
  std::uint32_t size = static_cast<std::uint32_t>(packet.size()) - header_size;
  const std::uint32_t begin = header.fragment_offset;
  // Whole multiples of eight, except at the end (RFC 791 §3.2); Linux cuts off what is over.
  if (header.more_fragments && size % 8 != 0) {
    packet.trim_back(size % 8);
    size -= size % 8;
  }
  const std::uint32_t end = begin + size;
  if (size == 0) return discard(partial, DropReason::kFragInvalid);
  if (header_size + end > wire::kIpv4PacketMax) return discard(partial, DropReason::kFragTooFar);

  packet = compacted(std::move(packet));
  if (partial == nullptr) partial = create(key, hash, now);
  if (partial == nullptr) return discard(nullptr, DropReason::kFragMemory);
  // A second end, or data past the end: somebody plays with us.
  if (!header.more_fragments) {
    if (end < partial->length || (partial->last_seen && end != partial->length))
      return discard(partial, DropReason::kFragInvalid);
    partial->last_seen = true;
    partial->length = end;
  } else if (end > partial->length) {
    if (partial->last_seen) return discard(partial, DropReason::kFragInvalid);
    partial->length = end;
  }
  if (partial->pieces.size() == kFragmentsPerDatagramMax) return discard(partial, DropReason::kFragTooMany);

  if (pieces_.size() == pieces_.limit()) make_room(partial);
  const Handle<Piece> handle = pieces_.emplace();
  Piece* piece = pieces_.get(handle);
  if (piece == nullptr) return discard(partial, DropReason::kFragMemory);
  piece->begin = begin;
  piece->end = end;
  switch (place(*partial, *piece)) {
    case Placed::kNew:
      break;
    case Placed::kDuplicate:
      pieces_.erase(*piece);
      return std::unexpected(FragmentVerdict{false, DropReason::kDupFrag});
    case Placed::kOverlap:
      pieces_.erase(*piece);
      return discard(partial, DropReason::kFragOverlap);
  }
  partial->received += size;
  partial->ecn_seen = static_cast<std::uint8_t>(partial->ecn_seen | ecn_bit(header.ecn()));
  partial->true_size += packet.meta().true_size;
  bytes_ += packet.meta().true_size;
  packet.trim_front(header_size);
  piece->frame = std::move(packet);
  if (begin == 0) partial->first_header_size = header_size;
  if (partial->last_seen && partial->received == partial->length) return assemble(*partial, now);

  if (bytes_ > knobs_.ipfrag_high_thresh) make_room(partial);
  if (bytes_ > knobs_.ipfrag_high_thresh) return discard(partial, DropReason::kFragMemory);
  return std::unexpected(FragmentVerdict{true, DropReason::kNone});
}

std::expected<Frame, FragmentVerdict> Fragments::assemble(Partial& partial, Instant now) {
  const std::uint32_t total = partial.first_header_size + partial.length;
  if (total > wire::kIpv4PacketMax) return discard(&partial, DropReason::kFragTooFar);
  // RFC 3168 §5.3: CE of any fragment is CE of the whole; CE beside not-ECT is a lie (Linux's
  // ip_frag_ecn_table).
  const bool congestion = (partial.ecn_seen & ecn_bit(Ecn::kCe)) != 0;
  if (congestion && (partial.ecn_seen & ecn_bit(Ecn::kNotEct)) != 0)
    return discard(&partial, DropReason::kFragInvalid);
  Frame whole = pool_.allocate(total);
  if (!whole) return discard(&partial, DropReason::kFragMemory);

  const MutableBytes out = whole.mutable_bytes();
  const Frame& first = partial.pieces.front()->frame;
  std::memcpy(out.data(), first.bytes().data() - partial.first_header_size, partial.first_header_size);
  for (const Piece& piece : partial.pieces)
    std::memcpy(out.data() + partial.first_header_size + piece.begin, piece.frame.bytes().data(),
                piece.end - piece.begin);
  if (congestion) out[1] |= static_cast<std::uint8_t>(Ecn::kCe);
  store_be<std::uint16_t>(out, 2, static_cast<std::uint16_t>(total));
  store_be<std::uint16_t>(out, 6, 0);
  wire::refresh_ipv4_checksum(out.first(partial.first_header_size));
  whole.meta().received_at = now;
  whole.meta().interface = first.meta().interface;
  whole.meta().checksum = ChecksumState::kNone;
  remove(partial);
  counters_.add(Counter::kIpReasmOKs);
  return whole;
}

Instant Fragments::next_timeout() const { return by_age_.empty() ? kNever : by_age_.front()->expires_at; }

std::optional<ExpiredDatagram> Fragments::poll_expired(Instant now) {
  Partial* oldest = by_age_.front();
  if (oldest == nullptr || now < oldest->expires_at) return std::nullopt;
  counters_.add(Counter::kIpReasmFails);
  counters_.add(Counter::kIpReasmTimeout);
  counters_.drop(DropReason::kFragReasmTimeout, oldest->pieces.size());
  ExpiredDatagram expired;
  if (oldest->first_header_size != 0) {
    expired.first = std::move(oldest->pieces.front()->frame);
    expired.first.push_front(oldest->first_header_size);
  }
  remove(*oldest);
  return expired;
}

}  // namespace tapir::ip
