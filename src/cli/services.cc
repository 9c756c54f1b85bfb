// SPDX-License-Identifier: Apache-2.0
#include "cli/services.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

namespace tapir::cli {
namespace {

using runtime::Descriptor;
using socket::Sockets;

constexpr struct {
  ServiceKind kind;
  std::string_view name;
  std::uint16_t port;  // the usual one
} kServices[] = {{ServiceKind::kEcho, "echo", 7},
                 {ServiceKind::kDiscard, "discard", 9},
                 {ServiceKind::kChargen, "chargen", 19},
                 {ServiceKind::kHttp, "http", 80}};

bool would_wait(socket::Errno error) {
  return error == socket::Errno{EAGAIN} || error == socket::Errno{EINTR};
}

sockaddr_in any_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  return address;
}

}  // namespace

std::string_view to_string(ServiceKind kind) {
  for (const auto& service : kServices)
    if (service.kind == kind) return service.name;
  return "?";
}

std::expected<ServiceSpec, std::string> parse_service(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return std::unexpected(
        fmt::format("'{}' is no service: {} (echo:7, discard:9, chargen:19 or http:80=FOLDER)", text, why));
  };
  const std::size_t equals = text.find('=');
  const std::string_view before = text.substr(0, equals);
  const std::size_t colon = before.find(':');
  const std::string_view name = before.substr(0, colon);
  ServiceSpec spec;
  const auto* found = std::find_if(std::begin(kServices), std::end(kServices),
                                   [name](const auto& service) { return service.name == name; });
  if (found == std::end(kServices)) return wrong("its name is not known");
  spec.kind = found->kind;
  spec.port = found->port;
  if (colon != std::string_view::npos) {
    const std::string_view port = before.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), spec.port);
    if (error != std::errc{} || end != port.data() + port.size() || spec.port == 0)
      return wrong("a port is a number from 1 to 65535");
  }
  if (equals != std::string_view::npos) spec.folder = text.substr(equals + 1);
  if (spec.kind == ServiceKind::kHttp && spec.folder.empty())
    return wrong("it must be told which folder to serve");
  if (spec.kind != ServiceKind::kHttp && equals != std::string_view::npos)
    return wrong("only http serves a folder");
  return spec;
}

// ---- set-up
// --------------------------------------------------------------------------------------------------------

Services::Services(runtime::StackHost& host) : host_(host), buffer_(kChunk), pattern_(kChunk + kCycle) {
  // RFC 864's usual pattern: each line begins one character later in the ring of the 95 printing ones.
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    const std::size_t line = i / 74 % 95;
    const std::size_t column = i % 74;
    pattern_[i] = column == 72 ? '\r' : column == 73 ? '\n' : static_cast<char>(' ' + (line + column) % 95);
  }
}

Services::~Services() {
  host_.with([this](stack::Stack&, Sockets& sockets, Instant now) {
    endpoints_.for_each([&](const Endpoint& endpoint) { (void)sockets.close(endpoint.fd, now); });
    if (set_ >= 0) (void)sockets.close(set_, now);
  });
}

std::expected<void, std::string> Services::add(const ServiceSpec& spec) {
  if (set_ < 0) {
    const auto made = host_.epoll_create1(0);
    if (!made) return std::unexpected("no epoll set can be made: the stack has no descriptor left");
    set_ = *made;
  }
  std::uint8_t folder = 0;
  if (spec.kind == ServiceKind::kHttp) {
    if (folders_.size() == kFoldersMax)
      return std::unexpected(fmt::format("at most {} folders can be served", kFoldersMax));
    auto opened = HttpFolder::open(spec.folder);
    if (!opened) return std::unexpected(opened.error());
    folder = static_cast<std::uint8_t>(folders_.size());
    folders_.push_back(std::make_unique<HttpFolder>(std::move(*opened)));
  }
  if (auto listening = listen(spec, folder, SOCK_STREAM); !listening) return listening;
  if (spec.kind != ServiceKind::kHttp) {
    if (auto bound = listen(spec, 0, SOCK_DGRAM); !bound) return bound;
  }
  specs_.push_back(spec);
  return {};
}

std::expected<void, std::string> Services::listen(const ServiceSpec& spec, std::uint8_t folder, int type) {
  const bool stream = type == SOCK_STREAM;
  return host_.with([&](stack::Stack&, Sockets& sockets, Instant now) -> std::expected<void, std::string> {
    const auto failed = [&](socket::Errno error) {
      const char* protocol = stream ? "TCP" : "UDP";
      if (error == socket::Errno{EADDRINUSE})
        return std::unexpected(fmt::format("{} port {} of the stack is in use: {} needs another port",
                                           protocol, spec.port, to_string(spec.kind)));
      return std::unexpected(fmt::format("{} cannot be served at {} port {}: {}", to_string(spec.kind),
                                         protocol, spec.port, std::strerror(static_cast<int>(error))));
    };
    const auto fd = sockets.socket(AF_INET, type | SOCK_NONBLOCK, 0, now);
    if (!fd) return failed(fd.error());
    Endpoint* const added = endpoints_.get(
        endpoints_.emplace(stream ? Role::kListener : Role::kDatagram, spec.kind, folder, *fd));
    if (added == nullptr) {
      (void)sockets.close(*fd, now);
      return failed(socket::Errno{ENOBUFS});
    }
    const sockaddr_in address = any_address(spec.port);
    if (const auto bound =
            sockets.bind(*fd, reinterpret_cast<const sockaddr*>(&address), sizeof address, now);
        !bound)
      return failed(bound.error());
    if (stream) {
      if (const auto listening = sockets.listen(*fd, SOMAXCONN, now); !listening)
        return failed(listening.error());
    }
    watch(sockets, *added, EPOLLIN, now);
    return {};
  });
}

// ---- the loop
// ------------------------------------------------------------------------------------------------------

void Services::run(const volatile std::sig_atomic_t& stop) {
  std::array<epoll_event, kEventsMax> events;
  while (stop == 0) {
    const auto ready = host_.epoll_wait(set_, events, std::nullopt);
    const std::size_t count = ready ? static_cast<std::size_t>(*ready) : 0;
    for (std::size_t i = 0; i < count;) {
      host_.with([&](stack::Stack&, Sockets& sockets, Instant now) {
        moved_ = 0;
        const Sockets::OutputHeld held(sockets);
        for (; i < count && moved_ < kBytesPerLock; ++i) {
          // Nothing before it in this batch can have closed it: each descriptor is in a batch once.
          if (Endpoint* endpoint = endpoints_.get(Handle<Endpoint>::unpack(events[i].data.u64));
              endpoint != nullptr)
            serve(sockets, *endpoint, events[i].events, now);
        }
      });
    }
  }
}

void Services::serve(Sockets& sockets, Endpoint& endpoint, std::uint32_t events, Instant now) {
  if (endpoint.role == Role::kListener) return accept_streams(sockets, endpoint, now);
  if (endpoint.role == Role::kDatagram) return answer_datagrams(sockets, endpoint, now);
  bool goes_on = false;
  switch (endpoint.kind) {
    case ServiceKind::kDiscard:
      goes_on = serve_discard(sockets, endpoint, now);
      break;
    case ServiceKind::kChargen:
      goes_on = serve_chargen(sockets, endpoint, events, now);
      break;
    case ServiceKind::kEcho:
      goes_on = serve_echo(sockets, endpoint, now);
      break;
    case ServiceKind::kHttp:
      goes_on = serve_http(sockets, endpoint, now);
      break;
  }
  if (!goes_on) remove(sockets, endpoint, now);
}

void Services::watch(Sockets& sockets, Endpoint& endpoint, std::uint32_t interest, Instant now) {
  if (endpoint.interest == interest) return;
  epoll_event event{};
  event.events = interest;
  event.data.u64 = endpoints_.handle_of(endpoint).packed();
  (void)sockets.epoll_ctl(set_, endpoint.interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, endpoint.fd, &event,
                          now);
  endpoint.interest = interest & 7U;
}

void Services::remove(Sockets& sockets, Endpoint& endpoint, Instant now) {
  const Descriptor fd = endpoint.fd;
  endpoints_.erase(endpoint);
  (void)sockets.close(fd, now);
  resume_accepting(sockets, now);
}

void Services::accept_streams(Sockets& sockets, Endpoint& listener, Instant now) {
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    const auto fd = sockets.accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK, now);
    if (!fd) {
      if (fd.error() == socket::Errno{ECONNABORTED}) continue;
      if (would_wait(fd.error())) return;
      // EMFILE, ENOBUFS …: the set would report the queue again and again. Until a connection ends, it waits.
      epoll_event none{};
      (void)sockets.epoll_ctl(set_, EPOLL_CTL_DEL, listener.fd, &none, now);
      listener.interest = 0;
      paused_.push_back(endpoints_.handle_of(listener));
      return;
    }
    Endpoint* const stream =
        endpoints_.get(endpoints_.emplace(Role::kStream, listener.kind, listener.folder, *fd));
    if (stream == nullptr) {
      (void)sockets.close(*fd, now);
      continue;
    }
    if (listener.kind == ServiceKind::kHttp) stream->outbox = std::make_unique<Outbox>();
    watch(sockets, *stream, listener.kind == ServiceKind::kChargen ? EPOLLIN | EPOLLOUT : EPOLLIN, now);
  }
}

void Services::resume_accepting(Sockets& sockets, Instant now) {
  for (const Handle<Endpoint> listener : std::exchange(paused_, {}))
    watch(sockets, *endpoints_.get(listener), EPOLLIN, now);
}

// ---- datagrams
// -----------------------------------------------------------------------------------------------------

void Services::answer_datagrams(Sockets& sockets, Endpoint& endpoint, Instant now) {
  for (int i = 0; i < kDatagramsPerEvent; ++i) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    auto* address = reinterpret_cast<sockaddr*>(&from);
    const auto size = sockets.recvfrom(endpoint.fd, buffer_.data(), buffer_.size(), 0, address, &length, now);
    if (!size) {
      if (would_wait(size.error())) return;
      continue;  // an ICMP error about an answer
    }
    moved_ += *size;
    // Two such services, made to answer each other, would do so for ever; inetd looks at the same
    // (dg_badinput).
    if (endpoint.kind == ServiceKind::kDiscard || ntohs(from.sin_port) < IPPORT_RESERVED) continue;
    if (endpoint.kind == ServiceKind::kEcho) {
      (void)sockets.sendto(endpoint.fd, buffer_.data(), *size, 0, address, length, now);
    } else {
      // RFC 864: 0 to 512 characters; here one line more each time.
      const std::size_t lines = endpoint.position++ % 7;
      (void)sockets.sendto(endpoint.fd, pattern_.data(), lines * 74, 0, address, length, now);
    }
  }
}

// ---- streams
// -------------------------------------------------------------------------------------------------------

bool Services::serve_discard(Sockets& sockets, Endpoint& stream, Instant now) {
  for (std::size_t total = 0; total < kBytesPerLock;) {
    const auto size = sockets.recv(stream.fd, buffer_.data(), buffer_.size(), 0, now);
    if (!size) return would_wait(size.error());
    if (*size == 0) return false;
    total += *size;
    moved_ += *size;
    // Less than asked for: the queue is empty, save for an end that the set will report.
    if (*size < buffer_.size()) break;
  }
  return true;
}

bool Services::serve_chargen(Sockets& sockets, Endpoint& stream, std::uint32_t events, Instant now) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !stream.input_ended) {
    const auto size = sockets.recv(stream.fd, buffer_.data(), buffer_.size(), 0, now);
    if (!size && !would_wait(size.error())) return false;
    // A client that has shut down its sending still reads.
    if (size && *size == 0) {
      stream.input_ended = true;
      watch(sockets, stream, EPOLLOUT, now);
    }
  }
  for (std::size_t total = 0; total < kBytesPerLock;) {
    const auto size =
        sockets.send(stream.fd, pattern_.data() + stream.position % kCycle, kChunk, MSG_NOSIGNAL, now);
    if (!size) return would_wait(size.error());
    stream.position += *size;
    total += *size;
    moved_ += *size;
    if (*size < kChunk) break;
  }
  return true;
}

bool Services::serve_echo(Sockets& sockets, Endpoint& stream, Instant now) {
  for (std::size_t total = 0; total < kBytesPerLock;) {
    if (Outbox* const outbox = stream.outbox.get(); outbox != nullptr) {
      const auto sent = sockets.send(stream.fd, outbox->held.data() + outbox->held_sent,
                                     outbox->held.size() - outbox->held_sent, MSG_NOSIGNAL, now);
      if (!sent) return would_wait(sent.error());
      outbox->held_sent += *sent;
      if (outbox->held_sent < outbox->held.size()) return true;
      stream.outbox.reset();
      watch(sockets, stream, EPOLLIN, now);
    }
    if (stream.input_ended) return false;
    const auto size = sockets.recv(stream.fd, buffer_.data(), kEchoChunk, 0, now);
    if (!size) return would_wait(size.error());
    if (*size == 0) return false;
    total += *size;
    moved_ += *size;
    const auto sent = sockets.send(stream.fd, buffer_.data(), *size, MSG_NOSIGNAL, now);
    if (!sent && !would_wait(sent.error())) return false;
    const std::size_t gone = sent.value_or(0);
    if (gone < *size) {
      // The client does not read: neither do we, until it does.
      stream.outbox = std::make_unique<Outbox>();
      stream.outbox->held.assign(buffer_.data() + gone, *size - gone);
      watch(sockets, stream, EPOLLOUT, now);
      return true;
    }
    if (*size < kEchoChunk) break;
  }
  return true;
}

bool Services::serve_http(Sockets& sockets, Endpoint& stream, Instant now) {
  if (stream.draining) return drain(sockets, stream, now);
  Outbox& outbox = *stream.outbox;
  for (std::size_t total = 0;;) {
    if (stream.answering) {
      if (!send_answer(sockets, stream, now)) return false;
      if (stream.answering) return true;
      if (!outbox.answer.keep_alive) {
        // To close now would reset the connection if the client has sent more, and it might lose the answer.
        (void)sockets.shutdown(stream.fd, SHUT_WR, now);
        stream.draining = true;
        stream.position = 0;
        stream.outbox.reset();
        watch(sockets, stream, EPOLLIN, now);
        return drain(sockets, stream, now);
      }
      outbox.answer = {};
    }
    if (auto request = take_http_request(outbox.held)) {
      outbox.answer = folders_[stream.folder]->answer(*request, std::time(nullptr));
      outbox.held_sent = 0;
      stream.answering = true;
      continue;
    }
    if (stream.input_ended) return false;
    watch(sockets, stream, EPOLLIN, now);
    if (total >= kBytesPerLock) return true;
    const auto size = sockets.recv(stream.fd, buffer_.data(), kHttpHeadMax, 0, now);
    if (!size) return would_wait(size.error());
    if (*size == 0) {
      stream.input_ended = true;
    } else {
      total += *size;
      moved_ += *size;
      outbox.held.append(buffer_.data(), *size);
    }
  }
}

bool Services::send_answer(Sockets& sockets, Endpoint& stream, Instant now) {
  Outbox& outbox = *stream.outbox;
  HttpAnswer& answer = outbox.answer;
  const auto blocked = [&](socket::Errno error) {
    watch(sockets, stream, EPOLLOUT, now);
    return would_wait(error);
  };
  while (outbox.held_sent < answer.text.size()) {
    const int more = answer.left != 0 ? MSG_MORE : 0;
    const auto sent = sockets.send(stream.fd, answer.text.data() + outbox.held_sent,
                                   answer.text.size() - outbox.held_sent, MSG_NOSIGNAL | more, now);
    if (!sent) return blocked(sent.error());
    outbox.held_sent += *sent;
  }
  for (std::size_t total = 0; answer.left != 0;) {
    if (total >= kBytesPerLock) {
      watch(sockets, stream, EPOLLOUT, now);
      return true;
    }
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(answer.left, kFileChunk));
    const ssize_t read = ::pread(answer.file.get(), buffer_.data(), want, static_cast<off_t>(answer.offset));
    // The file is shorter than it was: what was promised cannot be kept.
    if (read <= 0) return false;
    const auto sent =
        sockets.send(stream.fd, buffer_.data(), static_cast<std::size_t>(read), MSG_NOSIGNAL, now);
    if (!sent) return blocked(sent.error());
    answer.offset += *sent;
    answer.left -= *sent;
    total += *sent;
    moved_ += *sent;
  }
  stream.answering = false;
  return true;
}

bool Services::drain(Sockets& sockets, Endpoint& stream, Instant now) {
  for (;;) {
    const auto size = sockets.recv(stream.fd, buffer_.data(), buffer_.size(), 0, now);
    if (!size) return would_wait(size.error());
    stream.position += *size;
    if (*size == 0 || stream.position > kDrainMax) return false;
  }
}

}  // namespace tapir::cli
