// SPDX-License-Identifier: Apache-2.0
// Arbitrary virtio_net_hdr in front of arbitrary frames, as a TAP device hands them over: through the
// driver's reading into a stack. Input: length (2 bytes) and bytes, header included, again and again.
#include <cstring>

#include "drivers/vnet_io.h"
#include "fuzz/input.h"
#include "fuzz/world.h"

namespace tapir::fuzz {
namespace {

// Spreads `bytes` over the two pieces that readv would fill.
void scatter(Bytes bytes, const iovec* pieces) {
  for (int i = 0; i < 2 && !bytes.empty(); ++i) {
    const std::size_t count = std::min(bytes.size(), pieces[i].iov_len);
    std::memcpy(pieces[i].iov_base, bytes.data(), count);
    bytes = bytes.subspan(count);
  }
}

void run(Input input) {
  World world(link::LinkType::kEthernet, std::size_t{64} << 20);
  socket::Sockets& sockets = world.sockets();
  const int listener = *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, world.now());
  const sockaddr_in any = address_of(IpAddress::any_v4(), 7);
  require(
      sockets.bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof any, world.now()).has_value(),
      "bind");
  require(sockets.listen(listener, 2, world.now()).has_value(), "listen");
  const std::size_t vnet_size = (input.u8() & 1) != 0 ? wire::kVnetHeaderLong : wire::kVnetHeaderShort;
  while (!input.empty()) {
    const std::size_t size = input.u16();
    const Bytes bytes = input.bytes(size);
    std::optional<Frame> frame;
    {
      drivers::VnetReceiver receiver(world.stack().frames(), vnet_size, &world.stack().counters(),
                                     world.now());
      const iovec* pieces = receiver.buffers();
      if (pieces == nullptr) break;
      scatter(bytes, pieces);
      frame = receiver.take(bytes.size());
    }
    if (frame && *frame) world.input(std::move(*frame));
    world.settle();
  }
  (void)sockets.close(listener, world.now());
  world.expect_nothing_left();
}

}  // namespace
}  // namespace tapir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tapir::fuzz::run({data, size});
  return 0;
}
