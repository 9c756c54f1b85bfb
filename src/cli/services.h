// SPDX-License-Identifier: Apache-2.0
// The servers inside `tapir up`: echo (RFC 862), discard (RFC 863) and chargen (RFC 864) over TCP and UDP,
// files over HTTP. All connections of all of them by one epoll set in one thread, which drives the stack
// itself.
#pragma once

#include <csignal>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "cli/http.h"
#include "runtime/stack_host.h"

namespace tapir::cli {

enum class ServiceKind : std::uint8_t { kEcho, kDiscard, kChargen, kHttp };
std::string_view to_string(ServiceKind kind);

struct ServiceSpec {
  ServiceKind kind = ServiceKind::kEcho;
  std::uint16_t port = 0;
  std::string folder;  // kHttp: what is served
};

// "echo:7", "discard:9", "chargen:19", "http:80=DIR"; without a port the usual one. What is wrong is one
// sentence.
std::expected<ServiceSpec, std::string> parse_service(std::string_view text);

class Services {
 public:
  explicit Services(runtime::StackHost& host);
  // Closes every connection.
  ~Services();
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  // Listens. What went wrong (the port is in use, the folder is none) is one sentence.
  std::expected<void, std::string> add(const ServiceSpec& spec);
  const std::vector<ServiceSpec>& served() const { return specs_; }

  // Serves until `stop` is set, by a signal that interrupts waits (interrupt.h).
  void run(const volatile std::sig_atomic_t& stop);

 private:
  // Bytes of one recv() or send(): a turn's worth, and more than a socket buffer gives at once.
  static constexpr std::size_t kChunk = 256 * 1024;
  // Bytes moved before the lock is let go, so that the tools on the control socket get in, and the ACKs of
  // what was sent: its buffers are then used again while the cache holds them.
  static constexpr std::size_t kBytesPerLock = kChunk;
  // What an echo connection may hold that its client does not read.
  static constexpr std::size_t kEchoChunk = 64 * 1024;
  // Bytes read from a file at a time: about what a send buffer takes.
  static constexpr std::size_t kFileChunk = 128 * 1024;
  static constexpr std::size_t kEventsMax = 256;
  // Listeners, datagram sockets and clients; the stack's descriptors are used up before.
  static constexpr std::uint32_t kEndpointsMax = 1u << 20;
  // http services; an Endpoint names its folder in a byte.
  static constexpr std::size_t kFoldersMax = 255;
  // Connections taken, or datagrams answered, per event; the set reports what is left again.
  static constexpr int kAcceptsPerEvent = 64;
  static constexpr int kDatagramsPerEvent = 64;
  // What a client may still send after an answer that ends the connection; then it is reset.
  static constexpr std::uint64_t kDrainMax = 1 << 20;
  static constexpr std::size_t kCycle =
      95 * 74;  // chargen's pattern repeats after 95 lines of 72 characters and CR LF

  enum class Role : std::uint8_t { kListener, kDatagram, kStream };

  // What is on its way to a client. Most connections wait for theirs, and have none.
  struct Outbox {
    std::string held;           // echo: read, not yet sent; http: request bytes
    std::size_t held_sent = 0;  // of `held`, or of the answer's text
    HttpAnswer answer;
  };
  // One descriptor of the stack; small, as a server has one per idle client.
  struct Endpoint {
    Endpoint(Role role_, ServiceKind kind_, std::uint8_t folder_, runtime::Descriptor fd_)
        : role(role_), kind(kind_), folder(folder_), fd(fd_) {}

    Role role;
    ServiceKind kind;
    bool input_ended : 1 = false;
    bool answering : 1 = false;     // http: the answer is not sent whole
    bool draining : 1 = false;      // http: all said; reads until the client has closed
    std::uint8_t interest : 3 = 0;  // what the epoll set watches: EPOLLIN, EPOLLOUT
    std::uint8_t folder;            // kHttp: index in folders_
    runtime::Descriptor fd;
    std::uint64_t position = 0;      // chargen: bytes sent; kDrain: bytes thrown away
    std::unique_ptr<Outbox> outbox;  // echo: while the client does not read; http: until all is said
  };

  std::expected<void, std::string> listen(const ServiceSpec& spec, std::uint8_t folder, int type);
  void serve(socket::Sockets& sockets, Endpoint& endpoint, std::uint32_t events, Instant now);
  void accept_streams(socket::Sockets& sockets, Endpoint& listener, Instant now);
  void answer_datagrams(socket::Sockets& sockets, Endpoint& endpoint, Instant now);
  // Each answers false when the connection is over.
  bool serve_discard(socket::Sockets& sockets, Endpoint& stream, Instant now);
  bool serve_chargen(socket::Sockets& sockets, Endpoint& stream, std::uint32_t events, Instant now);
  bool serve_echo(socket::Sockets& sockets, Endpoint& stream, Instant now);
  bool serve_http(socket::Sockets& sockets, Endpoint& stream, Instant now);
  bool send_answer(socket::Sockets& sockets, Endpoint& stream, Instant now);
  bool drain(socket::Sockets& sockets, Endpoint& stream, Instant now);
  void watch(socket::Sockets& sockets, Endpoint& endpoint, std::uint32_t interest, Instant now);
  void remove(socket::Sockets& sockets, Endpoint& endpoint, Instant now);
  void resume_accepting(socket::Sockets& sockets, Instant now);

  runtime::StackHost& host_;
  runtime::Descriptor set_ = -1;  // the epoll set
  std::vector<ServiceSpec> specs_;
  std::vector<std::unique_ptr<HttpFolder>> folders_;
  Slab<Endpoint> endpoints_{kEndpointsMax};  // the set's events carry their handles
  std::vector<Handle<Endpoint>> paused_;     // listeners that found no descriptor or memory for a connection
  std::vector<char> buffer_;                 // kChunk, for whatever is being moved
  std::vector<char> pattern_;                // chargen's, kCycle longer than kChunk
  std::size_t moved_ = 0;                    // bytes since the lock was taken
};

}  // namespace tapir::cli
