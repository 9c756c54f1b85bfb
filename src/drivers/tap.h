// SPDX-License-Identifier: Apache-2.0
// A TAP or TUN interface: the kernel is at the other end of the wire (linux/drivers/net/tun.c). With a
// virtio_net_hdr before each frame, so that checksums are left out and TCP super-segments of 64 KiB cross in
// one system call, both ways; to a kernel that takes longer ones (Linux 6.3) of up to kSuperSegmentMax.
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

struct TapConfig {
  link::LinkType type =
      link::LinkType::kEthernet;  // kRawIp: a TUN interface, whose frames are bare IP packets
  std::string name =
      "tap%d";  // of the kernel's interface, at most 15 characters; "%d" is numbered by the kernel
  std::optional<link::MacAddress> mac = {};  // ours; none: derived from the name and mac_seed
  std::uint64_t mac_seed = 0;
  std::uint32_t mtu = 0;  // bytes of IP packet; 0 leaves the interface's
  bool persist = false;   // the interface stays when the device is closed
};

class TapDevice final : public link::Device {
 public:
  // For open_tap(). `vnet_size` is 10 or 12.
  TapDevice(KernelDescriptor fd, std::string name, link::MacAddress mac, std::uint32_t mtu,
            link::Offloads offloads, std::size_t vnet_size, link::LinkType type = link::LinkType::kEthernet);

  // The kernel's interface ("tap0").
  const std::string& name() const { return name_; }
  // Where frames that the device drops are counted; null: nowhere. Outlives the device.
  void count_into(trace::Counters* counters) { counters_ = counters; }

  std::uint32_t mtu() const override { return mtu_; }
  link::MacAddress mac() const override { return mac_; }
  link::LinkType link_type() const override { return type_; }
  link::Offloads offloads() const override { return offloads_; }
  std::size_t room() const override;
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override;
  int wait_descriptor() const override { return fd_.get(); }

 private:
  // What became of a frame: kLater is nothing, the kernel has no memory now.
  enum class Written : std::uint8_t { kTaken, kLost, kLater };
  Written write(const OutgoingFrame& frame);
  // A super-segment beyond 65,535 bytes, for which the kernel finds no memory in large pages, as ordinary
  // ones.
  Written write_in_parts(const OutgoingFrame& frame);
  Written lose(trace::DropReason reason);

  KernelDescriptor fd_;
  std::string name_;
  link::MacAddress mac_;
  std::uint32_t mtu_;
  link::Offloads offloads_;
  std::size_t vnet_size_;
  link::LinkType type_;
  trace::Counters* counters_ = nullptr;
};

// Makes the interface, or opens a persistent one, in this network namespace; it is not brought up and has no
// address (netdev.h). What went wrong is one sentence that says what to do.
std::expected<std::unique_ptr<TapDevice>, std::string> open_tap(const TapConfig& config);
// A TAP interface that another process has opened and set up (open_tap()) and handed on. Its MAC is that of
// TapConfig's defaults.
std::expected<std::unique_ptr<TapDevice>, std::string> adopt_tap(KernelDescriptor fd);

}  // namespace tapir::drivers
