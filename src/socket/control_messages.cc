// SPDX-License-Identifier: Apache-2.0
#include "socket/control_messages.h"

#include <algorithm>
#include <cstring>

namespace tapir::socket {

ControlWriter::ControlWriter(msghdr& message)
    : message_(message), room_(message.msg_control != nullptr ? message.msg_controllen : 0) {
  message_.msg_controllen = 0;
}

void ControlWriter::put(int level, int type, const void* data, std::size_t size) {
  if (room_ < sizeof(cmsghdr)) {
    message_.msg_flags |= MSG_CTRUNC;
    return;
  }
  cmsghdr header{};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(size);
  if (room_ < header.cmsg_len) {
    message_.msg_flags |= MSG_CTRUNC;
    header.cmsg_len = room_;
  }
  char* to = static_cast<char*>(message_.msg_control) + message_.msg_controllen;
  std::memcpy(to, &header, sizeof(header));
  std::memcpy(to + CMSG_LEN(0), data, header.cmsg_len - CMSG_LEN(0));
  const std::size_t used = std::min<std::size_t>(CMSG_SPACE(size), room_);
  message_.msg_controllen += used;
  room_ -= used;
}

}  // namespace tapir::socket
