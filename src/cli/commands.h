// SPDX-License-Identifier: Apache-2.0
// The subcommands of `tapir`: what the command line says of each, and the function that does it. main.cc
// alone parses; a function prints to stdout, set-up errors as one sentence to stderr ("tapir NAME: …"), and
// returns the exit status: 0 done, 1 it failed, 2 the options mean nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/drill.h"

namespace tapir::cli {

// Where a running stack is asked when --control does not say: $TAPIR_CONTROL, else /run/tapir.sock for root,
// else tapir.sock in $XDG_RUNTIME_DIR, else /tmp/tapir-UID.sock.
std::string default_control_path();

// `tapir demo`: a guided tour of the stack; each step is checked.
enum class DemoWire : std::uint8_t { kAuto, kTap, kPacket, kMemory };
struct DemoOptions {
  DemoWire over = DemoWire::kAuto;  // --over: auto takes the first of tap, packet, memory that can be had
  bool json = false;                // --json: one object, with a verdict per step, and no text
  std::uint64_t bulk_bytes = std::uint64_t{500}
                             << 20;  // --bulk: bytes each way at most; a second and a half each at most
};
int demo_main(const DemoOptions& options);

// `tapir up`: a stack in the foreground, until SIGINT or SIGTERM. What the command line says wins over
// --config.
struct UpOptions {
  std::optional<std::string> device;    // --dev: "tap0", "tap:NAME", "packet:INTERFACE"
  std::vector<std::string> addresses;   // --addr 10.0.0.1/24, may be repeated
  std::optional<std::string> peer;      // --peer 10.0.0.2/24: the kernel's end of the TAP
  std::optional<std::string> gateway;   // --gateway 10.0.0.2
  std::optional<std::uint32_t> mtu;     // --mtu, bytes of IP packet
  std::vector<std::string> also;        // --also tapB=10.2.0.1/24: another interface; may be repeated
  std::optional<std::string> topology;  // --topology local|bridge
  std::optional<std::string> uplink;    // --uplink eth0: of the bridge
  std::optional<std::uint32_t> vlan;    // --vlan 5: 802.1Q
  bool detect_conflicts = false;        // --detect-conflicts: RFC 5227
  std::vector<std::string> serve;  // --serve echo:7,discard:9,chargen:19,http:80=DIR: already split at commas
  std::optional<std::string> pcap;     // --pcap FILE
  std::optional<std::string> impair;   // --impair "loss 1%, delay 10ms"
  std::vector<std::string> sysctls;    // --sysctl k=v, may be repeated
  std::optional<std::string> control;  // --control SOCKET; without it default_control_path()
  std::optional<std::string> config;   // --config FILE.toml
  friend bool operator==(const UpOptions&, const UpOptions&) = default;
};
int up_main(const UpOptions& options);

// `tapir run`: a program whose internet sockets are tapir's. Of UpOptions: device, addresses, peer, gateway,
// mtu, pcap, sysctls, control, config. Ends as the program ends; 127 there is no such program, 126 it cannot
// be executed.
struct RunOptions : UpOptions {
  std::vector<std::string> name_servers;  // --dns 10.0.0.2
  std::vector<std::string> only;          // --only tcp:80,8000-9000: already split at commas
  std::vector<std::string> except;        // --except 127.0.0.0/8
  bool quiet = false;                     // -q: does not say where the device is
  std::vector<std::string> program;       // and its arguments
};
int run_main(const RunOptions& options);

// What all commands on the control socket have in common.
struct ControlOptions {
  std::optional<std::string> control;  // --control SOCKET
  bool json = false;                   // --json
  std::string control_path() const { return control ? *control : default_control_path(); }
};

// `tapir ss`: sockets, as iproute2's ss shows them.
struct SsOptions : ControlOptions {
  bool tcp = false;                 // -t
  bool udp = false;                 // -u; neither: both
  bool all = false;                 // -a: listening ones too
  bool listening = false;           // -l: only those
  bool numeric = false;             // -n: always so; taken for habit's sake
  bool timers = false;              // -o
  bool info = false;                // -i
  bool extended = false;            // -e
  bool memory = false;              // -m
  bool no_header = false;           // -H
  bool raw = false;                 // -w
  bool packet = false;              // -0
  bool processes = false;           // -p: the stack's program holds them all; taken for habit's sake
  std::vector<std::string> filter;  // "state established", "sport = :80 and not dst 10.0.0.0/8"
};
int ss_main(const SsOptions& options);

// `tapir nstat`: counters under Linux's names; also the other tables of the stack.
struct NstatOptions : ControlOptions {
  bool zeros = false;                 // -z: also counters that are 0
  bool drops = false;                 // --drops: dropped packets by reason instead
  std::vector<std::string> patterns;  // only counters that match one of these ("TcpExt*"); none: all
};
int nstat_main(const NstatOptions& options);

// `tapir ping`: echo requests from the running stack.
struct PingOptions : ControlOptions {
  std::string destination;
  std::uint64_t count = 0;         // -c; 0: until interrupted
  double interval = 1;             // -i, seconds
  double timeout = 10;             // -W, seconds
  std::uint32_t size = 56;         // -s, payload bytes
  std::uint8_t ttl = 0;            // -t; 0: the stack's
  std::string discovery;           // -M: "do": may not be fragmented
  std::optional<double> deadline;  // -w, seconds: it ends then, answered or not
  bool stamps = false;             // -D: the time before each line
  bool quiet = false;              // -q
};
int ping_main(const PingOptions& options);
// tapip's `ping2`: with what the stack says of ARP, IP and ICMP meanwhile.
int ping2_main(const PingOptions& options);

// `tapir sysctl [-a] [NAME | NAME=VALUE]…`: knobs of the running stack.
struct SysctlOptions : ControlOptions {
  bool all = false;     // -a
  bool values = false;  // -n: without the names
  bool write = false;   // -w: only NAME=VALUE is meant
  std::vector<std::string> arguments;
};
int sysctl_main(const SysctlOptions& options);

// `tapir capture`: frames of the running stack, as text or pcapng.
struct CaptureOptions : ControlOptions {
  std::optional<std::string> file;       // -w FILE: pcapng; "-" is standard output
  std::optional<std::string> interface;  // -i NAME; none: all
  std::uint64_t count = 0;               // -c; 0: until interrupted
  std::optional<std::uint16_t> port;     // -p: only TCP and UDP of this port
  std::vector<std::string> expression;   // tcpdump's: pcap-filter(7)
};
int capture_main(const CaptureOptions& options);

// `tapir trace`: what the running stack decides, live.
struct TraceOptions : ControlOptions {
  std::vector<std::string> layers;  // --layer frame,ip,tcp…; none: all (observe::kLayers)
  std::uint64_t count = 0;          // -c: records; 0: until interrupted
};
int trace_main(const TraceOptions& options);

// `tapir ip [-j] [-s] [-br] OBJECT [ACTION] …`: interfaces, routes and neighbours, in iproute2's words.
struct IpOptions : ControlOptions {
  bool brief = false;       // -br
  bool statistics = false;  // -s
  std::vector<std::string> words;
};
int ip_main(const IpOptions& options);

// tapip's tables: `arpcache`, `route`, `ifconfig`.
enum class TapipTable : std::uint8_t { kArpCache, kRoute, kIfconfig };
int table_main(TapipTable table, const ControlOptions& options);

// `tapir stat`: what the stack holds; each count comes back to where it was, or something has leaked.
int stat_main(const ControlOptions& options);

// `tapir debug [-n | -c] TOPIC…`: what the stack says of the topics, live.
class BackgroundDebug;
struct DebugOptions : ControlOptions {
  bool background = false;           // -n: goes on while other commands run; in a shell
  bool clear = false;                // -c: no more of these topics; none: of none
  std::vector<std::string> topics;   // observe::kTopicNames
  BackgroundDebug* shell = nullptr;  // where -n and -c are possible; null: not in a shell
};
int debug_main(const DebugOptions& options);

// `tapir netstat -s [-r] [-i]`: counters in netstat's sentences.
struct NetstatOptions : ControlOptions {
  bool statistics = false;  // -s, as when nothing is said
  bool routes = false;      // -r
  bool interfaces = false;  // -i
};
int netstat_main(const NetstatOptions& options);

// `tapir nc`: bytes between our standard input and output and a socket of the running stack.
struct NcOptions : ControlOptions {
  bool udp = false;                          // -u
  bool listen = false;                       // -l
  bool keep = false;                         // -k: after one connection the next
  bool half_close = false;                   // -N: our end of input is a FIN
  bool no_input = false;                     // -d: nothing is read
  bool no_output = false;                    // nothing is printed, and our end of input ends it (snc -c)
  bool scan = false;                         // -z: connects, and no more
  bool verbose = false;                      // -v
  double wait = 0;                           // -w, seconds: for connecting, and without traffic; 0: for ever
  std::optional<double> quit;                // -q, seconds after the end of input
  std::optional<std::string> source;         // -s
  std::optional<std::uint16_t> source_port;  // -p; with -l the port to listen at
  std::vector<std::string> words;            // [HOST] PORT
};
int nc_main(const NcOptions& options);

// `tapir snc [-d] [-u] -b ADDRESS:PORT | -c ADDRESS:PORT`: tapip's simplex netcat.
struct SncOptions : ControlOptions {
  bool verbose = false;                // -d
  bool udp = false;                    // -u
  std::optional<std::string> bind;     // -b: listens and prints
  std::optional<std::string> connect;  // -c: connects and sends
};
int snc_main(const SncOptions& options);

// `tapir traceroute`: which routers lie on the way.
struct TracerouteOptions : ControlOptions {
  std::string destination;
  bool icmp = false;           // -I: echo requests instead of UDP datagrams
  std::uint8_t first = 1;      // -f
  std::uint8_t most = 30;      // -m
  std::uint8_t queries = 3;    // -q
  std::uint16_t port = 33434;  // -p: of the first datagram; one more for each
  double wait = 5;             // -w, seconds
  std::uint16_t size = 60;     // bytes of IP packet
};
int traceroute_main(const TracerouteOptions& options);

// `tapir arping`: who on the link has an address?
struct ArpingOptions : ControlOptions {
  std::string destination;
  std::optional<std::string> interface;  // -I; none: where the route leads
  std::optional<std::string> source;     // -s
  std::uint64_t count = 0;               // -c; 0: until interrupted
  double interval = 1;                   // -i, seconds
  std::optional<double> deadline;        // -w, seconds
  bool broadcast = false;                // -b: all requests by broadcast
  bool first = false;                    // -f: the first answer ends it
  bool detect = false;    // -D: from 0.0.0.0 (RFC 5227); an answer means that the address is taken
  bool announce = false;  // -U: our own address, by requests
  bool answer = false;    // -A: by replies
  bool quiet = false;     // -q
};
int arping_main(const ArpingOptions& options);

// `tapir shell`: commands on a stack, one after the other: a running one where --control says so, or where
// one is served at the default path and no option asks for another; else its own.
struct ShellOptions {
  UpOptions up;                         // of its own stack; up.control: a running one instead
  std::optional<std::string> commands;  // -c 'cmd; cmd'
};
// Runs one command of words; the exit status.
using CommandRunner = std::function<int(const std::vector<std::string>& words)>;
struct CommandName {
  std::string name;
  std::string summary;
  std::vector<std::string> completions;  // its options, and words that may follow
};
struct ShellTable {
  std::vector<CommandName> commands;
  CommandRunner run;
};
int shell_main(const ShellOptions& options, BackgroundDebug& debug, const ShellTable& table);

}  // namespace tapir::cli
