// SPDX-License-Identifier: Apache-2.0
// A packet socket on an interface of the kernel (net/packet/af_packet.c), best one end of a veth pair: works
// without /dev/net/tun. With PACKET_VNET_HDR checksums and super-segments cross as with a TAP.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "drivers/descriptor.h"
#include "link/device.h"
#include "trace/counters.h"

namespace tapir::drivers {

struct PacketConfig {
  std::string interface;  // whose wire we share
  std::optional<link::MacAddress> mac =
      {};  // ours; none: derived from the name and mac_seed. The interface turns promiscuous for it
  std::uint64_t mac_seed = 0;
};

class PacketDevice final : public link::Device {
 public:
  // For open_packet().
  PacketDevice(KernelDescriptor fd, std::string name, link::MacAddress mac, std::uint32_t mtu);

  const std::string& name() const { return name_; }
  // Where frames that the device drops are counted; null: nowhere. Outlives the device.
  void count_into(trace::Counters* counters) { counters_ = counters; }

  std::uint32_t mtu() const override { return mtu_; }
  link::MacAddress mac() const override { return mac_; }
  link::Offloads offloads() const override;
  std::size_t room() const override;
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override;
  int wait_descriptor() const override { return fd_.get(); }

 private:
  KernelDescriptor fd_;
  std::string name_;
  link::MacAddress mac_;
  std::uint32_t mtu_;
  trace::Counters* counters_ = nullptr;
};

// Opens the socket on an interface of this network namespace. What went wrong is one sentence that says what
// to do.
std::expected<std::unique_ptr<PacketDevice>, std::string> open_packet(const PacketConfig& config);

}  // namespace tapir::drivers
