// SPDX-License-Identifier: Apache-2.0
#include "drivers/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "drivers/netdev.h"
#include "drivers/open_error.h"
#include "drivers/vnet_io.h"
#include "link/segmenter.h"
#include "wire/ipv4.h"

namespace tapir::drivers {
namespace {

// Debian 12's headers lack them (linux 6.2).
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;
constexpr unsigned kTsoFlags = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

std::string open_failure(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return "there is no /dev/net/tun: load the kernel's module (modprobe tun), or give the container the "
             "device";
    case EACCES:
    case EPERM:
      return "/dev/net/tun may not be opened: run as root, or make it readable and writable for you (chmod "
             "0666 /dev/net/tun)";
    default:
      return std::string("/dev/net/tun cannot be opened: ") + std::strerror(error);
  }
}

std::string attach_failure(const std::string& name, int error) {
  switch (error) {
    case EBUSY:
      return "the interface " + name +
             " is in use by another program: choose another name, or end that program";
    case EPERM:
    case EACCES:
      return "a TAP interface may not be made here: it takes CAP_NET_ADMIN in this network namespace (be "
             "root, or use a private namespace)";
    case EINVAL:
      return "the interface " + name + " exists and is no single-queue TAP: choose another name";
    default:
      return "the TAP interface " + name + " cannot be made: " + std::strerror(error);
  }
}

// What there is to know of a TAP, and what to negotiate, once the descriptor is attached to it.
std::expected<std::unique_ptr<TapDevice>, std::string> attached(KernelDescriptor fd, std::string name,
                                                                const TapConfig& config) {
  std::size_t vnet_size = wire::kVnetHeaderLong;
  if (int size = static_cast<int>(vnet_size); ::ioctl(fd.get(), TUNSETVNETHDRSZ, &size) != 0)
    vnet_size = wire::kVnetHeaderShort;

  link::Offloads offloads;
  offloads.tx_checksum = offloads.rx_checksum = true;
  // What the kernel may send us; what it takes from us is not negotiated, but a kernel that offers TSO or USO
  // takes it too.
  if (::ioctl(fd.get(), TUNSETOFFLOAD, kTsoFlags | kTunUso4 | kTunUso6) == 0) {
    offloads.tso = offloads.uso = true;
  } else if (::ioctl(fd.get(), TUNSETOFFLOAD, kTsoFlags) == 0) {
    offloads.tso = true;
  } else if (::ioctl(fd.get(), TUNSETOFFLOAD, TUN_F_CSUM) != 0) {
    return sentence("the TAP interface " + name + " offers no checksum offload: " + std::strerror(errno));
  }
  if (offloads.tso) {
    // Else IPv4's total length; GSO_LEGACY_MAX_SIZE.
    offloads.gso_max_size =
        static_cast<std::uint32_t>(takes_long_super_segments(name) ? kSuperSegmentMax : wire::kIpv4PacketMax);
    offloads.gso_max_segs = 65535;  // GSO_MAX_SEGS
  }

  if (config.mtu != 0) {
    if (auto set = set_mtu(name, config.mtu); !set) return sentence(set.error());
  }
  const auto mtu = get_mtu(name);
  if (!mtu) return sentence(mtu.error());
  link::MacAddress mac{};
  if (config.type == link::LinkType::kEthernet)
    mac = config.mac ? *config.mac : derive_mac(name, config.mac_seed);
  return std::make_unique<TapDevice>(std::move(fd), std::move(name), mac, *mtu, offloads, vnet_size,
                                     config.type);
}

}  // namespace

std::expected<std::unique_ptr<TapDevice>, std::string> open_tap(const TapConfig& config) {
  if (config.name.empty() || config.name.size() >= IFNAMSIZ)
    return sentence("'" + config.name + "' is no name for an interface: it has 1 to 15 characters");
  KernelDescriptor fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return sentence(open_failure(errno));

  ifreq request{};
  std::memcpy(request.ifr_name, config.name.data(), config.name.size());
  const bool tun = config.type == link::LinkType::kRawIp;
  request.ifr_flags = static_cast<short>((tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI | IFF_VNET_HDR);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return sentence(attach_failure(config.name, errno));
  std::string name = request.ifr_name;
  if (::ioctl(fd.get(), TUNSETPERSIST, config.persist ? 1UL : 0UL) != 0)
    return sentence("the TAP interface " + name + " cannot be made persistent: " + std::strerror(errno));
  return attached(std::move(fd), std::move(name), config);
}

std::expected<std::unique_ptr<TapDevice>, std::string> adopt_tap(KernelDescriptor fd) {
  ifreq request{};
  if (::ioctl(fd.get(), TUNGETIFF, &request) != 0)
    return sentence("descriptor " + std::to_string(fd.get()) +
                    " is no TAP interface: " + std::strerror(errno));
  return attached(std::move(fd), request.ifr_name, {});
}

TapDevice::TapDevice(KernelDescriptor fd, std::string name, link::MacAddress mac, std::uint32_t mtu,
                     link::Offloads offloads, std::size_t vnet_size, link::LinkType type)
    : fd_(std::move(fd)),
      name_(std::move(name)),
      mac_(mac),
      mtu_(mtu),
      offloads_(offloads),
      vnet_size_(vnet_size),
      type_(type) {}

namespace {

// A frame that points at a mapped file which was cut short meanwhile: what is gone is sent as zeros, for what
// is left out of a stream would be sent again for ever. The kernel reads, as to touch such bytes ends the
// process.
ssize_t write_what_is_left(int fd, OutgoingPieces& frame) {
  static const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<std::uint8_t> whole;
  for (const iovec& piece : std::span(frame.pieces(), frame.count())) {
    const auto* from = static_cast<const std::uint8_t*>(piece.iov_base);
    for (std::size_t done = 0; done < piece.iov_len;) {
      const std::size_t size =
          std::min(page - reinterpret_cast<std::uintptr_t>(from + done) % page, piece.iov_len - done);
      const std::size_t at = whole.size();
      whole.resize(at + size);
      const iovec to{whole.data() + at, size};
      const iovec of{const_cast<std::uint8_t*>(from + done), size};
      (void)::process_vm_readv(::getpid(), &to, 1, &of, 1, 0);
      done += size;
    }
  }
  return ::write(fd, whole.data(), whole.size());
}

}  // namespace

std::size_t TapDevice::room() const { return kTransmitRoom; }

std::size_t TapDevice::transmit(std::span<const OutgoingFrame> batch, Instant) {
  std::size_t accepted = 0;
  while (accepted < batch.size() && write(batch[accepted]) != Written::kLater) ++accepted;
  return accepted;
}

TapDevice::Written TapDevice::write(const OutgoingFrame& frame) {
  OutgoingPieces pieces(frame, vnet_size_);
  ssize_t written;
  do {
    written = ::writev(fd_.get(), pieces.pieces(), static_cast<int>(pieces.count()));
    if (written < 0 && errno == EFAULT) written = write_what_is_left(fd_.get(), pieces);
  } while (written < 0 && errno == EINTR);
  if (written >= 0) return Written::kTaken;
  const bool no_memory = errno == ENOBUFS || errno == ENOMEM;
  if ((no_memory || errno == EMSGSIZE) && frame.size() - frame.network_offset > wire::kIpv4PacketMax)
    return write_in_parts(frame);
  if (no_memory || errno == EAGAIN) return Written::kLater;
  // EIO: the interface is down. EINVAL: the kernel does not take this frame. As on a wire, the frame is lost.
  return lose(errno == EIO ? trace::DropReason::kDevReady : trace::DropReason::kDevRefused);
}

TapDevice::Written TapDevice::write_in_parts(const OutgoingFrame& frame) {
  const auto parts = link::Segmenter::into_super_segments(frame, wire::kIpv4PacketMax);
  if (!parts) return lose(trace::DropReason::kDevRefused);
  OutgoingFrame part;
  for (std::size_t i = 0; i < parts->segments(); ++i) {
    parts->emit(i, link::ChecksumWork::kDevice, part);
    const Written written = write(part);
    if (written == Written::kTaken) continue;
    // What has left is not sent again.
    return i == 0 ? written : lose(trace::DropReason::kDevRefused);
  }
  return Written::kTaken;
}

TapDevice::Written TapDevice::lose(trace::DropReason reason) {
  if (counters_ != nullptr) counters_->drop(reason);
  return Written::kLost;
}

std::size_t TapDevice::receive(std::span<Frame> batch, FramePool& pool, Instant now) {
  VnetReceiver receiver(pool, vnet_size_, counters_, now, type_);
  std::size_t count = 0;
  std::size_t bytes = 0;
  // Refused frames count against the batch too: a peer that sends nothing else must not hold the turn.
  for (std::size_t reads = 0; reads < batch.size() && bytes < link::kTurnBytesMax; ++reads) {
    iovec* buffers = receiver.buffers();
    if (buffers == nullptr) break;
    const ssize_t size = ::readv(fd_.get(), buffers, 2);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) break;  // EAGAIN; or EIO/EBADFD: the interface is gone, nothing comes any more
    bytes += static_cast<std::size_t>(size);
    if (auto frame = receiver.take(static_cast<std::size_t>(size))) batch[count++] = std::move(*frame);
  }
  return count;
}

}  // namespace tapir::drivers
