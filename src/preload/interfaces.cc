// SPDX-License-Identifier: Apache-2.0
#include "preload/interfaces.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "preload/libc.h"
#include "preload/process.h"
#include "socket/address.h"

namespace tapir::preload {
namespace {

using View = runtime::StackHost::InterfaceView;

void store(const IpAddress& address, sockaddr& into) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address.v4_bits());
  std::memcpy(&into, &in, sizeof in);
}

IpAddress mask_of(const IpPrefix& prefix) {
  return IpAddress::v4(prefix.length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix.length));
}

IpAddress broadcast_of(const IpPrefix& prefix) { return prefix.broadcast().value_or(prefix.address); }

short flags_of(const View& view) {
  int flags = view.up ? IFF_UP | IFF_RUNNING : 0;
  flags |= view.loopback ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST;
  return static_cast<short>(flags);
}

socket::Result<int> list_interfaces(ifconf& into) {
  std::size_t used = 0;
  std::size_t wanted = 0;
  for (const View& view : stack().interfaces())
    for (const IpPrefix& address : view.addresses) {
      wanted += sizeof(ifreq);
      if (into.ifc_req == nullptr ||
          used + sizeof(ifreq) > static_cast<std::size_t>(std::max(into.ifc_len, 0)))
        continue;
      ifreq entry{};
      view.name.copy(entry.ifr_name, IFNAMSIZ - 1);
      store(address.address, entry.ifr_addr);
      std::memcpy(into.ifc_buf + used, &entry, sizeof entry);
      used += sizeof entry;
    }
  into.ifc_len = static_cast<int>(into.ifc_req == nullptr ? wanted : used);
  return 0;
}

// Linux's devinet_ioctl and dev_ioctl.
socket::Result<int> ask(unsigned long request, ifreq& about) {
  const std::vector<View> views = stack().interfaces();
  const auto found = std::find_if(views.begin(), views.end(), [&](const View& view) {
    if (request == SIOCGIFNAME) return static_cast<int>(view.id) == about.ifr_ifindex;
    return std::strncmp(view.name.c_str(), about.ifr_name, IFNAMSIZ) == 0;
  });
  if (found == views.end()) return socket::fail(ENODEV);
  const bool wants_address = request == SIOCGIFADDR || request == SIOCGIFNETMASK || request == SIOCGIFBRDADDR;
  if (wants_address && found->addresses.empty()) return socket::fail(EADDRNOTAVAIL);
  switch (request) {
    case SIOCGIFNAME:
      std::memset(about.ifr_name, 0, IFNAMSIZ);
      found->name.copy(about.ifr_name, IFNAMSIZ - 1);
      break;
    case SIOCGIFINDEX:
      about.ifr_ifindex = static_cast<int>(found->id);
      break;
    case SIOCGIFFLAGS:
      about.ifr_flags = flags_of(*found);
      break;
    case SIOCGIFMTU:
      about.ifr_mtu = static_cast<int>(found->mtu);
      break;
    case SIOCGIFHWADDR:
      about.ifr_hwaddr = {};
      about.ifr_hwaddr.sa_family = found->loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
      std::copy(found->mac.begin(), found->mac.end(), about.ifr_hwaddr.sa_data);
      break;
    case SIOCGIFADDR:
      store(found->addresses.front().address, about.ifr_addr);
      break;
    case SIOCGIFNETMASK:
      store(mask_of(found->addresses.front()), about.ifr_netmask);
      break;
    default:
      store(broadcast_of(found->addresses.front()), about.ifr_broadaddr);
  }
  return 0;
}

// getifaddrs(3)'s list: one block, a link entry per interface, then an entry per address. The mark tells ours
// from libc's.
struct Entry {
  ifaddrs entry{};
  sockaddr_storage address{};
  sockaddr_storage mask{};
  sockaddr_storage broadcast{};
  std::array<char, IFNAMSIZ> name{};
};
struct List {
  std::vector<Entry> entries;
  List* next = nullptr;
};
std::mutex lists_mutex;
List* lists = nullptr;

void add_entry(List& list, const View& view) {
  Entry& made = list.entries.emplace_back();
  view.name.copy(made.name.data(), made.name.size() - 1);
  made.entry.ifa_flags = static_cast<unsigned>(static_cast<unsigned short>(flags_of(view)));
}

List* make_list() {
  auto* list = new List;
  const std::vector<View> views = stack().interfaces();
  for (const View& view : views) {
    add_entry(*list, view);
    auto& link = reinterpret_cast<sockaddr_ll&>(list->entries.back().address);
    link.sll_family = AF_PACKET;
    link.sll_ifindex = static_cast<int>(view.id);
    link.sll_hatype = view.loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
    link.sll_halen = 6;
    std::copy(view.mac.begin(), view.mac.end(), link.sll_addr);
  }
  for (const View& view : views)
    for (const IpPrefix& prefix : view.addresses) {
      add_entry(*list, view);
      Entry& made = list->entries.back();
      store(prefix.address, reinterpret_cast<sockaddr&>(made.address));
      store(mask_of(prefix), reinterpret_cast<sockaddr&>(made.mask));
      store(view.loopback ? prefix.address : broadcast_of(prefix),
            reinterpret_cast<sockaddr&>(made.broadcast));
    }
  for (std::size_t i = 0; i < list->entries.size(); ++i) {
    Entry& each = list->entries[i];
    each.entry.ifa_name = each.name.data();
    each.entry.ifa_addr = reinterpret_cast<sockaddr*>(&each.address);
    if (each.mask.ss_family != 0) each.entry.ifa_netmask = reinterpret_cast<sockaddr*>(&each.mask);
    if (each.broadcast.ss_family != 0)
      each.entry.ifa_broadaddr = reinterpret_cast<sockaddr*>(&each.broadcast);
    if (i + 1 < list->entries.size()) each.entry.ifa_next = &list->entries[i + 1].entry;
  }
  return list;
}

}  // namespace

std::optional<socket::Result<int>> interface_ioctl(unsigned long request, void* argument) {
  switch (request) {
    case SIOCGIFCONF:
      if (argument == nullptr) return socket::fail(EFAULT);
      return list_interfaces(*static_cast<ifconf*>(argument));
    case SIOCGIFNAME:
    case SIOCGIFINDEX:
    case SIOCGIFFLAGS:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
      if (argument == nullptr) return socket::fail(EFAULT);
      return ask(request, *static_cast<ifreq*>(argument));
    default:
      return std::nullopt;
  }
}

TAPIR_LIBC(int, getifaddrs, ifaddrs** into) {
  if (start_stack() == nullptr) return -1;
  List* list = make_list();
  const std::lock_guard lock(lists_mutex);
  list->next = lists;
  lists = list;
  *into = list->entries.empty() ? nullptr : &list->entries.front().entry;
  return 0;
}

TAPIR_LIBC(void, freeifaddrs, ifaddrs* entries) {
  {
    const std::lock_guard lock(lists_mutex);
    for (List** link = &lists; *link != nullptr; link = &(*link)->next) {
      List* list = *link;
      if (list->entries.empty() || &list->entries.front().entry != entries) continue;
      *link = list->next;
      delete list;
      return;
    }
  }
  libc().freeifaddrs(entries);
}

TAPIR_LIBC(unsigned, if_nametoindex, const char* name) {
  if (!has_stack()) return libc().if_nametoindex(name);
  for (const View& view : stack().interfaces())
    if (view.name == name) return view.id;
  errno = ENODEV;
  return 0;
}

TAPIR_LIBC(char*, if_indextoname, unsigned index, char* name) {
  if (!has_stack()) return libc().if_indextoname(index, name);
  for (const View& view : stack().interfaces())
    if (view.id == index) {
      std::memset(name, 0, IFNAMSIZ);
      view.name.copy(name, IFNAMSIZ - 1);
      return name;
    }
  errno = ENXIO;
  return nullptr;
}

}  // namespace tapir::preload
