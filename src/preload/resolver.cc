// SPDX-License-Identifier: Apache-2.0
#include "preload/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>

#include <array>
#include <mutex>

#include "preload/settings.h"
#include "preload/wait_calls.h"

namespace tapir::preload {
namespace {

IpAddress from_network(std::uint32_t bits) { return IpAddress::v4(ntohl(bits)); }

// One question's channel: /etc/resolv.conf is read anew for each, as libc does when the file has changed.
class Channel {
 public:
  Channel() {
    static std::once_flag once;
    std::call_once(once, [] { ::ares_library_init(ARES_LIB_INIT_ALL); });
    ares_options options{};
    char order[] = "fb";  // files, then DNS
    options.lookups = order;
    made_ = ::ares_init_options(&channel_, &options, ARES_OPT_LOOKUPS) == ARES_SUCCESS;
    if (made_) use_configured_servers();
  }
  ~Channel() {
    if (made_) ::ares_destroy(channel_);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  bool made() const { return made_; }
  ares_channel get() const { return channel_; }

  // Until the callbacks of all questions have run.
  void wait() {
    for (;;) {
      std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
      const auto wanted =
          static_cast<unsigned>(::ares_getsock(channel_, sockets.data(), static_cast<int>(sockets.size())));
      std::array<pollfd, ARES_GETSOCK_MAXNUM> polled{};
      nfds_t count = 0;
      for (unsigned i = 0; i < sockets.size(); ++i) {
        const bool reads = ARES_GETSOCK_READABLE(wanted, i) != 0;
        const bool writes = ARES_GETSOCK_WRITABLE(wanted, i) != 0;
        if (!reads && !writes) break;
        polled[count++] = {sockets[i], static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0};
      }
      if (count == 0) return;
      timeval room{};
      const timeval* until = ::ares_timeout(channel_, nullptr, &room);
      const timespec timeout{until != nullptr ? until->tv_sec : 0,
                             until != nullptr ? until->tv_usec * 1000 : 0};
      const int ready =
          ppoll_of_program(polled.data(), count, until != nullptr ? &timeout : nullptr, nullptr);
      if (ready <= 0) ::ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      for (nfds_t i = 0; ready > 0 && i < count; ++i) {
        const short seen = polled[i].revents;
        const bool reads = (seen & (POLLIN | POLLERR | POLLHUP)) != 0;
        ::ares_process_fd(channel_, reads ? polled[i].fd : ARES_SOCKET_BAD,
                          (seen & POLLOUT) != 0 ? polled[i].fd : ARES_SOCKET_BAD);
      }
    }
  }

 private:
  void use_configured_servers() {
    const auto configured = read_settings();
    if (!configured || configured->name_servers.empty()) return;
    std::vector<ares_addr_node> nodes(configured->name_servers.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      nodes[i].family = AF_INET;
      nodes[i].addr.addr4.s_addr = htonl(configured->name_servers[i].v4_bits());
      nodes[i].next = i + 1 < nodes.size() ? &nodes[i + 1] : nullptr;
    }
    ::ares_set_servers(channel_, nodes.data());
  }

  ares_channel channel_ = nullptr;
  bool made_ = false;
};

void take_host(void* into, int status, int, hostent* host) {
  auto& answer = *static_cast<HostAnswer*>(into);
  answer.status = status;
  if (status != ARES_SUCCESS || host == nullptr) return;
  answer.canonical = host->h_name != nullptr ? host->h_name : "";
  for (char** alias = host->h_aliases; alias != nullptr && *alias != nullptr; ++alias)
    answer.aliases.emplace_back(*alias);
  for (char** address = host->h_addr_list; address != nullptr && *address != nullptr; ++address)
    answer.addresses.push_back(from_network(reinterpret_cast<const in_addr*>(*address)->s_addr));
}

void take_message(void* into, int status, int, unsigned char* message, int size) {
  auto& answer = *static_cast<RawAnswer*>(into);
  answer.status = status;
  if (message != nullptr && size > 0) answer.message.assign(message, message + size);
}

}  // namespace

HostAnswer resolve_host(const std::string& name) {
  HostAnswer answer{ARES_ENOMEM, {}, {}, {}};
  Channel channel;
  if (!channel.made()) return answer;
  ::ares_gethostbyname(channel.get(), name.c_str(), AF_INET, take_host, &answer);
  channel.wait();
  return answer;
}

HostAnswer resolve_address(const IpAddress& address) {
  HostAnswer answer{ARES_ENOMEM, {}, {}, {}};
  Channel channel;
  if (!channel.made()) return answer;
  const in_addr bits{htonl(address.v4_bits())};
  ::ares_gethostbyaddr(channel.get(), &bits, sizeof bits, AF_INET, take_host, &answer);
  channel.wait();
  return answer;
}

RawAnswer ask_raw(RawQuestion how, const char* name, int dns_class, int type) {
  RawAnswer answer{ARES_ENOMEM, {}};
  Channel channel;
  if (!channel.made()) return answer;
  if (how == RawQuestion::kQuery) {
    ::ares_query(channel.get(), name, dns_class, type, take_message, &answer);
  } else {
    ::ares_search(channel.get(), name, dns_class, type, take_message, &answer);
  }
  channel.wait();
  return answer;
}

RawAnswer send_raw(std::span<const std::uint8_t> question) {
  RawAnswer answer{ARES_ENOMEM, {}};
  Channel channel;
  if (!channel.made()) return answer;
  ::ares_send(channel.get(), question.data(), static_cast<int>(question.size()), take_message, &answer);
  channel.wait();
  return answer;
}

int h_errno_of(AresStatus status) {
  switch (status) {
    case ARES_SUCCESS:
      return 0;
    case ARES_ENOTFOUND:
      return HOST_NOT_FOUND;
    case ARES_ENODATA:
      return NO_DATA;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
      return TRY_AGAIN;
    default:
      return NO_RECOVERY;
  }
}

int eai_of(AresStatus status) {
  switch (h_errno_of(status)) {
    case 0:
      return 0;
    case HOST_NOT_FOUND:
      return EAI_NONAME;
    case NO_DATA:
      return EAI_NODATA;
    case TRY_AGAIN:
      return EAI_AGAIN;
    default:
      return status == ARES_ENOMEM ? EAI_MEMORY : EAI_FAIL;
  }
}

}  // namespace tapir::preload
