// SPDX-License-Identifier: Apache-2.0
#include "differential/controls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <vector>

namespace tapir::differential {
namespace {

class Builder {
 public:
  template <typename T>
  Builder& add(int level, int type, const T& value) {
    return add_bytes(level, type, &value, sizeof value);
  }
  Builder& add_bytes(int level, int type, const void* value, std::size_t size) {
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(size);
    header.cmsg_level = level;
    header.cmsg_type = type;
    ::memcpy(example_.bytes.data() + example_.size, &header, sizeof header);
    if (size != 0) ::memcpy(example_.bytes.data() + example_.size + CMSG_LEN(0), value, size);
    example_.size += CMSG_SPACE(size);
    return *this;
  }
  // The first message's length says something else.
  Builder& claim(std::size_t length) {
    ::memcpy(example_.bytes.data(), &length, sizeof length);
    return *this;
  }
  Builder& cut(std::size_t size) {
    example_.size = size;
    return *this;
  }
  Builder& null() {
    example_.null = true;
    return *this;
  }
  operator ControlExample() const { return example_; }

 private:
  ControlExample example_;
};

in_pktinfo info(unsigned host_order, int interface = 0) {
  in_pktinfo told{};
  told.ipi_ifindex = interface;
  told.ipi_spec_dst.s_addr = htonl(host_order);
  return told;
}

std::vector<ControlExample> examples(const Place& place) {
  const unsigned own = 0x7f000001 | place.net << 8;
  constexpr unsigned kForeign = 0xc0000205;
  const unsigned char byte = 0x10;
  const unsigned four_nops = 0x01010101;
  const unsigned bad_options = 0x07010107;
  return {
      Builder().add(SOL_IP, IP_TTL, 7),
      Builder().add(SOL_IP, IP_TTL, 255),
      Builder().add(SOL_IP, IP_TTL, 0),
      Builder().add(SOL_IP, IP_TTL, 256),
      Builder().add(SOL_IP, IP_TTL, byte),
      Builder().add(SOL_IP, IP_TOS, 0x28),
      Builder().add(SOL_IP, IP_TOS, byte),
      Builder().add(SOL_IP, IP_TOS, 256),
      Builder().add(SOL_IP, IP_TOS, -1),
      Builder().add(SOL_IP, IP_PKTINFO, info(own)),
      Builder().add(SOL_IP, IP_PKTINFO, info(own + 1)),
      Builder().add(SOL_IP, IP_PKTINFO, info(kForeign)),
      Builder().add(SOL_IP, IP_PKTINFO, info(0)),
      Builder().add(SOL_IP, IP_PKTINFO, info(0, 1)),
      Builder().add(SOL_IP, IP_PKTINFO, info(own, 99)),
      Builder().add(SOL_IP, IP_PKTINFO, info(own, -1)),
      Builder().add(SOL_IP, IP_PKTINFO, 5),
      Builder().add(SOL_IP, IP_RETOPTS, four_nops),
      Builder().add(SOL_IP, IP_RETOPTS, bad_options),
      Builder().add(SOL_IP, IP_RETOPTS, byte),
      Builder().add(SOL_IP, 52, 17),  // IP_PROTOCOL
      Builder().add(SOL_IP, 52, 0),
      Builder().add(SOL_IP, 52, 256),
      Builder().add(SOL_IP, 999, 1),
      Builder().add(SOL_SOCKET, SO_MARK, 5),
      Builder().add(SOL_SOCKET, SO_MARK, byte),
      Builder().add(SOL_SOCKET, SO_PRIORITY, 5),
      Builder().add(SOL_SOCKET, SO_PRIORITY, 7),
      Builder().add(SOL_SOCKET, SO_TIMESTAMPING, 1 << 30),
      Builder().add(SOL_SOCKET, SO_TIMESTAMPING, byte),
      Builder().add(SOL_SOCKET, SO_RCVBUF, 1),
      Builder().add_bytes(SOL_SOCKET, SCM_RIGHTS, nullptr, 0),
      Builder().add(SOL_TCP, 999, 1),
      Builder().add(SOL_UDP, 999, 1),
      Builder().add(SOL_IPV6, 50, 1),
      Builder().add(12345, 1, 1),
      Builder().add(SOL_IP, IP_TTL, 9).add(SOL_IP, IP_TOS, 8),
      Builder().add(SOL_IP, IP_TTL, 9).add(SOL_IP, IP_TTL, 300),
      Builder().add(SOL_IP, IP_TTL, 9).add(SOL_SOCKET, SO_RCVBUF, 1),
      Builder().add(SOL_IP, IP_TTL, 9).claim(8),
      Builder().add(SOL_IP, IP_TTL, 9).claim(0),
      Builder().add(SOL_IP, IP_TTL, 9).claim(200),
      Builder().add(SOL_IP, IP_TTL, 9).claim(sizeof(cmsghdr)),
      Builder().add(SOL_IP, IP_TTL, 9).cut(8),
      Builder().add(SOL_IP, IP_TTL, 9).cut(sizeof(cmsghdr)),
      Builder().add(SOL_IP, IP_TTL, 9).add(SOL_IP, IP_TOS, 8).cut(CMSG_SPACE(4) + 8),
      Builder().add(SOL_IP, IP_TTL, 9).null(),
  };
}

OptionsExample options(std::initializer_list<unsigned char> bytes, unsigned size = 0) {
  OptionsExample example;
  std::copy(bytes.begin(), bytes.end(), example.bytes.begin());
  example.size = size != 0 ? size : static_cast<unsigned>(bytes.size());
  return example;
}

const std::vector<OptionsExample>& all_options() {
  static const std::vector<OptionsExample> kAll = [] {
    std::vector<OptionsExample> all = {
        OptionsExample{},                             // none
        options({1, 1, 1, 1}),                        // nothing but padding
        options({1}),                                 // made a multiple of four
        options({7, 7, 4, 0, 0, 0, 0}),               // record route
        options({7, 7, 4, 9, 9, 9, 9}),               // its entry is cleared
        options({7, 39, 4}, 39),                      // all that fits
        options({7, 11, 8, 1, 2, 3, 4, 0, 0, 0, 0}),  // half full
        options({7, 7, 8, 1, 2, 3, 4}),               // full
        options({7, 7, 5, 0, 0, 0, 0}),               // too short for the next
        options({7, 7, 3, 0, 0, 0, 0}),               // the pointer points at itself
        options({7, 2}),                              // no pointer
        options({7, 7, 4, 0, 0, 0, 0, 7, 7, 4, 0, 0, 0, 0}),
        options({68, 12, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8}),  // timestamps
        options({68, 12, 5, 1, 1, 2, 3, 4, 5, 6, 7, 8}),  // with addresses
        options({68, 12, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8}),  // no room for both
        options({68, 8, 9, 0xf0, 1, 2, 3, 4}),            // overflown
        options({68, 8, 9, 0x20, 1, 2, 3, 4}),
        options({68, 8, 4, 0, 1, 2, 3, 4}),
        options({68, 3, 5}),
        options({148, 4, 0, 0}),  // router alert
        options({148, 3, 0}),
        options({0x5e, 4, 0, 0}),  // an experiment: for the privileged
        options({130, 3, 0}),
        options({7, 0, 4}),               // no length
        options({7, 20, 4, 0, 0, 0, 0}),  // longer than all
        options({7}),                     // no length at all
        options({1, 0, 7, 7}),            // behind the end there is nothing
        options({1, 1, 0, 200, 200}),
        options({7, 7, 4}, 41),              // too much
        options({131, 7, 4, 127, 0, 0, 1}),  // source routes
        options({137, 11, 4, 127, 0, 0, 1, 127, 0, 0, 2}),
        options({131, 7, 8, 127, 0, 0, 1}),
    };
    OptionsExample null = options({7, 7, 4, 0, 0, 0, 0});
    null.null = true;
    all.push_back(null);
    return all;
  }();
  return kAll;
}

}  // namespace

int control_examples() { return static_cast<int>(examples({}).size()); }
ControlExample control_example(const Place& place, int index) {
  return examples(place)[static_cast<std::size_t>(index)];
}
int options_examples() { return static_cast<int>(all_options().size()); }
OptionsExample options_example(int index) { return all_options()[static_cast<std::size_t>(index)]; }

}  // namespace tapir::differential
