// SPDX-License-Identifier: Apache-2.0
#include "cli/http.h"

#include <gtest/gtest.h>

namespace tapir::cli {
namespace {

HttpRequest one(std::string text) {
  auto request = take_http_request(text);
  EXPECT_TRUE(request);
  return request.value_or(HttpRequest{});
}

TEST(HttpRequest, IsTakenWhenItsHeadIsWhole) {
  const std::string whole = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::string part = whole.substr(0, size);
    EXPECT_FALSE(take_http_request(part)) << size;
    EXPECT_EQ(part.size(), size);
  }
  std::string two = whole + whole;
  const auto first = take_http_request(two);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->method, "GET");
  EXPECT_EQ(first->target, "/a?b");
  EXPECT_TRUE(first->keep_alive);
  EXPECT_EQ(first->refused, 0);
  EXPECT_EQ(two, whole);
}

TEST(HttpRequest, SaysWhetherTheConnectionStays) {
  EXPECT_TRUE(one("GET / HTTP/1.1\n\n").keep_alive);
  EXPECT_FALSE(one("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(one("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n").keep_alive);
  EXPECT_FALSE(one("GET / HTTP/1.1\r\nCONNECTION:close\r\n\r\n").keep_alive);
  EXPECT_FALSE(one("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").keep_alive);
  EXPECT_FALSE(one("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").keep_alive);
}

TEST(HttpRequest, ThatIsNoneIsRefused) {
  EXPECT_EQ(one("GET\r\n\r\n").refused, 400);
  EXPECT_EQ(one("GET /\r\n\r\n").refused, 400);
  EXPECT_EQ(one("GET / FTP/1.1\r\n\r\n").refused, 400);
  EXPECT_EQ(one("GET / HTTP/2.0\r\n\r\n").refused, 505);
  EXPECT_EQ(one("GET / HTTP/1.1\r\nno colon\r\n\r\n").refused, 400);
  EXPECT_EQ(one("GET / HTTP/1.1\r\n: x\r\n\r\n").refused, 400);
  EXPECT_EQ(one("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n").refused, 400);
  EXPECT_EQ(one("GET / HTTP/1.1\r\nA: " + std::string(kHttpHeadMax, 'x') + "\r\n\r\n").refused, 431);
  std::string endless(kHttpHeadMax + 1, 'x');
  EXPECT_EQ(take_http_request(endless)->refused, 431);
  EXPECT_TRUE(endless.empty());
}

}  // namespace
}  // namespace tapir::cli
