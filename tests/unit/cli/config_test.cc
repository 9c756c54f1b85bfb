// SPDX-License-Identifier: Apache-2.0
#include "cli/config.h"

#include <gtest/gtest.h>

#include "cli/services.h"

namespace tapir::cli {
namespace {

constexpr const char* kFile = "up.toml";

std::string error_of(std::string_view text) {
  const auto read = with_config_text({}, text, kFile);
  return read ? "" : read.error();
}

TEST(Config, HasEveryOptionUnderItsName) {
  const auto read = with_config_text(
      {},
      "dev = 'tap7'\naddr = ['10.1.0.1/24', '10.2.0.1/24']\npeer = '10.1.0.2/24'\ngateway = '10.1.0.2'\nmtu "
      "= 1400\n"
      "serve = 'echo:7, http:80=site'\npcap = 'x.pcapng'\nimpair = 'loss 1%'\ncontrol = '/tmp/c'\n"
      "[sysctl]\n'net.ipv4.tcp_sack' = 0\n'net.ipv4.tcp_rmem' = '4096 131072 6291456'\n",
      kFile);
  ASSERT_TRUE(read) << read.error();
  const UpOptions& options = read->options;
  EXPECT_EQ(options.device, "tap7");
  EXPECT_EQ(options.addresses, (std::vector<std::string>{"10.1.0.1/24", "10.2.0.1/24"}));
  EXPECT_EQ(options.peer, "10.1.0.2/24");
  EXPECT_EQ(options.gateway, "10.1.0.2");
  EXPECT_EQ(options.mtu, 1400U);
  EXPECT_EQ(options.serve, (std::vector<std::string>{"echo:7", "http:80=site"}));
  EXPECT_EQ(options.pcap, "x.pcapng");
  EXPECT_EQ(options.impair, "loss 1%");
  EXPECT_EQ(options.control, "/tmp/c");
  EXPECT_EQ(options.sysctls,
            (std::vector<std::string>{"net.ipv4.tcp_rmem=4096 131072 6291456", "net.ipv4.tcp_sack=0"}));
}

TEST(Config, CommandLineWins) {
  UpOptions line;
  line.device = "mine0";
  line.addresses = {"10.9.0.1/24"};
  line.sysctls = {"a=2"};
  const auto read =
      with_config_text(line, "dev = 'tap7'\naddr = '10.1.0.1/24'\nmtu = 1400\nsysctl = ['a=1']\n", kFile);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->options.device, "mine0");
  EXPECT_EQ(read->options.addresses, std::vector<std::string>{"10.9.0.1/24"});
  EXPECT_EQ(read->options.mtu, 1400U);
  EXPECT_EQ(read->options.sysctls, (std::vector<std::string>{"a=1", "a=2"}));
  EXPECT_EQ(read->origin("dev", "mine0"), "--dev: ");
  EXPECT_EQ(read->origin("mtu", "1400"), "up.toml:3: mtu: ");
  EXPECT_EQ(read->origin("sysctl", "a=1"), "up.toml:4: sysctl: ");
  EXPECT_EQ(read->origin("sysctl", "a=2"), "--sysctl: ");
}

TEST(Config, ErrorsNameTheLine) {
  EXPECT_TRUE(error_of("\nservice = 'echo'\n").starts_with("up.toml:2: there is no option 'service'"));
  EXPECT_TRUE(error_of("mtu = 'big'").starts_with("up.toml:1: mtu is a number"));
  EXPECT_TRUE(error_of("mtu = -1").starts_with("up.toml:1: mtu is a number"));
  EXPECT_TRUE(error_of("dev = 7").starts_with("up.toml:1: dev is a string"));
  EXPECT_TRUE(error_of("serve = [\n'echo',\n7]").starts_with("up.toml:3: serve is a string"));
  EXPECT_TRUE(error_of("[sysctl]\nnet.ipv4.tcp_sack = 0").starts_with("up.toml:2: the sysctl net"));
  EXPECT_TRUE(error_of("\n\ndev =").starts_with("up.toml:3: "));
  EXPECT_EQ(error_of(""), "");
}

TEST(Services, AreReadFromTheirText) {
  const auto http = parse_service("http:8080=/srv/a:b=c");
  ASSERT_TRUE(http);
  EXPECT_EQ(http->kind, ServiceKind::kHttp);
  EXPECT_EQ(http->port, 8080);
  EXPECT_EQ(http->folder, "/srv/a:b=c");
  const auto echo = parse_service("echo");
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->port, 7);
  for (const char* wrong : {"", "finger:79", "echo:", "echo:0", "echo:65536", "echo:7x", "echo:7=x", "http",
                            "http:80", "http:80="})
    EXPECT_FALSE(parse_service(wrong)) << wrong;
}

}  // namespace
}  // namespace tapir::cli
