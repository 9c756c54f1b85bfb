// SPDX-License-Identifier: Apache-2.0
// Programs for simulated hosts, and the bytes they exchange.
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "sim/network.h"

namespace tapir::sim {

// The byte at a position of a stream is a function of both, so that a receiver knows what must come without
// having been told.
class Pattern {
 public:
  explicit Pattern(std::uint64_t seed) : seed_(seed) {}
  void fill(std::span<std::uint8_t> out, std::uint64_t position) const {
    for (std::size_t i = 0; i < out.size();) {
      const std::uint64_t word = mix(seed_ ^ ((position + i) / 8));
      for (std::uint64_t k = (position + i) % 8; k < 8 && i < out.size(); ++k, ++i)
        out[i] = static_cast<std::uint8_t>(word >> (8 * k));
    }
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
  }
  std::uint64_t seed_;
};

inline sockaddr_in address_of(const IpAddress& address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(address.v4_bits());
  return out;
}

// One end of a connection that sends a pattern, receives the other's and closes; both ends send and receive
// at once.
class Duplex : public Program {
 public:
  // `listen_port` != 0: wait for one connection there; else connect to `peer`.
  struct Config {
    std::uint16_t listen_port = 0;
    IpAddress peer{};
    std::uint16_t peer_port = 0;
    std::uint64_t send_bytes = 0;
    std::uint64_t receive_bytes = 0;
    std::uint64_t seed = 1;
  };
  explicit Duplex(const Config& config)
      : config_(config),
        out_(config.seed * 2 + (config.listen_port != 0 ? 1 : 0)),
        in_(config.seed * 2 + (config.listen_port != 0 ? 0 : 1)) {}

  void run(Host& host, Instant now) override {
    socket::Sockets& sockets = host.sockets();
    if (fd_ < 0 && !open(sockets, now)) return;
    if (fd_ < 0) return;
    send(sockets, now);
    receive(sockets, now);
    if (!closed_ && sent_ == config_.send_bytes && eof_) {
      sockets.close(fd_, now);
      closed_ = true;
    }
  }
  bool done() const override { return closed_ || !error_.empty(); }

  const std::string& error() const { return error_; }
  std::uint64_t received() const { return received_; }
  bool intact() const { return error_.empty() && received_ == config_.receive_bytes; }

 private:
  bool open(socket::Sockets& sockets, Instant now) {
    if (config_.listen_port != 0) {
      if (listener_ < 0) {
        listener_ = *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
        const sockaddr_in any = address_of(IpAddress::any_v4(), config_.listen_port);
        if (!sockets.bind(listener_, reinterpret_cast<const sockaddr*>(&any), sizeof any, now))
          return fail("bind");
        if (!sockets.listen(listener_, 8, now)) return fail("listen");
      }
      const auto accepted = sockets.accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK, now);
      if (!accepted) return accepted.error() == socket::Errno{EAGAIN} ? false : fail("accept");
      fd_ = *accepted;
      sockets.close(listener_, now);
      return true;
    }
    fd_ = *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
    const sockaddr_in peer = address_of(config_.peer, config_.peer_port);
    const auto connected = sockets.connect(fd_, reinterpret_cast<const sockaddr*>(&peer), sizeof peer, now);
    if (!connected && connected.error() != socket::Errno{EINPROGRESS}) return fail("connect");
    return true;
  }

  void send(socket::Sockets& sockets, Instant now) {
    while (sent_ < config_.send_bytes) {
      if (pending_.empty()) {
        pending_.resize(std::min<std::uint64_t>(block_.size(), config_.send_bytes - sent_));
        out_.fill(pending_, sent_);
        offset_ = 0;
      }
      const auto wrote =
          sockets.send(fd_, pending_.data() + offset_, pending_.size() - offset_, MSG_NOSIGNAL, now);
      if (!wrote) {
        if (wrote.error() != socket::Errno{EAGAIN} && wrote.error() != socket::Errno{ENOTCONN})
          fail("send errno " + std::to_string(static_cast<int>(wrote.error())));
        return;
      }
      sent_ += *wrote;
      offset_ += *wrote;
      if (offset_ == pending_.size()) pending_.clear();
    }
    if (!shut_) {
      if (sockets.shutdown(fd_, SHUT_WR, now)) shut_ = true;
    }
  }

  void receive(socket::Sockets& sockets, Instant now) {
    while (!eof_ && error_.empty()) {
      const auto got = sockets.recv(fd_, block_.data(), block_.size(), 0, now);
      if (!got) {
        if (got.error() != socket::Errno{EAGAIN} && got.error() != socket::Errno{ENOTCONN})
          fail("recv errno " + std::to_string(static_cast<int>(got.error())));
        return;
      }
      if (*got == 0) {
        eof_ = true;
        return;
      }
      expected_.resize(*got);
      in_.fill(expected_, received_);
      if (std::memcmp(expected_.data(), block_.data(), *got) != 0) {
        fail("wrong bytes at " + std::to_string(received_));
        return;
      }
      received_ += *got;
    }
  }

  bool fail(std::string what) {
    error_ = std::move(what);
    return false;
  }

  Config config_;
  Pattern out_;
  Pattern in_;
  socket::Descriptor listener_ = -1;
  socket::Descriptor fd_ = -1;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::size_t offset_ = 0;
  bool shut_ = false;
  bool eof_ = false;
  bool closed_ = false;
  std::string error_;
  std::vector<std::uint8_t> pending_;
  std::vector<std::uint8_t> expected_;
  std::array<std::uint8_t, 65536> block_{};
};

}  // namespace tapir::sim
