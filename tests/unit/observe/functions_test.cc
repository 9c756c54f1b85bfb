// SPDX-License-Identifier: Apache-2.0
// The functions that the ladders name are those of the code.
#include "observe/functions.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "wire/tcp_segment.h"

namespace tapir::observe {
namespace {

// All of tcp/ and socket/, where the steps happen.
std::string sources() {
  std::string all;
  for (const char* room : {"tcp", "socket"})
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(TAPIR_SOURCE_DIR) + "/src/" + room)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path());
      std::ostringstream text;
      text << file.rdbuf();
      all += text.str();
    }
  return all;
}

std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(by, begin)) != std::string::npos; begin = at + by.size())
    parts.push_back(text.substr(begin, at - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

// Is `name` a member of `type` that is defined somewhere, in its class or outside?
bool defined(const std::string& code, const std::string& type, const std::string& name) {
  if (code.find(type + "::" + name + "(") != std::string::npos ||
      code.find(type + "::State_::" + name + "(") != std::string::npos)
    return true;
  // Inline, or a static function of a struct: in the class's body.
  for (const std::string& keyword : {"class " + type + " ", "struct " + type + " "}) {
    const std::size_t at = code.find(keyword);
    if (at == std::string::npos) continue;
    const std::size_t member = code.find(' ' + name + '(', at), end = code.find("\n};", at);
    if (member < end) return true;
  }
  return false;
}

TEST(Functions, OfTapirExist) {
  const std::string code = sources();
  ASSERT_FALSE(code.empty());
  for (int i = 0; i < kStepCount; ++i) {
    std::string type;
    for (const std::string& call : split(std::string(functions_of(static_cast<Step>(i)).tapir), " → "))
      for (std::string name : split(call, " or ")) {
        name = name.substr(0, name.find('('));  // enter(FIN-WAIT-2)
        if (const std::size_t colons = name.find("::"); colons != std::string::npos) {
          type = name.substr(0, colons);
          name = name.substr(colons + 2);
        }
        EXPECT_TRUE(defined(code, type, name)) << type << "::" << name << " of step " << i;
      }
  }
}

TEST(Functions, EveryStepHasBothChains) {
  for (int i = 0; i < kStepCount; ++i) {
    const Chains& chains = functions_of(static_cast<Step>(i));
    EXPECT_FALSE(chains.tapir.empty()) << i;
    EXPECT_FALSE(chains.linux_kernel.empty()) << i;
  }
}

TEST(Functions, StepsOfAPassiveOpenAndActiveClose) {
  using tcp::State;
  using namespace wire;
  EXPECT_EQ(step_of(true, kSyn, 0, State::kListen, State::kSynReceived), Step::kSynIn);
  EXPECT_EQ(step_of(false, kSyn | kAck, 0, State::kSynReceived, State::kSynReceived), Step::kSynAckOut);
  EXPECT_EQ(step_of(true, kAck, 0, State::kSynReceived, State::kEstablished), Step::kHandshakeDone);
  EXPECT_EQ(step_of(true, kAck | kPsh, 5, State::kEstablished, State::kEstablished), Step::kDataIn);
  EXPECT_EQ(step_of(false, kAck, 0, State::kEstablished, State::kEstablished), Step::kAckOut);
  EXPECT_EQ(step_of(false, kFin | kAck, 0, State::kEstablished, State::kFinWait1), Step::kCloseOut);
  EXPECT_EQ(step_of(true, kAck, 0, State::kFinWait1, State::kFinWait2), Step::kFinAckedIn);
  EXPECT_EQ(step_of(true, kFin | kAck, 0, State::kFinWait2, State::kTimeWait), Step::kPeerFinalIn);
  EXPECT_EQ(step_of(false, kAck, 0, State::kTimeWait, State::kTimeWait), Step::kTimeWaitAck);
}

TEST(Functions, StepsOfAnActiveOpenAndPassiveClose) {
  using tcp::State;
  using namespace wire;
  EXPECT_EQ(step_of(false, kSyn, 0, State::kClosed, State::kSynSent), Step::kConnect);
  EXPECT_EQ(step_of(true, kSyn | kAck, 0, State::kSynSent, State::kEstablished), Step::kSynAckIn);
  EXPECT_EQ(step_of(true, kFin | kAck, 0, State::kEstablished, State::kCloseWait), Step::kPeerCloseIn);
  EXPECT_EQ(step_of(false, kFin | kAck, 0, State::kCloseWait, State::kLastAck), Step::kCloseReplyOut);
  EXPECT_EQ(step_of(true, kAck, 0, State::kLastAck, State::kClosed), Step::kLastAckIn);
  EXPECT_EQ(step_of(true, kRst | kAck, 0, State::kSynSent, State::kClosed), Step::kRefusedIn);
}

}  // namespace
}  // namespace tapir::observe
