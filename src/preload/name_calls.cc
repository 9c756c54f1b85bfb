// SPDX-License-Identifier: Apache-2.0
// netdb.h: numbers are read and services looked up by libc; names are asked for over tapir (resolver.h).
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "preload/libc.h"
#include "preload/resolver.h"

namespace tapir::preload {
namespace {

bool is_numeric(const char* text) {
  std::array<unsigned char, sizeof(in6_addr)> bits{};
  in_addr loose{};
  // As inet_aton(3) reads it ("10.1"); with a zone an IPv6 address is numeric too.
  return ::inet_aton(text, &loose) != 0 || ::inet_pton(AF_INET6, text, bits.data()) == 1 ||
         std::strchr(text, '%') != nullptr;
}

// The stack has no IPv6: of answers of both families those are left out.
addrinfo* without_v6(addrinfo* list) {
  const bool has_v4 = [&] {
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next)
      if (one->ai_family == AF_INET) return true;
    return false;
  }();
  if (!has_v4) return list;
  addrinfo* kept = nullptr;
  addrinfo** end = &kept;
  addrinfo* dropped = nullptr;
  char* canonical = nullptr;
  while (list != nullptr) {
    addrinfo* one = std::exchange(list, list->ai_next);
    one->ai_next = nullptr;
    if (one->ai_canonname != nullptr) canonical = std::exchange(one->ai_canonname, nullptr);
    if (one->ai_family == AF_INET) {
      *end = one;
      end = &one->ai_next;
    } else {
      one->ai_next = dropped;
      dropped = one;
    }
  }
  if (kept != nullptr) kept->ai_canonname = canonical;
  if (dropped != nullptr) libc().freeaddrinfo(dropped);
  return kept;
}

int resolved(const char* name, const char* service, const addrinfo& hints, addrinfo** into) {
  const HostAnswer answer = resolve_host(name);
  if (answer.status != 0) return eai_of(answer.status);
  if (answer.addresses.empty()) return EAI_NODATA;
  addrinfo numeric = hints;
  numeric.ai_family = AF_INET;
  numeric.ai_flags =
      (hints.ai_flags & ~(AI_CANONNAME | AI_ADDRCONFIG | AI_V4MAPPED | AI_ALL)) | AI_NUMERICHOST;
  addrinfo* list = nullptr;
  addrinfo** end = &list;
  for (const IpAddress& address : answer.addresses) {
    const int error = libc().getaddrinfo(address.to_string().c_str(), service, &numeric, end);
    if (error != 0) {
      if (list != nullptr) libc().freeaddrinfo(list);
      return error;
    }
    while (*end != nullptr) end = &(*end)->ai_next;
  }
  if ((hints.ai_flags & AI_CANONNAME) != 0)
    list->ai_canonname = ::strdup(answer.canonical.empty() ? name : answer.canonical.c_str());
  *into = list;
  return 0;
}

// ---- hostent: everything it points to is in the caller's buffer ----

class Packer {
 public:
  Packer(char* buffer, std::size_t size) : at_(buffer), left_(size) {}
  template <typename T>
  T* take(std::size_t count) {
    const std::size_t pad = (alignof(T) - reinterpret_cast<std::uintptr_t>(at_) % alignof(T)) % alignof(T);
    if (left_ < pad + count * sizeof(T)) return nullptr;
    T* taken = reinterpret_cast<T*>(at_ + pad);
    at_ += pad + count * sizeof(T);
    left_ -= pad + count * sizeof(T);
    return taken;
  }
  char* text(const std::string& text) {
    char* taken = take<char>(text.size() + 1);
    if (taken != nullptr) std::memcpy(taken, text.c_str(), text.size() + 1);
    return taken;
  }

 private:
  char* at_;
  std::size_t left_;
};

bool pack(const HostAnswer& answer, const std::string& asked, hostent& into, char* buffer, std::size_t size) {
  Packer packer(buffer, size);
  auto** aliases = packer.take<char*>(answer.aliases.size() + 1);
  auto** addresses = packer.take<char*>(answer.addresses.size() + 1);
  auto* bits = packer.take<in_addr>(answer.addresses.size());
  if (aliases == nullptr || addresses == nullptr || bits == nullptr) return false;
  for (std::size_t i = 0; i < answer.addresses.size(); ++i) {
    bits[i].s_addr = htonl(answer.addresses[i].v4_bits());
    addresses[i] = reinterpret_cast<char*>(&bits[i]);
  }
  addresses[answer.addresses.size()] = nullptr;
  for (std::size_t i = 0; i < answer.aliases.size(); ++i)
    if ((aliases[i] = packer.text(answer.aliases[i])) == nullptr) return false;
  aliases[answer.aliases.size()] = nullptr;
  into.h_name = packer.text(answer.canonical.empty() ? asked : answer.canonical);
  into.h_aliases = aliases;
  into.h_addrtype = AF_INET;
  into.h_length = sizeof(in_addr);
  into.h_addr_list = addresses;
  return into.h_name != nullptr;
}

HostAnswer look_up(const char* name) {
  in_addr bits{};
  if (::inet_aton(name, &bits) != 0) return {0, name, {}, {IpAddress::v4(ntohl(bits.s_addr))}};
  return resolve_host(name);
}

HostAnswer look_up_address(const void* address, socklen_t size, int family) {
  if (family != AF_INET || size < sizeof(in_addr)) return {-1, {}, {}, {}};
  std::uint32_t bits = 0;
  std::memcpy(&bits, address, sizeof bits);
  const IpAddress asked = IpAddress::v4(ntohl(bits));
  HostAnswer answer = resolve_address(asked);
  answer.addresses = {asked};
  return answer;
}

// The _r functions' way: 0 or ERANGE; *result is null when there is no such name.
int packed(const HostAnswer& answer, const char* asked, hostent* host, char* buffer, std::size_t size,
           hostent** result, int* error) {
  *result = nullptr;
  *error = answer.status == 0 && answer.addresses.empty() ? NO_DATA : h_errno_of(answer.status);
  if (*error != 0) return 0;
  if (!pack(answer, asked, *host, buffer, size)) {
    *error = NETDB_INTERNAL;
    errno = ERANGE;
    return ERANGE;
  }
  *result = host;
  return 0;
}

// The others': a result that the next call of the thread replaces.
hostent* kept(const HostAnswer& answer, const char* asked) {
  static thread_local std::array<char, 16384> buffer;
  static thread_local hostent host;
  hostent* result = nullptr;
  int error = 0;
  (void)packed(answer, asked, &host, buffer.data(), buffer.size(), &result, &error);
  h_errno = error;
  return result;
}

}  // namespace

TAPIR_LIBC(int, getaddrinfo, const char* name, const char* service, const addrinfo* hints, addrinfo** into) {
  const addrinfo wanted = hints != nullptr ? *hints : addrinfo{};
  if (name == nullptr || is_numeric(name) || (wanted.ai_flags & AI_NUMERICHOST) != 0 ||
      wanted.ai_family == AF_INET6) {
    const int error = libc().getaddrinfo(name, service, hints, into);
    if (error == 0 && wanted.ai_family == AF_UNSPEC) *into = without_v6(*into);
    return error;
  }
  return resolved(name, service, wanted, into);
}

TAPIR_LIBC(hostent*, gethostbyname, const char* name) { return kept(look_up(name), name); }

TAPIR_LIBC(hostent*, gethostbyname2, const char* name, int family) {
  if (family == AF_INET) return kept(look_up(name), name);
  h_errno = NO_DATA;
  return nullptr;
}

TAPIR_LIBC(int, gethostbyname_r, const char* name, hostent* host, char* buffer, std::size_t size,
           hostent** result, int* error) {
  return packed(look_up(name), name, host, buffer, size, result, error);
}

TAPIR_LIBC(int, gethostbyname2_r, const char* name, int family, hostent* host, char* buffer, std::size_t size,
           hostent** result, int* error) {
  if (family == AF_INET) return packed(look_up(name), name, host, buffer, size, result, error);
  *result = nullptr;
  *error = NO_DATA;
  return 0;
}

TAPIR_LIBC(hostent*, gethostbyaddr, const void* address, socklen_t length, int family) {
  return kept(look_up_address(address, length, family), "");
}

TAPIR_LIBC(int, gethostbyaddr_r, const void* address, socklen_t length, int family, hostent* host,
           char* buffer, std::size_t size, hostent** result, int* error) {
  return packed(look_up_address(address, length, family), "", host, buffer, size, result, error);
}

TAPIR_LIBC(int, getnameinfo, const sockaddr* address, socklen_t length, char* host, socklen_t host_size,
           char* service, socklen_t service_size, int flags) {
  const bool wants_name = host != nullptr && host_size != 0 && (flags & NI_NUMERICHOST) == 0;
  if (!wants_name || address == nullptr || address->sa_family != AF_INET || length < sizeof(sockaddr_in))
    return libc().getnameinfo(address, length, host, host_size, service, service_size, flags);
  in_addr bits{};
  std::memcpy(&bits, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, sizeof bits);
  const HostAnswer answer = resolve_address(IpAddress::v4(ntohl(bits.s_addr)));
  if (answer.status != 0 || answer.canonical.empty()) {
    if ((flags & NI_NAMEREQD) != 0) return answer.status != 0 ? eai_of(answer.status) : EAI_NONAME;
    return libc().getnameinfo(address, length, host, host_size, service, service_size,
                              flags | NI_NUMERICHOST);
  }
  if (answer.canonical.size() >= host_size) return EAI_OVERFLOW;
  std::memcpy(host, answer.canonical.c_str(), answer.canonical.size() + 1);
  if (service == nullptr || service_size == 0) return 0;
  return libc().getnameinfo(address, length, nullptr, 0, service, service_size, flags & ~NI_NAMEREQD);
}

// ---- resolv.h ----

namespace {

int stored(const RawAnswer& answer, unsigned char* into, int size) {
  if (answer.message.empty() || answer.status != 0) {
    h_errno = answer.status != 0 ? h_errno_of(answer.status) : NO_RECOVERY;
    return -1;
  }
  std::copy_n(answer.message.begin(),
              std::min(answer.message.size(), static_cast<std::size_t>(std::max(size, 0))), into);
  return static_cast<int>(answer.message.size());
}

}  // namespace

TAPIR_LIBC(int, res_query, const char* name, int dns_class, int type, unsigned char* into, int size) {
  return stored(ask_raw(RawQuestion::kQuery, name, dns_class, type), into, size);
}
TAPIR_LIBC(int, res_search, const char* name, int dns_class, int type, unsigned char* into, int size) {
  return stored(ask_raw(RawQuestion::kSearch, name, dns_class, type), into, size);
}
TAPIR_LIBC(int, res_send, const unsigned char* question, int length, unsigned char* into, int size) {
  return stored(send_raw({question, static_cast<std::size_t>(std::max(length, 0))}), into, size);
}
// The name as it is, then in the domain (Linux's libc: __res_context_querydomain).
TAPIR_LIBC(int, res_querydomain, const char* name, const char* domain, int dns_class, int type,
           unsigned char* into, int size) {
  std::string whole = name;
  if (domain != nullptr) {
    if (whole.ends_with('.')) whole.pop_back();
    whole += '.';
    whole += domain;
  }
  return stored(ask_raw(RawQuestion::kQuery, whole.c_str(), dns_class, type), into, size);
}

// With a state of the program's, which is not looked at; and under the names that old programs know.
#define TAPIR_RESOLVER_NAMES(name, parameters, arguments)                                                  \
  TAPIR_LIBC(int, res_n##name, void*, TAPIR_UNPACK parameters) { return tapir_libc_res_##name arguments; } \
  TAPIR_LIBC(int, __res_##name, TAPIR_UNPACK parameters) { return tapir_libc_res_##name arguments; }       \
  TAPIR_LIBC(int, __res_n##name, void*, TAPIR_UNPACK parameters) { return tapir_libc_res_##name arguments; }
#define TAPIR_UNPACK(...) __VA_ARGS__
TAPIR_RESOLVER_NAMES(query, (const char* name, int dns_class, int type, unsigned char* into, int size),
                     (name, dns_class, type, into, size))
TAPIR_RESOLVER_NAMES(search, (const char* name, int dns_class, int type, unsigned char* into, int size),
                     (name, dns_class, type, into, size))
TAPIR_RESOLVER_NAMES(querydomain,
                     (const char* name, const char* domain, int dns_class, int type, unsigned char* into,
                      int size),
                     (name, domain, dns_class, type, into, size))
TAPIR_RESOLVER_NAMES(send, (const unsigned char* question, int length, unsigned char* into, int size),
                     (question, length, into, size))
#undef TAPIR_UNPACK
#undef TAPIR_RESOLVER_NAMES

}  // namespace tapir::preload
