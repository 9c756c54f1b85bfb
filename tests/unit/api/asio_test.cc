// SPDX-License-Identifier: Apache-2.0
#if __has_include(<asio.hpp>)

// Debian's Asio takes clang's coroutines for those of before C++20, and leaves its own out.
#define ASIO_HAS_CO_AWAIT 1

#include <gtest/gtest.h>

#include <array>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>
#include <string>
#include <tapir/asio.hpp>
#include <tapir/stack.hpp>
#include <thread>

namespace tapir {
namespace {

struct AsioTest : testing::Test {
  std::pair<CableEnd, CableEnd> cable = make_cable();
  Stack one = *StackBuilder().cable(std::move(cable.first)).address("10.0.0.1/24").build();
  Stack other = *StackBuilder().cable(std::move(cable.second)).address("10.0.0.2/24").build();
  asio::io_context context;
  AsioAcceptor acceptor{context.get_executor(), std::move(*Listener::open(one, "10.0.0.1:7"))};
};

TEST_F(AsioTest, ComposedOperationsWorkOnTheStream) {
  std::string heard;
  asio::error_code ended;
  std::string line;
  std::string rest(100'000, ' ');
  std::unique_ptr<AsioStream> server;
  acceptor.async_accept([&](asio::error_code error, AsioStream stream) {
    ASSERT_FALSE(error) << error.message();
    server = std::make_unique<AsioStream>(std::move(stream));
    asio::async_read_until(
        *server, asio::dynamic_buffer(line), '\n', [&](asio::error_code, std::size_t size) {
          heard = line.substr(0, size);
          line.erase(0, size);
          const std::size_t had = line.size();
          line.resize(rest.size());
          asio::async_read(*server, asio::buffer(line.data() + had, line.size() - had),
                           [&](asio::error_code failed, std::size_t) {
                             EXPECT_FALSE(failed);
                             asio::async_read(*server, asio::buffer(rest),
                                              [&](asio::error_code end, std::size_t size_of_nothing) {
                                                ended = end;
                                                EXPECT_EQ(size_of_nothing, 0U);
                                              });
                           });
        });
  });
  std::string much = "a line\n" + std::string(100'000, 'y');
  std::unique_ptr<AsioStream> client;
  async_connect(context.get_executor(), other, "10.0.0.1:7", [&](asio::error_code error, AsioStream stream) {
    ASSERT_FALSE(error) << error.message();
    client = std::make_unique<AsioStream>(std::move(stream));
    asio::async_write(*client, asio::buffer(much), [&](asio::error_code failed, std::size_t size) {
      EXPECT_FALSE(failed);
      EXPECT_EQ(size, much.size());
      asio::error_code ignored;
      client->shutdown(SHUT_WR, ignored);
    });
  });
  context.run();
  EXPECT_EQ(heard, "a line\n");
  EXPECT_EQ(line, std::string(100'000, 'y'));
  EXPECT_EQ(ended, asio::error::eof);
}

TEST_F(AsioTest, ErrorsAreAsios) {
  auto refused = async_connect(context.get_executor(), other, "10.0.0.1:9", asio::use_future);
  context.run();
  try {
    refused.get();
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), asio::error::connection_refused);
  }
}

TEST_F(AsioTest, CloseAborts) {
  asio::error_code seen;
  acceptor.async_accept([&](asio::error_code error, AsioStream stream) {
    seen = error;
    EXPECT_FALSE(stream.is_open());
  });
  asio::post(context, [&] { acceptor.close(); });
  context.run();
  EXPECT_EQ(seen, asio::error::operation_aborted);
}

TEST_F(AsioTest, CoroutinesOfAsioWork) {
  const auto serve = [](AsioAcceptor& at) -> asio::awaitable<void> {
    AsioStream stream = co_await at.async_accept(asio::use_awaitable);
    std::array<char, 100> buffer;
    for (;;) {
      asio::error_code error;
      const std::size_t size = co_await stream.async_read_some(
          asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      co_await asio::async_write(stream, asio::buffer(buffer.data(), size), asio::use_awaitable);
    }
  };
  asio::co_spawn(context, serve(acceptor), asio::detached);
  std::jthread running([&] { context.run(); });
  auto client = Socket::connect(other, "10.0.0.1:7");
  ASSERT_TRUE(client) << client.error();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(client->send("echo"), 4U);
    std::array<char, 4> echoed;
    ASSERT_EQ(client->receive(std::span<char>(echoed), MSG_WAITALL), 4U);
    EXPECT_EQ(std::string_view(echoed.data(), 4), "echo");
  }
}

}  // namespace
}  // namespace tapir

#endif
