// SPDX-License-Identifier: Apache-2.0
// The memory that the arguments of a script's call point to.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "inet/endpoint.h"

namespace tapir::sim::drill {

inline socklen_t write_address(const Endpoint& endpoint, sockaddr_storage& storage) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = to_big_endian(endpoint.port);
  address.sin_addr.s_addr = to_big_endian(endpoint.address.v4_bits());
  std::memcpy(&storage, &address, sizeof(address));
  return sizeof(address);
}

inline std::optional<Endpoint> read_address(const sockaddr_storage& storage, socklen_t length) {
  if (storage.ss_family != AF_INET || length < sizeof(sockaddr_in)) return std::nullopt;
  sockaddr_in address;
  std::memcpy(&address, &storage, sizeof(address));
  return Endpoint{IpAddress::v4(to_big_endian(std::uint32_t{address.sin_addr.s_addr})),
                  to_big_endian(std::uint16_t{address.sin_port})};
}

struct CallMemory {
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<iovec> pieces;
  msghdr message{};
  sockaddr_storage address{};
  socklen_t address_length = sizeof(sockaddr_storage);
  std::vector<std::uint8_t> control;
  std::vector<pollfd> polled;
  std::vector<epoll_event> events;
  std::vector<std::uint8_t> option;
  socklen_t option_length = 0;
  int number = 0;

  // One more of `pieces`, a buffer of `size` bytes that hold `fill`; `null`: a null pointer. Where it is.
  void* add_piece(bool null, std::size_t size, std::uint8_t fill) {
    iovec piece{nullptr, size};
    if (!null) {
      buffers.emplace_back(std::max<std::size_t>(size, 1), fill);
      piece.iov_base = buffers.back().data();
    }
    pieces.push_back(piece);
    return piece.iov_base;
  }
  // `message` is of all pieces.
  void attach_pieces() {
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
  }
};

}  // namespace tapir::sim::drill
