// SPDX-License-Identifier: Apache-2.0
#include "observe/socket_filter.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace tapir::observe {
namespace {

using Json = nlohmann::ordered_json;

const Json kEstablished = {{"state", "ESTAB"}, {"local", "10.0.0.1:7"}, {"peer", "10.0.0.2:40000"}};
const Json kListening = {{"state", "LISTEN"}, {"local", "0.0.0.0:80"}, {"peer", "0.0.0.0:*"}};

bool wants(std::vector<std::string> words, const Json& row) {
  const auto filter = SocketFilter::parse(words);
  EXPECT_TRUE(filter) << filter.error();
  return filter && filter->wants(row);
}

TEST(SocketFilter, NothingSaidWantsAll) {
  EXPECT_TRUE(wants({}, kEstablished));
  EXPECT_FALSE(SocketFilter::parse({})->names_states());
}

TEST(SocketFilter, States) {
  EXPECT_TRUE(wants({"state", "established"}, kEstablished));
  EXPECT_FALSE(wants({"state", "established"}, kListening));
  EXPECT_TRUE(wants({"state", "established", "state", "listening"}, kListening));
  EXPECT_FALSE(wants({"exclude", "established"}, kEstablished));
  EXPECT_TRUE(wants({"state", "connected"}, kEstablished));
  EXPECT_FALSE(wants({"state", "connected"}, kListening));
  EXPECT_TRUE(
      SocketFilter::parse(std::vector<std::string>{"state", "all", "exclude", "listening"})->names_states());
}

TEST(SocketFilter, Expressions) {
  EXPECT_TRUE(wants({"sport = :7"}, kEstablished));
  EXPECT_TRUE(wants({"sport", "eq", "7"}, kEstablished));
  EXPECT_FALSE(wants({"sport!=:7"}, kEstablished));
  EXPECT_TRUE(wants({"dport >= :40000 and dport < 40001"}, kEstablished));
  EXPECT_TRUE(wants({"dst 10.0.0.0/24"}, kEstablished));
  EXPECT_FALSE(wants({"dst 10.0.1.0/24"}, kEstablished));
  EXPECT_TRUE(wants({"dst 10.0.0.2:40000 src 10.0.0.1"}, kEstablished));
  EXPECT_TRUE(wants({"not", "(", "sport = :80 or dst 10.9.9.9", ")"}, kEstablished));
  // "and" binds closer than "or".
  EXPECT_TRUE(wants({"sport = :7 or sport = :8 and dst 9.9.9.9"}, kEstablished));
}

TEST(SocketFilter, WhatMeansNothingIsSaid) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"state", "nosuch"},
                                                {"state"},
                                                {"sport"},
                                                {"sport = :x"},
                                                {"sport ~ :7"},
                                                {"dst nowhere"},
                                                {"("},
                                                {"sport = :7 )"},
                                                {"and"},
                                                {"nosuch"},
                                                {"not"}})
    EXPECT_FALSE(SocketFilter::parse(words)) << words.front();
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "( ";
  EXPECT_FALSE(SocketFilter::parse(std::vector<std::string>{deep}));
}

}  // namespace
}  // namespace tapir::observe
