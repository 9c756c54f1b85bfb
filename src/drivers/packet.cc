// SPDX-License-Identifier: Apache-2.0
#include "drivers/packet.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "drivers/netdev.h"
#include "drivers/open_error.h"
#include "drivers/vnet_io.h"

// linux 4.20; absent from some headers.
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace tapir::drivers {
namespace {

// Bytes of socket buffer each way: 64 super-segments, a turn's worth, before the kernel drops or refuses.
constexpr int kSocketBuffer = 8 * 1024 * 1024;

// The forced form passes rmem_max and wmem_max, and takes CAP_NET_ADMIN; the other does what it may.
void enlarge_buffers(int fd) {
  for (auto [forced, plain] : {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (::setsockopt(fd, SOL_SOCKET, forced, &kSocketBuffer, sizeof kSocketBuffer) != 0)
      ::setsockopt(fd, SOL_SOCKET, plain, &kSocketBuffer, sizeof kSocketBuffer);
  }
}

}  // namespace

std::expected<std::unique_ptr<PacketDevice>, std::string> open_packet(const PacketConfig& config) {
  const unsigned index = ::if_nametoindex(config.interface.c_str());
  if (index == 0)
    return sentence("there is no interface '" + config.interface + "' in this network namespace");
  // Protocol 0: nothing arrives before the options below are set.
  KernelDescriptor fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) {
    if (errno == EPERM || errno == EACCES)
      return sentence(
          "a packet socket may not be opened here: it takes CAP_NET_RAW in this network namespace (be root, "
          "or use a private namespace)");
    return sentence(std::string("a packet socket cannot be opened: ") + std::strerror(errno));
  }
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0)
    return sentence(std::string("the kernel's packet sockets have no PACKET_VNET_HDR: ") +
                    std::strerror(errno));
  if (::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0)
    return sentence(std::string("the kernel's packet sockets have no PACKET_IGNORE_OUTGOING: ") +
                    std::strerror(errno));
  enlarge_buffers(fd.get());

  const auto kernel_mac = get_mac(config.interface);
  if (!kernel_mac) return sentence(kernel_mac.error());
  const link::MacAddress mac = config.mac ? *config.mac : derive_mac(config.interface, config.mac_seed);
  if (mac != *kernel_mac) {
    packet_mreq membership{};
    membership.mr_ifindex = static_cast<int>(index);
    membership.mr_type = PACKET_MR_PROMISC;
    if (::setsockopt(fd.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0)
      return sentence("the interface " + config.interface +
                      " cannot be made promiscuous: " + std::strerror(errno));
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return sentence("a packet socket cannot be bound to " + config.interface + ": " + std::strerror(errno));
  const auto mtu = get_mtu(config.interface);
  if (!mtu) return sentence(mtu.error());
  return std::make_unique<PacketDevice>(std::move(fd), config.interface, mac, *mtu);
}

PacketDevice::PacketDevice(KernelDescriptor fd, std::string name, link::MacAddress mac, std::uint32_t mtu)
    : fd_(std::move(fd)), name_(std::move(name)), mac_(mac), mtu_(mtu) {}

link::Offloads PacketDevice::offloads() const {
  // What the interface itself lacks, the kernel does in software before it (validate_xmit_skb).
  return {.tx_checksum = true,
          .rx_checksum = true,
          .tso = true,
          .uso = false,
          .gso_max_size = 65535,
          .gso_max_segs = 65535};
}

std::size_t PacketDevice::room() const { return kTransmitRoom; }

std::size_t PacketDevice::transmit(std::span<const OutgoingFrame> batch, Instant) {
  std::size_t accepted = 0;
  while (accepted < batch.size()) {
    OutgoingPieces pieces(batch[accepted], wire::kVnetHeaderShort);
    msghdr message{};
    message.msg_iov = pieces.pieces();
    message.msg_iovlen = pieces.count();
    if (::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) break;
      // ENETDOWN, ENXIO: the interface is down or gone. Else the kernel does not take this frame. It is lost,
      // as on a wire.
      const bool down = errno == ENETDOWN || errno == ENXIO;
      if (counters_ != nullptr)
        counters_->drop(down ? trace::DropReason::kDevReady : trace::DropReason::kDevRefused);
    }
    ++accepted;
  }
  return accepted;
}

std::size_t PacketDevice::receive(std::span<Frame> batch, FramePool& pool, Instant now) {
  VnetReceiver receiver(pool, wire::kVnetHeaderShort, counters_, now);
  std::size_t count = 0;
  std::size_t bytes = 0;
  // Refused frames count against the batch too: a peer that sends nothing else must not hold the turn.
  for (std::size_t reads = 0; reads < batch.size() && bytes < link::kTurnBytesMax; ++reads) {
    iovec* buffers = receiver.buffers();
    if (buffers == nullptr) break;
    msghdr message{};
    message.msg_iov = buffers;
    message.msg_iovlen = 2;
    const ssize_t size = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EAGAIN) break;
      // EINVAL: a frame that virtio_net_hdr cannot describe, gone by now. ENETDOWN is told once.
      if (errno == EINVAL && counters_ != nullptr) counters_->drop(trace::DropReason::kVnetHdr);
      continue;
    }
    bytes += static_cast<std::size_t>(size);
    if (auto frame = receiver.take(static_cast<std::size_t>(size))) batch[count++] = std::move(*frame);
  }
  return count;
}

}  // namespace tapir::drivers
