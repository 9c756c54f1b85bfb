// SPDX-License-Identifier: Apache-2.0
#include "socket/interface_ioctls.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/bytes.h"

namespace tapir::socket {
namespace {

sockaddr sockaddr_of(std::uint32_t address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = to_big_endian(address);
  sockaddr out;
  std::memcpy(&out, &in, sizeof out);
  return out;
}

std::uint32_t mask_of(const IpPrefix& prefix) {
  return prefix.length == 0 ? 0 : 0xffffffffU << (32 - prefix.length);
}

short flags_of(const ip::Interface& interface) {
  int flags = interface.up ? IFF_UP | IFF_RUNNING : 0;
  if (interface.kind == ip::LinkKind::kLoopback) flags |= IFF_LOOPBACK;
  if (interface.kind == ip::LinkKind::kEthernet) flags |= IFF_BROADCAST | IFF_MULTICAST;
  if (interface.kind == ip::LinkKind::kRawIp) flags |= IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
  return static_cast<short>(flags);
}

const IpPrefix* first_address(const ip::Interface& interface) {
  const auto at = std::find_if(interface.addresses.begin(), interface.addresses.end(),
                               [](const IpPrefix& each) { return each.address.is_v4(); });
  return at == interface.addresses.end() ? nullptr : &*at;
}

// Linux's dev_ifconf: an ifreq per address, as many as fit; a null buffer asks for the size.
Result<int> list(const stack::Stack::Parts& parts, ifconf& out) {
  std::size_t used = 0;
  for (const ip::Interface& interface : parts.interfaces.list())
    for (const IpPrefix& own : interface.addresses) {
      if (!own.address.is_v4()) continue;
      if (out.ifc_buf != nullptr) {
        if (static_cast<std::size_t>(std::max(out.ifc_len, 0)) < used + sizeof(ifreq)) break;
        ifreq each{};
        std::copy_n(interface.name.data(), std::min(interface.name.size(), std::size_t{IFNAMSIZ - 1}),
                    each.ifr_name);
        each.ifr_addr = sockaddr_of(own.address.v4_bits());
        std::memcpy(out.ifc_buf + used, &each, sizeof each);
      }
      used += sizeof(ifreq);
    }
  out.ifc_len = static_cast<int>(used);
  return 0;
}

Result<int> describe(const ip::Interface& interface, unsigned long request, ifreq& out) {
  const IpPrefix* address = first_address(interface);
  switch (request) {
    case SIOCGIFINDEX:
      out.ifr_ifindex = interface.id;
      return 0;
    case SIOCGIFFLAGS:
      out.ifr_flags = flags_of(interface);
      return 0;
    case SIOCGIFMTU:
      out.ifr_mtu = static_cast<int>(interface.mtu);
      return 0;
    case SIOCGIFMETRIC:
      out.ifr_metric = 0;
      return 0;
    case SIOCGIFTXQLEN:
      out.ifr_qlen = 1000;
      return 0;
    case SIOCGIFHWADDR:
      out.ifr_hwaddr = {};
      out.ifr_hwaddr.sa_family = hardware_type(interface);
      std::memcpy(out.ifr_hwaddr.sa_data, interface.mac.data(), interface.mac.size());
      return 0;
    case SIOCGIFADDR:
      if (address == nullptr) return fail(EADDRNOTAVAIL);
      out.ifr_addr = sockaddr_of(address->address.v4_bits());
      return 0;
    case SIOCGIFNETMASK:
      if (address == nullptr) return fail(EADDRNOTAVAIL);
      out.ifr_netmask = sockaddr_of(mask_of(*address));
      return 0;
    case SIOCGIFBRDADDR: {
      if (address == nullptr) return fail(EADDRNOTAVAIL);
      const auto broadcast = address->broadcast();
      out.ifr_broadaddr = sockaddr_of(broadcast ? broadcast->v4_bits() : 0);
      return 0;
    }
    default:
      return fail(ENOTTY);
  }
}

}  // namespace

unsigned short hardware_type(const ip::Interface& interface) {
  switch (interface.kind) {
    case ip::LinkKind::kEthernet:
      return ARPHRD_ETHER;
    case ip::LinkKind::kLoopback:
      return ARPHRD_LOOPBACK;
    case ip::LinkKind::kRawIp:
      return ARPHRD_NONE;
  }
  return ARPHRD_NONE;
}

Result<int> interface_ioctl(const stack::Stack::Parts& parts, unsigned long request, void* argument) {
  switch (request) {
    case SIOCGIFCONF:
      if (argument == nullptr) return fail(EFAULT);
      return list(parts, *static_cast<ifconf*>(argument));
    case SIOCGIFNAME: {
      if (argument == nullptr) return fail(EFAULT);
      auto& out = *static_cast<ifreq*>(argument);
      const ip::Interface* interface = parts.interfaces.find(static_cast<InterfaceId>(out.ifr_ifindex));
      if (interface == nullptr || interface->id != out.ifr_ifindex) return fail(ENODEV);
      std::memset(out.ifr_name, 0, sizeof out.ifr_name);
      std::copy_n(interface->name.data(), std::min(interface->name.size(), std::size_t{IFNAMSIZ - 1}),
                  out.ifr_name);
      return 0;
    }
    case SIOCGIFINDEX:
    case SIOCGIFFLAGS:
    case SIOCGIFMTU:
    case SIOCGIFMETRIC:
    case SIOCGIFTXQLEN:
    case SIOCGIFHWADDR:
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR: {
      if (argument == nullptr) return fail(EFAULT);
      auto& out = *static_cast<ifreq*>(argument);
      const ip::Interface* interface =
          parts.interfaces.find(std::string_view(out.ifr_name, ::strnlen(out.ifr_name, IFNAMSIZ)));
      if (interface == nullptr) return fail(ENODEV);
      return describe(*interface, request, out);
    }
    default:
      return fail(ENOTTY);
  }
}

}  // namespace tapir::socket
