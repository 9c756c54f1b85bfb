// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "sim/drill/code.h"
#include "sim/drill/tcp_info.h"

namespace tapir::sim::drill {
namespace {

const CodeSnapshot kSnapshot = {
    {"tcpi_snd_cwnd", 10}, {"tcpi_options", 0x27}, {"tcpi_rtt", 20000}, {"tcpi_state", 1}};

// The failure's message, or "" when all holds.
std::string outcome(CodeInterpreter& interpreter, const std::string& code,
                    const CodeSnapshot& snapshot = kSnapshot) {
  const auto failure = interpreter.run(CodeEvent{code, {7, 3}}, snapshot);
  return failure ? failure->message : "";
}
std::string outcome(const std::string& code) {
  CodeInterpreter interpreter;
  return outcome(interpreter, code);
}

TEST(DrillCode, HoldsWhatIsTrue) {
  for (const char* code :
       {"assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
        "assert (tcpi_options & TCPI_OPT_SYN_DATA) != 0, tcpi_options",
        "assert 15000 <= tcpi_rtt <= 25000, 'rtt=%d' % tcpi_rtt", "assert tcpi_state == TCP_ESTABLISHED", "",
        "assert 1;\\\n  assert 2 ;", "\n# comment\nassert 2 + 3 * 4 == 14 and not 1 > 2\n",
        "assert 7 // 2 == 3 and -7 // 2 == -4 and -7 % 3 == 2",
        "assert 1 << 4 | 3 == 19 and 6 ^ 3 == 5 and ~0 == -1",
        "assert min(3, 1, 2) == 1 and max(3, 1) == 3 and abs(-4) == 4", "assert (1 ==\n 1)",
        "assert '%d-%x' % (10, 255) == '10-ff'", "x = 0x7fffffff; x += 1; assert x == 2147483648",
        "assert True and not False or 0"})
    EXPECT_EQ(outcome(code), "") << code;
}

TEST(DrillCode, SaysWhatIsFalseWithItsValues) {
  EXPECT_EQ(outcome("assert tcpi_snd_cwnd == 9, tcpi_snd_cwnd"),
            "assert tcpi_snd_cwnd == 9 failed: tcpi_snd_cwnd = 10");
  EXPECT_EQ(outcome("assert 1 <= tcpi_rtt <= 2"), "assert 1 <= tcpi_rtt <= 2 failed: tcpi_rtt = 20000");
  EXPECT_NE(outcome("assert 1 == 2, 'a %d' % 5").find("a 5"), std::string::npos);
  EXPECT_NE(outcome("assert not tcpi_snd_cwnd"), "");
}

TEST(DrillCode, RefusesWhatItDoesNotUnderstand) {
  for (const char* code : {"assert tcpi_nothing == 1", "import os", "assert 1 ==", "assert (1", "x += 1",
                           "assert 1 / 0", "assert 7 / 2 == 3", "assert 1.5 > 1", "assert 'a' < 1", "for",
                           "assert 1 2", "assert foo(1)", "x == 1", "assert '%d' % ()", "assert 'open"})
    EXPECT_NE(outcome(code), "") << code;
}

TEST(DrillCode, FailuresHaveTheirLine) {
  CodeInterpreter interpreter;
  const auto failure = interpreter.run(CodeEvent{"\nassert 1\n assert 0\n", {7, 3}}, {});
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->at.line, 9U);
}

TEST(DrillCode, VariablesLastAndSnapshotsDoNot) {
  CodeInterpreter interpreter;
  EXPECT_EQ(outcome(interpreter, "LIMIT = tcpi_snd_cwnd; print(LIMIT, 'x')"), "");
  EXPECT_EQ(outcome(interpreter, "assert LIMIT == 10", {}), "");
  EXPECT_NE(outcome(interpreter, "assert tcpi_snd_cwnd == 10", {}), "");
  ASSERT_EQ(interpreter.output().size(), 1U);
  EXPECT_EQ(interpreter.output()[0], "10 x");
}

TEST(DrillCode, NamesTheFieldsOfTcpInfo) {
  std::vector<std::uint8_t> info(kTcpInfoSize);
  info[0] = 1;
  info[6] = 0x87;
  info[80] = 10;
  info[192] = 5;
  CodeSnapshot names;
  add_tcp_info(info, names);
  CodeInterpreter interpreter;
  EXPECT_EQ(outcome(interpreter,
                    "assert tcpi_state == TCP_ESTABLISHED and tcpi_snd_wscale == 7 and tcpi_rcv_wscale == 8",
                    names),
            "");
  EXPECT_EQ(outcome(interpreter, "assert tcpi_snd_cwnd == 10 and tcpi_delivered == 5", names), "");
  // A shorter structure has fewer names, not zeros.
  CodeSnapshot few;
  add_tcp_info(Bytes(info).first(104), few);
  EXPECT_NE(outcome(interpreter, "assert tcpi_delivered == 0", few), "");
}

}  // namespace
}  // namespace tapir::sim::drill
