// SPDX-License-Identifier: Apache-2.0
// The subcommands of `tapir`: what the command line says of each, and the function that does it. main.cc alone parses; a function
// prints to stdout, set-up errors as one sentence to stderr ("tapir NAME: …"), and returns the exit status: 0 done, 1 it failed,
// 2 the options mean nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/drill.h"

namespace tapir::cli {

// Where a running stack is asked when --control does not say: $TAPIR_CONTROL, else /run/tapir.sock for root, else tapir.sock in
// $XDG_RUNTIME_DIR, else /tmp/tapir-UID.sock.
std::string default_control_path();

// `tapir demo`: a guided tour of the stack; each step is checked.
enum class DemoWire : std::uint8_t { kAuto, kTap, kPacket, kMemory };
struct DemoOptions {
  DemoWire over = DemoWire::kAuto;      // --over: auto takes the first of tap, packet, memory that can be had
  bool json = false;                    // --json: one object, with a verdict per step, and no text
  std::uint64_t bulk_bytes = std::uint64_t{500} << 20;   // --bulk: bytes each way at most; a second and a half each at most
};
int demo_main(const DemoOptions& options);

// `tapir up`: a stack in the foreground, until SIGINT or SIGTERM. What the command line says wins over --config.
struct UpOptions {
  std::optional<std::string> device;      // --dev: "tap0", "tap:NAME", "packet:INTERFACE"
  std::vector<std::string> addresses;     // --addr 10.0.0.1/24, may be repeated
  std::optional<std::string> peer;        // --peer 10.0.0.2/24: the kernel's end of the TAP
  std::optional<std::string> gateway;     // --gateway 10.0.0.2
  std::optional<std::uint32_t> mtu;       // --mtu, bytes of IP packet
  std::vector<std::string> serve;         // --serve echo:7,discard:9,chargen:19,http:80=DIR: already split at commas
  std::optional<std::string> pcap;        // --pcap FILE
  std::optional<std::string> impair;      // --impair "loss 1%, delay 10ms"
  std::vector<std::string> sysctls;       // --sysctl k=v, may be repeated
  std::optional<std::string> control;     // --control SOCKET; without it default_control_path()
  std::optional<std::string> config;      // --config FILE.toml
};
int up_main(const UpOptions& options);

// `tapir run`: a program whose internet sockets are tapir's. Of UpOptions: device, addresses, peer, gateway, mtu, pcap, sysctls, config.
// Ends as the program ends; 127 there is no such program, 126 it cannot be executed.
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
  std::optional<std::string> control;     // --control SOCKET
  bool json = false;                      // --json
  std::string control_path() const { return control ? *control : default_control_path(); }
};

// `tapir ss`: sockets, as iproute2's ss shows them.
struct SsOptions : ControlOptions {
  bool tcp = false;                       // -t
  bool udp = false;                       // -u; neither: both
  bool all = false;                       // -a: listening ones too
  bool listening = false;                 // -l: only those
  bool numeric = false;                   // -n: always so; taken for habit's sake
  bool timers = false;                    // -o
  bool info = false;                      // -i
  bool extended = false;                  // -e
  bool memory = false;                    // -m
  bool no_header = false;                 // -H
};
int ss_main(const SsOptions& options);

// `tapir nstat`: counters under Linux's names; also the other tables of the stack.
struct NstatOptions : ControlOptions {
  bool zeros = false;                     // -z: also counters that are 0
  bool drops = false;                     // --drops: dropped packets by reason instead
  std::vector<std::string> patterns;      // only counters that match one of these ("TcpExt*"); none: all
};
int nstat_main(const NstatOptions& options);

// `tapir ping`: echo requests from the running stack.
struct PingOptions : ControlOptions {
  std::string destination;
  std::uint64_t count = 0;                // -c; 0: until interrupted
  std::uint32_t interval_ms = 1000;       // -i, given in seconds ("0.2")
  std::uint32_t timeout_ms = 10'000;      // -W, given in seconds
  std::uint32_t size = 56;                // -s, payload bytes
  std::uint8_t ttl = 0;                   // -t; 0: the stack's
  bool dont_fragment = false;             // -M do
  bool quiet = false;                     // -q
};
int ping_main(const PingOptions& options);

// `tapir sysctl [-a] [NAME | NAME=VALUE]…`: knobs of the running stack.
struct SysctlOptions : ControlOptions {
  bool all = false;                       // -a
  bool values = false;                    // -n: without the names
  std::vector<std::string> arguments;
};
int sysctl_main(const SysctlOptions& options);

// `tapir capture`: frames of the running stack, as text or pcapng.
struct CaptureOptions : ControlOptions {
  std::optional<std::string> file;        // -w FILE: pcapng; "-" is standard output
  std::optional<std::string> interface;   // -i NAME; none: all
  std::uint64_t count = 0;                // -c; 0: until interrupted
  std::optional<std::uint16_t> port;      // -p: only TCP and UDP of this port
};
int capture_main(const CaptureOptions& options);

// `tapir trace`: what the running stack decides, live.
struct TraceOptions : ControlOptions {
  std::vector<std::string> layers;        // --layer frame,ip,tcp…; none: all (observe::kLayers)
  std::uint64_t count = 0;                // -c: records; 0: until interrupted
};
int trace_main(const TraceOptions& options);

}  // namespace tapir::cli
