// SPDX-License-Identifier: Apache-2.0
#include "cli/capture_hub.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <utility>

#include "wire/ethernet.h"
#include "wire/transport_locator.h"

namespace tapir::cli {
namespace {

// Frames as the stack sees them: outside of impairments, super-segments whole.
class CapturePoint final : public link::Device {
 public:
  CapturePoint(std::unique_ptr<link::Device> inner, CaptureHub& hub, std::uint32_t interface)
      : inner_(std::move(inner)), hub_(hub), interface_(interface) {}

  std::uint32_t mtu() const override { return inner_->mtu(); }
  link::MacAddress mac() const override { return inner_->mac(); }
  link::LinkType link_type() const override { return inner_->link_type(); }
  link::Offloads offloads() const override { return inner_->offloads(); }
  std::size_t room() const override { return inner_->room(); }
  Instant next_timeout() const override { return inner_->next_timeout(); }
  int wait_descriptor() const override { return inner_->wait_descriptor(); }

  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override {
    const std::size_t accepted = inner_->transmit(batch, now);
    if (hub_.idle()) return accepted;
    std::array<Bytes, kOutgoingSpansMax + 1> pieces;
    for (const OutgoingFrame& frame : batch.first(accepted)) {
      pieces[0] = frame.header();
      std::ranges::copy(frame.payload(), pieces.begin() + 1);
      hub_.pass(interface_, link::CaptureDirection::kOut, now,
                std::span(pieces).first(frame.payload().size() + 1));
    }
    return accepted;
  }

  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override {
    const std::size_t count = inner_->receive(batch, pool, now);
    if (hub_.idle()) return count;
    for (const Frame& frame : batch.first(count)) {
      const std::array<Bytes, 1> whole = {frame.bytes()};
      hub_.pass(interface_, link::CaptureDirection::kIn, now, whole);
    }
    return count;
  }

 private:
  std::unique_ptr<link::Device> inner_;
  CaptureHub& hub_;
  std::uint32_t interface_;
};

// The connection that a TCP segment belongs to, our end first; of what is not one, or a later fragment,
// nothing.
std::optional<FourTuple> tuple_of(link::LinkType type, link::CaptureDirection direction, Bytes front) {
  const std::size_t network = type == link::LinkType::kEthernet ? wire::kEthernetHeaderLength : 0;
  if (front.size() < network + 20) return std::nullopt;
  if (network != 0 && load_be<std::uint16_t>(front, 12) != wire::kEtherTypeIpv4) return std::nullopt;
  const std::size_t transport = network + (front[network] & 15U) * 4U;
  const bool later_fragment = (load_be<std::uint16_t>(front, network + 6) & 0x1fff) != 0;
  if (static_cast<IpProtocol>(front[network + 9]) != IpProtocol::kTcp || later_fragment ||
      front.size() < transport + 4)
    return std::nullopt;
  const Endpoint source{IpAddress::v4(load_be<std::uint32_t>(front, network + 12)),
                        load_be<std::uint16_t>(front, transport)};
  const Endpoint destination{IpAddress::v4(load_be<std::uint32_t>(front, network + 16)),
                             load_be<std::uint16_t>(front, transport + 2)};
  return direction == link::CaptureDirection::kOut ? FourTuple{source, destination}
                                                   : FourTuple{destination, source};
}

}  // namespace

// ---- filters ----

struct FrameFilter::Program {
  bpf_program code{};
};

FrameFilter::FrameFilter(std::unique_ptr<Program> program) : program_(std::move(program)) {}
FrameFilter::~FrameFilter() { ::pcap_freecode(&program_->code); }

std::expected<std::unique_ptr<FrameFilter>, std::string> FrameFilter::compile(const std::string& expression,
                                                                              link::LinkType type) {
  const std::unique_ptr<pcap_t, void (*)(pcap_t*)> pcap(
      ::pcap_open_dead(type == link::LinkType::kEthernet ? DLT_EN10MB : DLT_RAW, 262'144), ::pcap_close);
  if (pcap == nullptr) return std::unexpected("the filter's compiler cannot be had");
  auto program = std::make_unique<Program>();
  if (::pcap_compile(pcap.get(), &program->code, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
    return std::unexpected(::pcap_geterr(pcap.get()));
  return std::unique_ptr<FrameFilter>(new FrameFilter(std::move(program)));
}

bool FrameFilter::wants(Bytes frame) const {
  const auto size = static_cast<unsigned>(frame.size());
  return ::bpf_filter(program_->code.bf_insns, frame.data(), size, size) != 0;
}

// ---- the hub ----

std::unique_ptr<link::Device> CaptureHub::wrap(std::unique_ptr<link::Device> inner, std::string name) {
  const auto index = static_cast<std::uint32_t>(interfaces_.size());
  interfaces_.push_back({std::move(name), inner->link_type()});
  // Both number the interfaces in the order in which they are told of them.
  if (recorder_ != nullptr) recorder_->add_interface(interfaces_.back().type, interfaces_.back().name);
  return std::make_unique<CapturePoint>(std::move(inner), *this, index);
}

void CaptureHub::pass(std::uint32_t interface, link::CaptureDirection direction, Instant now,
                      std::span<const Bytes> pieces) {
  const Interface& from = interfaces_[interface];
  const auto unix_nsec = static_cast<std::uint64_t>((now.time_since_epoch() + epoch_).count());
  if (recorder_ != nullptr) {
    const auto tuple = describe_ ? tuple_of(from.type, direction, pieces.front()) : std::nullopt;
    recorder_->packet(interface, unix_nsec, direction, pieces, tuple ? describe_(*tuple) : std::string());
  }
  for (CaptureFeed* feed : feeds_)
    feed->add(interface, from.name, from.type, direction, unix_nsec, pieces, describe_);
}

CaptureFeed::CaptureFeed(CaptureFilter filter) : filter_(std::move(filter)) {
  if (filter_.expression.empty()) return;
  if (auto compiled = FrameFilter::compile(filter_.expression, link::LinkType::kEthernet))
    ethernet_ = std::move(*compiled);
  if (auto compiled = FrameFilter::compile(filter_.expression, link::LinkType::kRawIp))
    raw_ip_ = std::move(*compiled);
}

bool CaptureFeed::wants(const std::string& name, link::LinkType type, Bytes front) const {
  if (filter_.interface && *filter_.interface != name) return false;
  if (!filter_.port) return true;
  // Ports, where there are any, stand in the piece with the headers. Found by hand: the rest of the packet is
  // in other pieces.
  const std::size_t network = type == link::LinkType::kEthernet ? wire::kEthernetHeaderLength : 0;
  if (front.size() < network + 20) return false;
  if (network != 0 && load_be<std::uint16_t>(front, 12) != wire::kEtherTypeIpv4) return false;
  const std::size_t transport = network + (front[network] & 15U) * 4U;
  const auto protocol = static_cast<IpProtocol>(front[network + 9]);
  const bool later_fragment = (load_be<std::uint16_t>(front, network + 6) & 0x1fff) != 0;
  if ((protocol != IpProtocol::kTcp && protocol != IpProtocol::kUdp) || later_fragment ||
      front.size() < transport + 4)
    return false;
  return load_be<std::uint16_t>(front, transport) == *filter_.port ||
         load_be<std::uint16_t>(front, transport + 2) == *filter_.port;
}

void CaptureFeed::add(std::uint32_t interface, const std::string& name, link::LinkType type,
                      link::CaptureDirection direction, std::uint64_t unix_nsec,
                      std::span<const Bytes> pieces, const Describe& describe) {
  if (!wants(name, type, pieces.front())) return;
  // An expression that makes no sense on this kind of link fits none of its frames.
  if (!filter_.expression.empty() && (type == link::LinkType::kEthernet ? ethernet_ : raw_ip_) == nullptr)
    return;
  std::size_t length = 0;
  for (const Bytes piece : pieces) length += piece.size();
  const FrameFilter* filter = type == link::LinkType::kEthernet ? ethernet_.get() : raw_ip_.get();
  const std::size_t kept = filter_.snap == 0 ? length : std::min(length, filter_.snap);
  if (waiting_.bytes.size() + kept > kCaptureFeedBytes) {
    ++waiting_.lost;
    return;
  }
  // The filter looks at the frame in one piece.
  const std::size_t begin = waiting_.bytes.size();
  std::size_t left = filter != nullptr ? length : kept;
  for (const Bytes piece : pieces) {
    const Bytes part = piece.first(std::min(left, piece.size()));
    waiting_.bytes.insert(waiting_.bytes.end(), part.begin(), part.end());
    left -= part.size();
  }
  const bool wanted = filter == nullptr || filter->wants(Bytes(waiting_.bytes).subspan(begin, length));
  waiting_.bytes.resize(begin + (wanted ? kept : 0));
  if (!wanted) return;
  Packet packet{
      unix_nsec, interface, direction, static_cast<std::uint32_t>(length), static_cast<std::uint32_t>(kept),
      begin,     {}};
  if (describe)
    if (const auto tuple = tuple_of(type, direction, pieces.front())) packet.comment = describe(*tuple);
  waiting_.packets.push_back(std::move(packet));
}

void CaptureFeed::take(Batch& batch) {
  batch.packets.clear();
  batch.bytes.clear();
  batch.lost = waiting_.lost;
  std::swap(batch, waiting_);
}

}  // namespace tapir::cli
