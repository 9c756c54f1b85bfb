// SPDX-License-Identifier: Apache-2.0
#include "drivers/netdev.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "drivers/descriptor.h"

namespace tapir::drivers {
namespace {

// IFLA_GSO_IPV4_MAX_SIZE. Debian 12's headers lack it (linux 6.3).
constexpr std::uint16_t kGsoIpv4MaxSize = 63;

// One rtnetlink request, built in a fixed buffer; the longest below is a few hundred bytes.
class Request {
 public:
  template <typename Family>
  Request(std::uint16_t type, std::uint16_t flags, const Family& family) {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    size_ = NLMSG_HDRLEN;
    append(&family, sizeof family);
  }

  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    const rtattr head{static_cast<std::uint16_t>(RTA_LENGTH(size)), type};
    append(&head, sizeof head);
    append(data, size);
  }
  void attribute(std::uint16_t type, const std::string& text) {
    attribute(type, text.c_str(), text.size() + 1);
  }
  void attribute(std::uint16_t type, std::uint32_t value) { attribute(type, &value, sizeof value); }
  void attribute(std::uint16_t type, const IpAddress& address) {
    const std::size_t skip = address.is_v4() ? 12 : 0;
    attribute(type, address.bytes().data() + skip, address.bytes().size() - skip);
  }

  // Opens an attribute that holds others; close() takes what open() answered.
  std::size_t open(std::uint16_t type) {
    const std::size_t at = size_;
    attribute(type, nullptr, 0);
    return at;
  }
  void close(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(size_ - at);
    std::memcpy(buffer_.data() + at, &length, sizeof length);
  }
  template <typename Family>
  void nested_header(const Family& family) {
    append(&family, sizeof family);
  }

  // Sends it and waits for the kernel's verdict: 0 or an errno.
  int perform() {
    const auto answer = converse();
    if (!answer) return answer.error();
    nlmsghdr head;
    nlmsgerr verdict;
    if (answer->size() < NLMSG_LENGTH(sizeof verdict.error)) return EPROTO;
    std::memcpy(&head, answer->data(), sizeof head);
    if (head.nlmsg_type != NLMSG_ERROR) return EPROTO;
    std::memcpy(&verdict.error, answer->data() + NLMSG_HDRLEN, sizeof verdict.error);
    return -verdict.error;
  }

  // Sends a question, and whether the kernel's answer, whose own header is a Family, has an attribute.
  template <typename Family>
  bool answer_has(std::uint16_t type) {
    const auto answer = converse();
    nlmsghdr front{};
    if (!answer || answer->size() < sizeof front) return false;
    std::memcpy(&front, answer->data(), sizeof front);
    if (front.nlmsg_type == NLMSG_ERROR) return false;
    std::size_t at = NLMSG_LENGTH(sizeof(Family));
    for (rtattr head; at + sizeof head <= answer->size(); at += RTA_ALIGN(head.rta_len)) {
      std::memcpy(&head, answer->data() + at, sizeof head);
      if (head.rta_type == type) return true;
      if (head.rta_len < sizeof head) return false;
    }
    return false;
  }

 private:
  // Longer than what there is to know of a link.
  static constexpr std::size_t kAnswerMax = 32768;

  // Sends it; the first message that comes back, or an errno.
  std::expected<std::vector<char>, int> converse() {
    KernelDescriptor fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!fd) return std::unexpected(errno);
    header_.nlmsg_len = static_cast<std::uint32_t>(size_);
    std::memcpy(buffer_.data(), &header_, sizeof header_);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(fd.get(), buffer_.data(), size_, 0, reinterpret_cast<const sockaddr*>(&kernel),
                 sizeof kernel) < 0)
      return std::unexpected(errno);
    std::vector<char> answer(kAnswerMax);
    const ssize_t got = ::recv(fd.get(), answer.data(), answer.size(), 0);
    if (got < 0) return std::unexpected(errno);
    answer.resize(static_cast<std::size_t>(got));
    return answer;
  }

  void append(const void* data, std::size_t size) {
    TAPIR_INVARIANT(size_ + NLMSG_ALIGN(size) <= buffer_.size(), "an rtnetlink request fits its buffer");
    if (size != 0) std::memcpy(buffer_.data() + size_, data, size);
    size_ += NLMSG_ALIGN(size);
  }

  nlmsghdr header_{};
  alignas(nlmsghdr) std::array<char, 1024> buffer_{};
  std::size_t size_ = 0;
};

std::unexpected<std::string> failure(const std::string& what, int error) {
  if (error == EPERM || error == EACCES)
    return std::unexpected(
        what + ": it takes CAP_NET_ADMIN in this network namespace (be root, or use a private namespace)");
  return std::unexpected(what + ": " + std::strerror(error));
}

NetdevResult verdict(int error, const std::string& what) {
  if (error == 0) return {};
  return failure(what, error);
}

std::uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

// The interface's number, or 0.
int index_of(const std::string& name) { return static_cast<int>(::if_nametoindex(name.c_str())); }

std::unexpected<std::string> no_interface(const std::string& name) {
  return std::unexpected("there is no interface '" + name + "' in this network namespace");
}

// The classic requests of netdevice(7), which ask about one interface by name.
std::expected<ifreq, std::string> ask(const std::string& name, unsigned long request, const char* what) {
  ifreq argument{};
  if (name.size() >= IFNAMSIZ) return no_interface(name);
  std::memcpy(argument.ifr_name, name.data(), name.size());
  KernelDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || ::ioctl(fd.get(), request, &argument) != 0) {
    if (errno == ENODEV) return no_interface(name);
    return failure(std::string("the ") + what + " of " + name + " cannot be read", errno);
  }
  return argument;
}

ifinfomsg link_header(int index) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  return header;
}

}  // namespace

NetdevResult set_link_up(const std::string& name, bool up) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  ifinfomsg header = link_header(index);
  header.ifi_flags = up ? IFF_UP : 0;
  header.ifi_change = IFF_UP;
  return verdict(Request(RTM_NEWLINK, 0, header).perform(), name + " cannot be set " + (up ? "up" : "down"));
}

NetdevResult set_mtu(const std::string& name, std::uint32_t mtu) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  Request request(RTM_NEWLINK, 0, link_header(index));
  request.attribute(IFLA_MTU, mtu);
  return verdict(request.perform(), "the MTU of " + name + " cannot be set to " + std::to_string(mtu));
}

std::expected<std::uint32_t, std::string> get_mtu(const std::string& name) {
  const auto answer = ask(name, SIOCGIFMTU, "MTU");
  if (!answer) return std::unexpected(answer.error());
  return static_cast<std::uint32_t>(answer->ifr_mtu);
}

std::expected<link::MacAddress, std::string> get_mac(const std::string& name) {
  const auto answer = ask(name, SIOCGIFHWADDR, "MAC");
  if (!answer) return std::unexpected(answer.error());
  link::MacAddress mac;
  std::memcpy(mac.data(), answer->ifr_hwaddr.sa_data, mac.size());
  return mac;
}

bool link_exists(const std::string& name) { return index_of(name) != 0; }

bool takes_long_super_segments(const std::string& name) {
  const int index = index_of(name);
  return index != 0 && Request(RTM_GETLINK, 0, link_header(index)).answer_has<ifinfomsg>(kGsoIpv4MaxSize);
}

NetdevResult add_address(const std::string& name, const IpPrefix& address) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  ifaddrmsg header{};
  header.ifa_family = family_of(address.address);
  header.ifa_prefixlen = address.length;
  header.ifa_index = static_cast<std::uint32_t>(index);
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header);
  request.attribute(IFA_LOCAL, address.address);
  request.attribute(IFA_ADDRESS, address.address);
  if (const auto broadcast = address.broadcast()) request.attribute(IFA_BROADCAST, *broadcast);
  const int error = request.perform();
  if (error == EEXIST)
    return std::unexpected("the address " + address.to_string() + " cannot be given to " + name +
                           ": it has it already");
  return verdict(error, "the address " + address.to_string() + " cannot be given to " + name);
}

NetdevResult remove_address(const std::string& name, const IpPrefix& address) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  ifaddrmsg header{};
  header.ifa_family = family_of(address.address);
  header.ifa_prefixlen = address.length;
  header.ifa_index = static_cast<std::uint32_t>(index);
  Request request(RTM_DELADDR, 0, header);
  request.attribute(IFA_LOCAL, address.address);
  return verdict(request.perform(), "the address " + address.to_string() + " cannot be taken from " + name);
}

NetdevResult create_bridge(const std::string& name) {
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, link_header(0));
  request.attribute(IFLA_IFNAME, name);
  const std::size_t info = request.open(IFLA_LINKINFO);
  request.attribute(IFLA_INFO_KIND, std::string("bridge"));
  const std::size_t data = request.open(IFLA_INFO_DATA);
  request.attribute(IFLA_BR_FORWARD_DELAY, std::uint32_t{0});
  request.attribute(IFLA_BR_STP_STATE, std::uint32_t{0});
  request.close(data);
  request.close(info);
  const int error = request.perform();
  if (error == EEXIST)
    return std::unexpected("an interface named " + name + " exists already: remove it first (ip link del " +
                           name + ")");
  return verdict(error, "the bridge " + name + " cannot be made");
}

NetdevResult set_master(const std::string& name, const std::string& bridge) {
  const int index = index_of(name);
  const int master = index_of(bridge);
  if (index == 0 || master == 0) return no_interface(index == 0 ? name : bridge);
  Request request(RTM_NEWLINK, 0, link_header(index));
  request.attribute(IFLA_MASTER, static_cast<std::uint32_t>(master));
  return verdict(request.perform(), name + " cannot be put on the bridge " + bridge);
}

NetdevResult add_route(const IpPrefix& destination, const IpAddress& gateway, const std::string& name) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  rtmsg header{};
  header.rtm_family = family_of(destination.address);
  header.rtm_dst_len = destination.length;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = gateway.is_unspecified() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  Request request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, header);
  if (destination.length != 0) request.attribute(RTA_DST, destination.network().address);
  if (!gateway.is_unspecified()) request.attribute(RTA_GATEWAY, gateway);
  request.attribute(RTA_OIF, static_cast<std::uint32_t>(index));
  return verdict(request.perform(),
                 "the route to " + destination.to_string() + " over " + name + " cannot be added");
}

NetdevResult replace_route_congctl(const IpPrefix& destination, const IpAddress& source,
                                   const std::string& name, const std::string& algorithm) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  rtmsg header{};
  header.rtm_family = family_of(destination.address);
  header.rtm_dst_len = destination.length;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_KERNEL;  // replaces the connected route
  header.rtm_scope = RT_SCOPE_LINK;
  header.rtm_type = RTN_UNICAST;
  Request request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, header);
  request.attribute(RTA_DST, destination.network().address);
  request.attribute(RTA_OIF, static_cast<std::uint32_t>(index));
  if (!source.is_unspecified()) request.attribute(RTA_PREFSRC, source);
  const std::size_t metrics = request.open(RTA_METRICS);
  request.attribute(RTAX_CC_ALGO, algorithm);
  request.close(metrics);
  return verdict(request.perform(), "the route to " + destination.to_string() + " over " + name +
                                        " cannot be given " + algorithm);
}

NetdevResult create_veth_pair(const std::string& name, const std::string& peer) {
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, link_header(0));
  request.attribute(IFLA_IFNAME, name);
  const std::size_t info = request.open(IFLA_LINKINFO);
  request.attribute(IFLA_INFO_KIND, std::string("veth"));
  const std::size_t data = request.open(IFLA_INFO_DATA);
  const std::size_t other = request.open(VETH_INFO_PEER);
  request.nested_header(link_header(0));
  request.attribute(IFLA_IFNAME, peer);
  request.close(other);
  request.close(data);
  request.close(info);
  const int error = request.perform();
  if (error == EEXIST)
    return std::unexpected("an interface named " + name + " or " + peer +
                           " exists already: choose other names");
  return verdict(error, "the veth pair " + name + " and " + peer + " cannot be made");
}

NetdevResult delete_link(const std::string& name) {
  const int index = index_of(name);
  if (index == 0) return no_interface(name);
  return verdict(Request(RTM_DELLINK, 0, link_header(index)).perform(), name + " cannot be removed");
}

}  // namespace tapir::drivers
