// SPDX-License-Identifier: Apache-2.0
// The `tapir` command: what the command line says becomes an options struct (commands.h), and its function is
// called. The one file that knows CLI11; a shell's lines are parsed by the same table.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "cli/background_debug.h"
#include "cli/commands.h"

namespace tapir::cli {

namespace {

// CMakeLists.txt's project version.
constexpr const char* kVersion = TAPIR_VERSION;

// What the subcommand that was given will run.
using Run = std::function<int()>;

// A subcommand, its options, and where they are filled in.
template <typename Options>
struct Command {
  CLI::App* app = nullptr;
  std::shared_ptr<Options> options = std::make_shared<Options>();
};

CLI::App* add_app(CLI::App& app, const char* name, const char* what) {
  CLI::App* command = app.add_subcommand(name, what);
  command->set_help_flag("-h,--help", "print this help");
  return command;
}

template <typename Options>
Command<Options> add_command(CLI::App& app, Run& run, const char* name, const char* what,
                             int (*main)(const Options&)) {
  Command<Options> command;
  command.app = add_app(app, name, what);
  if constexpr (std::is_base_of_v<ControlOptions, Options>) {
    command.app
        ->add_option("--control", command.options->control, "of the running stack: " + default_control_path())
        ->type_name("SOCKET");
    command.app->add_flag("--json", command.options->json, "JSON instead of text");
  }
  command.app->callback(
      [options = command.options, main, &run] { run = [options, main] { return main(*options); }; });
  return command;
}

// A flag of another program that says what is always so here: taken for habit's sake.
void add_habit(CLI::App* command, const char* flags, const char* what) {
  const std::string text = std::string(what) + ", as always";
  command->add_flag(flags, text);
}

const CLI::Range kSeconds(0.0, 3600.0);

void add_demo(CLI::App& app, Run& run) {
  auto [command, options] = add_command(
      app, run, "demo", "a guided tour of the stack against the kernel; each step is checked", demo_main);
  static const std::map<std::string, DemoWire> kWires{{"auto", DemoWire::kAuto},
                                                      {"tap", DemoWire::kTap},
                                                      {"packet", DemoWire::kPacket},
                                                      {"memory", DemoWire::kMemory}};
  command
      ->add_option("--over", options->over,
                   "the wire: tap, packet (AF_PACKET on a veth pair), memory (two tapir stacks), auto")
      ->transform(CLI::CheckedTransformer(kWires, CLI::ignore_case).description(""))
      ->type_name("WIRE");
  command->add_option("--bulk", options->bulk_bytes, "bytes to move each way at most, e.g. 100MB")
      ->transform(CLI::AsSizeValue(false));
  command->add_flag("--json", options->json, "one JSON object instead of text");
}

void add_drill(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "drill",
                  "run packetdrill scripts against a stack in this process, on virtual time", drill_main);
  command->add_option("paths", options->paths, "scripts, and folders that are searched for *.pkt")
      ->type_name("FILE|DIR");
  command->add_option("-j,--jobs", options->jobs, "scripts run at the same time");
  command->add_flag("-v,--verbose", options->verbose, "each event with its time");
  command->add_flag("--diff", options->diff, "of a failure only expected and got");
  command->add_flag("--json", options->json, "one JSON object instead of text");
  command->add_option("--family", options->family, "ipv4, ipv6 or mapped");
  command->add_option("-D,--define", options->defines, "NAME=VALUE")->allow_extra_args(false);
  command->add_option("--tolerance_usecs", options->tolerance_usecs,
                      "how late or early a packet may be, in microseconds");
  command->add_option("--mtu", options->mtu, "of the script's interface");
  command->add_option("--local_ip", options->local_ip, "the address of the stack under test");
  command->add_option("--remote_ip", options->remote_ip, "the address of the script's end");
  command->add_option("--gateway_ip", options->gateway_ip, "taken for packetdrill's sake");
  command->add_option("--ip_version", options->ip_version, "ipv4, ipv6, ipv4-mapped-ipv6");
  command->add_option("--tcp_ts_tick_usecs", options->tcp_ts_tick_usecs,
                      "length of a tick of TCP timestamps");
  command->add_flag("--strict_segments", options->strict_segments,
                    "super-segments are not merged in comparisons");
}

// What any stack is made with.
template <typename Options>
void add_wire_options(CLI::App* command, Options& options, const char* device) {
  command->add_option("--dev", options.device, device)->type_name("DEVICE");
  command->add_option("--addr", options.addresses, "the stack's address, e.g. 10.0.0.1/24; may be repeated")
      ->allow_extra_args(false)
      ->type_name("PREFIX");
  command->add_option("--peer", options.peer, "the kernel's end of the TAP, e.g. 10.0.0.2/24")
      ->type_name("PREFIX");
  command->add_option("--gateway", options.gateway, "where the default route leads")->type_name("ADDRESS");
  command->add_option("--mtu", options.mtu, "bytes of IP packet");
  command->add_option("--pcap", options.pcap, "capture all frames to a pcapng file")->type_name("FILE");
  command->add_option("--sysctl", options.sysctls, "a knob, NAME=VALUE; may be repeated")
      ->allow_extra_args(false)
      ->type_name("K=V");
  command->add_option("--config", options.config, "the same settings from a file; the command line wins")
      ->type_name("FILE.toml");
}

// Of `up`, and of a shell that has its own.
void add_stack_options(CLI::App* command, UpOptions& options) {
  add_wire_options(command, options, "tap0 (a TAP interface is made) or packet:INTERFACE");
  command->add_option("--serve", options.serve, "echo:7,discard:9,chargen:19,http:80=DIR")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("SERVICES");
  command->add_option("--impair", options.impair, "a bad wire, e.g. \"loss 1%, delay 10ms\"")
      ->type_name("FAULTS");
}

void add_up(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "up", "run a stack in the foreground, until Ctrl-C", up_main);
  add_stack_options(command, *options);
  command
      ->add_option("--also", options->also,
                   "another interface, e.g. tapB=10.2.0.1/24 (to route between them: --sysctl "
                   "net.ipv4.ip_forward=1), or a VLAN, e.g. tap0.42=10.3.0.1/24")
      ->allow_extra_args(false)
      ->type_name("DEV=ADDRESS/LENGTH");
  command
      ->add_option("--topology", options->topology,
                   "local: the kernel is the stack's gateway; bridge: the stack takes the place of the "
                   "kernel's on a bridge")
      ->type_name("local|bridge");
  command
      ->add_option("--uplink", options->uplink,
                   "of --topology bridge: the kernel's interface (default: that of its default route)")
      ->type_name("INTERFACE");
  command->add_option("--vlan", options->vlan, "send and take frames with this 802.1Q tag only")
      ->type_name("ID");
  command->add_flag("--detect-conflicts", options->detect_conflicts,
                    "ask for each address before it is used, and defend it (RFC 5227)");
  command->add_option("--control", options->control, "where the tools ask: " + default_control_path())
      ->type_name("SOCKET");
}

// The arguments after "--" are `tapir run`'s program and its own: CLI11 must not read them.
std::vector<std::string>& after_dashes() {
  static std::vector<std::string> arguments;
  return arguments;
}

int cut_at_dashes(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--") {
      after_dashes().assign(argv + i + 1, argv + argc);
      return i;
    }
  return argc;
}

void add_run(CLI::App& app, Run& run) {
  auto [command, options] = add_command<RunOptions>(
      app, run, "run",
      "run a program whose internet sockets are tapir's: tapir run [OPTION...] -- PROGRAM [ARGUMENT...]",
      [](const RunOptions& given) {
        RunOptions whole = given;
        whole.program = after_dashes();
        return run_main(whole);
      });
  add_wire_options(command, *options, "name of the TAP interface that is made");
  command->add_option("--dns", options->name_servers, "name servers; else /etc/resolv.conf's")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("ADDRESS");
  command
      ->add_option("--only", options->only,
                   "ports that are tapir's, e.g. tcp:80,8000-9000; all others stay the kernel's")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("PORTS");
  command->add_option("--except", options->except, "networks that stay the kernel's, e.g. 127.0.0.0/8")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("PREFIX");
  command
      ->add_option("--control", options->control,
                   "where `tapir ss`, nstat, sysctl and trace ask; without it nowhere")
      ->type_name("SOCKET");
  command->add_flag("-q,--quiet", options->quiet, "do not say where the device is");
}

// ---- tools: subcommands of `tapir`, and the commands of its shell ----

void add_ss(CLI::App& app, Run& run) {
  auto [command, options] = add_command(app, run, "ss", "sockets of the running stack", ss_main);
  command->add_flag("-t,--tcp", options->tcp, "TCP sockets");
  command->add_flag("-u,--udp", options->udp, "UDP sockets");
  command->add_flag("-w,--raw", options->raw, "RAW and ping sockets");
  command->add_flag("-0,--packet", options->packet, "packet sockets");
  command->add_flag("-a,--all", options->all, "listening ones too");
  command->add_flag("-l,--listening", options->listening, "only listening ones");
  command->add_flag("-o,--options", options->timers, "timers");
  command->add_flag("-i,--info", options->info, "TCP's figures");
  command->add_flag("-e,--extended", options->extended, "what names them in traces");
  command->add_flag("-m,--memory", options->memory, "buffers");
  command->add_flag("-p,--processes", options->processes, "who holds them: always the stack's own process");
  command->add_flag("-H,--no-header", options->no_header, "rows only");
  add_habit(command, "-n,--numeric", "numbers, not names");
  add_habit(command, "-4,--ipv4", "IPv4");
  command
      ->add_option("filter", options->filter,
                   "state NAME, src|dst ADDRESS[/BITS][:PORT], sport|dport = :PORT, and, or, not, ( )")
      ->type_name("FILTER");
}

void add_ip(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "ip", "interfaces, addresses, routes, neighbours, in iproute2's words", ip_main);
  command->add_flag("-j", options->json, "JSON, as --json");
  command->add_flag("-s,--stats", options->statistics, "counters too");
  command->add_flag("-b,--brief", options->brief, "a line each; -br too");
  static const std::string kPartOfBrief = "taken, so that -br is";
  command->add_flag("-r,--resolve", kPartOfBrief)->group("");
  add_habit(command, "-4", "IPv4");
  command
      ->add_option("words", options->words,
                   "addr|link|route|neigh|maddr [show|add|del|replace|flush|set|get] ...")
      ->type_name("WORD");
}

void add_tables(CLI::App& app, Run& run) {
  add_command<ControlOptions>(app, run, "arpcache", "the ARP cache, as tapip's command prints it",
                              [](const ControlOptions& o) { return table_main(TapipTable::kArpCache, o); });
  add_command<ControlOptions>(app, run, "route", "the routing table, as route(8) prints it",
                              [](const ControlOptions& o) { return table_main(TapipTable::kRoute, o); });
  add_command<ControlOptions>(app, run, "ifconfig", "interfaces and what passed them",
                              [](const ControlOptions& o) { return table_main(TapipTable::kIfconfig, o); });
  add_command<ControlOptions>(app, run, "stat", "what the stack holds; a count that stays has leaked",
                              stat_main);
  auto [netstat, options] = add_command(app, run, "netstat", "counters in netstat's sentences", netstat_main);
  netstat->add_flag("-s,--statistics", options->statistics, "counters, as without an option");
  netstat->add_flag("-r,--route", options->routes, "the routing table");
  netstat->add_flag("-i,--interfaces", options->interfaces, "a line an interface");
  add_habit(netstat, "-n,--numeric", "numbers, not names");
}

void add_nstat(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "nstat", "counters of the running stack, under Linux's names", nstat_main);
  command->add_flag("-z,--zeros", options->zeros, "also those that are 0");
  command->add_flag("--drops", options->drops, "dropped packets by reason instead");
  add_habit(command, "-a,--ignore", "absolute values");
  command->add_option("patterns", options->patterns, "names, with * and ?")->type_name("PATTERN");
}

void add_ping(CLI::App& app, Run& run, const char* name, const char* what, int (*main)(const PingOptions&)) {
  auto [command, options] = add_command(app, run, name, what, main);
  command->add_option("destination", options->destination, "an IPv4 address")
      ->required()
      ->type_name("ADDRESS");
  command->add_option("-c,--count", options->count, "requests; without it until Ctrl-C")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{9223372036854775807U}));
  command->add_option("-i,--interval", options->interval, "seconds between requests")->check(kSeconds);
  command->add_option("-w,--deadline", options->deadline, "seconds until it ends, answered or not")
      ->check(kSeconds);
  command->add_flag("-D,--stamps", options->stamps, "the time before each line");
  command->add_option("-W,--timeout", options->timeout, "seconds to wait for an answer")
      ->check(CLI::Range(0.001, 3600.0));
  command->add_option("-s,--size", options->size, "bytes of payload")->check(CLI::Range(0U, 65507U));
  command->add_option("-t,--ttl", options->ttl, "hop limit")->check(CLI::Range(1, 255));
  command->add_option("-M", options->discovery, "do: may not be fragmented")
      ->check(CLI::IsMember({"do", "dont", "want"}));
  command->add_flag("-q,--quiet", options->quiet, "the summary only");
  add_habit(command, "-n", "numbers, not names");
}

void add_pings(CLI::App& app, Run& run) {
  add_ping(app, run, "ping", "echo requests from the running stack", ping_main);
  add_ping(app, run, "ping2", "the same, telling what the stack does: ARP, IP and ICMP are heard with it",
           ping2_main);
}

void add_traceroute(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "traceroute", "which routers lie on the way", traceroute_main);
  command->add_option("destination", options->destination, "an IPv4 address")
      ->required()
      ->type_name("ADDRESS");
  command->add_flag("-I,--icmp", options->icmp, "by echo requests; without it by UDP datagrams");
  command->add_option("-f,--first", options->first, "the first hop")->check(CLI::Range(1, 255));
  command->add_option("-m,--max-hops", options->most, "the last hop")->check(CLI::Range(1, 255));
  command->add_option("-q,--queries", options->queries, "probes a hop")->check(CLI::Range(1, 10));
  command->add_option("-p,--port", options->port, "UDP port of the first probe; each has the next");
  command->add_option("-w,--wait", options->wait, "seconds to wait for an answer")
      ->check(CLI::Range(0.001, 3600.0));
  command->add_option("size", options->size, "bytes of IP packet")
      ->check(CLI::Range(28, 65000))
      ->type_name("BYTES");
  add_habit(command, "-n", "numbers, not names");
}

void add_arping(CLI::App& app, Run& run) {
  auto [command, options] = add_command(app, run, "arping", "who on the link has an address?", arping_main);
  command->add_option("destination", options->destination, "an IPv4 address")
      ->required()
      ->type_name("ADDRESS");
  command->add_option("-I,--interface", options->interface, "where to ask; without it where the route leads")
      ->type_name("NAME");
  command->add_option("-s,--source", options->source, "who asks")->type_name("ADDRESS");
  command->add_option("-c,--count", options->count, "requests; without it until Ctrl-C");
  command->add_option("-i,--interval", options->interval, "seconds between requests")->check(kSeconds);
  command->add_option("-w,--deadline", options->deadline, "seconds until it ends")->check(kSeconds);
  command->add_flag("-b,--broadcast", options->broadcast,
                    "all by broadcast; without it those after an answer by unicast");
  command->add_flag("-f,--first", options->first, "the first answer ends it");
  command->add_flag("-D,--detect", options->detect, "is the address taken? Exit status 1: it is");
  command->add_flag("-U,--announce", options->announce, "tell the neighbours our address, by requests");
  command->add_flag("-A,--answer", options->answer, "the same by replies");
  command->add_flag("-q,--quiet", options->quiet, "the summary only");
}

void add_nc(CLI::App& app, Run& run) {
  auto [command, options] = add_command(
      app, run, "nc", "bytes between standard input and output and a socket of the running stack", nc_main);
  command->add_flag("-u,--udp", options->udp, "UDP");
  command->add_flag("-l,--listen", options->listen, "listen at PORT");
  command->add_flag("-k,--keep", options->keep, "with -l: after one connection the next");
  command->add_flag("-N,--half-close", options->half_close, "the end of input is a FIN");
  command->add_flag("-d,--detached", options->no_input, "read nothing");
  command->add_flag("-z,--scan", options->scan, "connect, and no more");
  command->add_flag("-v,--verbose", options->verbose, "tell of connections");
  add_habit(command, "-n", "numbers, not names");
  command->add_option("-w,--wait", options->wait, "seconds for connecting, and without traffic")
      ->check(kSeconds);
  command->add_option("-q,--quit", options->quit, "seconds to go on after the end of input")->check(kSeconds);
  command->add_option("-s,--source", options->source, "from this address")->type_name("ADDRESS");
  command->add_option("-p,--port", options->source_port, "from this port; with -l at it");
  command->add_option("words", options->words, "ADDRESS PORT; with -l [ADDRESS] PORT")->type_name("WORD");
}

void add_snc(CLI::App& app, Run& run) {
  auto [command, options] = add_command(
      app, run, "snc", "tapip's simplex netcat: -b prints what comes, -c sends standard input", snc_main);
  command->add_flag("-d,--debug", options->verbose, "tell of connections");
  command->add_flag("-u,--udp", options->udp, "UDP");
  command->add_option("-b,--bind", options->bind, "listen at, and print")->type_name("ADDRESS:PORT");
  command->add_option("-c,--connect", options->connect, "connect to, and send")->type_name("ADDRESS:PORT");
}

void add_sysctl(CLI::App& app, Run& run) {
  auto [command, options] = add_command(app, run, "sysctl", "knobs of the running stack", sysctl_main);
  command->add_flag("-a,--all", options->all, "all of them");
  command->add_flag("-n,--values", options->values, "without the names");
  command->add_flag("-w,--write", options->write, "only NAME=VALUE is meant");
  command->add_option("arguments", options->arguments, "NAME, or NAME=VALUE to set it")
      ->type_name("NAME[=VALUE]");
}

void add_capture(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "capture", "frames of the running stack, as text or pcapng", capture_main);
  command->add_option("-w,--write", options->file, "write pcapng; - is standard output")->type_name("FILE");
  command->add_option("-i,--interface", options->interface, "only this interface")->type_name("NAME");
  command->add_option("-c,--count", options->count, "frames; without it until Ctrl-C");
  command->add_option("-p,--port", options->port, "only TCP and UDP of this port");
  add_habit(command, "-n", "numbers, not names");
  command
      ->add_option("expression", options->expression,
                   "which frames, as pcap-filter(7) says it: tcp port 80 and host 10.0.0.2")
      ->type_name("EXPRESSION");
}

void add_trace(CLI::App& app, Run& run) {
  auto [command, options] =
      add_command(app, run, "trace", "what the running stack decides, live", trace_main);
  command
      ->add_option("-l,--layer", options->layers, "frame, ip, udp, tcp, stack, raw, socket; without it all")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("-c,--count", options->count, "records; without it until Ctrl-C");
}

// `shell`: where -n and -c are possible; null: this is no shell.
void add_debug(CLI::App& app, Run& run, BackgroundDebug* shell) {
  auto [command, options] =
      add_command(app, run, "debug", "what the running stack says of a topic, live", debug_main);
  options->shell = shell;
  command->add_flag("-n,--background", options->background, "in a shell: go on while other commands run");
  command->add_flag("-c,--clear", options->clear, "in a shell: no more of these topics; without one of none");
  command->add_option("topics", options->topics, "dev l2 arp ip icmp udp tcp tcpstate socket timer drop all")
      ->type_name("TOPIC");
}

void add_tools(CLI::App& app, Run& run, BackgroundDebug* shell) {
  add_debug(app, run, shell);
  for (const auto add : {add_ss, add_ip, add_tables, add_nstat, add_sysctl, add_pings, add_traceroute,
                         add_arping, add_nc, add_snc, add_capture, add_trace})
    add(app, run);
}

// ---- the shell ----

// "tapir ss: The following argument was not expected: -x; `tapir ss --help` tells what it takes", as every
// other complaint begins.
std::string failure_text(const CLI::App* app, const CLI::Error& error) {
  const bool shell = app->get_name().empty();
  std::string name = shell ? "" : "tapir";
  for (const CLI::App* at = app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    name += (name.empty() ? "" : " ") + at->get_name();
  }
  return (shell ? "tapir " : "") + name + ": " + error.what() + "; `" + name +
         " --help` tells what it takes\n";
}

// The exit status: 0 also of help, 2 when the words mean nothing.
template <typename... Words>
int parse_and_run(CLI::App& app, const Run& run, Words&&... words) {
  app.failure_message(failure_text);
  try {
    app.parse(std::forward<Words>(words)...);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error) == 0 ? 0 : 2;
    std::fflush(stdout);
    return status;
  }
  return run();
}

int run_tool(std::vector<std::string> words, BackgroundDebug& debug) {
  const auto app = std::make_unique<CLI::App>("", "");
  app->set_help_flag();
  app->require_subcommand(1);
  Run run;
  add_tools(*app, run, &debug);
  std::reverse(words.begin(), words.end());
  return parse_and_run(*app, run, std::move(words));
}

// Words that may follow a command's name, for completion.
std::vector<std::string> completions_of(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  static const std::map<std::string, std::vector<std::string>> kMore{
      {"ip", {"addr", "link", "route", "neigh", "maddr",  "show", "add",    "del", "replace", "flush",  "set",
              "get",  "dev",  "via",   "src",   "metric", "mtu",  "lladdr", "up",  "down",    "default"}},
      {"debug",
       {"dev", "l2", "arp", "ip", "icmp", "udp", "tcp", "tcpstate", "socket", "timer", "drop", "all"}},
      {"ss",
       {"state", "established", "listening", "time-wait", "connected", "synchronized", "src", "dst", "sport",
        "dport", "and", "or", "not"}},
      {"capture", {"tcp", "udp", "icmp", "arp", "host", "net", "port", "src", "dst", "and", "or", "not"}}};
  if (const auto more = kMore.find(command.get_name()); more != kMore.end())
    words.insert(words.end(), more->second.begin(), more->second.end());
  return words;
}

int run_shell(const ShellOptions& options) {
  BackgroundDebug debug;
  ShellTable table;
  CLI::App app("", "");
  Run run;
  add_tools(app, run, &debug);
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    table.commands.push_back({command->get_name(), command->get_description(), completions_of(*command)});
  table.run = [&debug](const std::vector<std::string>& words) { return run_tool(words, debug); };
  return shell_main(options, debug, table);
}

void add_shell(CLI::App& app, Run& run) {
  auto [command, options] = add_command(app, run, "shell",
                                        "commands on a stack, one after the other: its own (with the options "
                                        "of `up`), or a running one (--control)",
                                        run_shell);
  add_stack_options(command, options->up);
  command
      ->add_option("--control", options->up.control, "of a running stack; without it the shell has its own")
      ->type_name("SOCKET");
  command
      ->add_option("-c,--command", options->commands, "these commands instead of standard input: 'cmd; cmd'")
      ->type_name("COMMANDS");
}

int main_of(int argc, char** argv) {
  CLI::App app("tapir: a TCP/IP stack in user space", "tapir");
  app.set_version_flag("--version", std::string("tapir ") + kVersion);
  app.set_help_flag("-h,--help", "print this help");
  app.require_subcommand(1);
  Run run;
  for (const auto add : {add_demo, add_run, add_up, add_shell}) add(app, run);
  if (argc > 1 && std::string_view(argv[1]) == "run") argc = cut_at_dashes(argc, argv);
  add_tools(app, run, nullptr);
  add_drill(app, run);
  return parse_and_run(app, run, argc, argv);
}

}  // namespace

}  // namespace tapir::cli

int main(int argc, char** argv) {
  // A peer that closes is told by EPIPE.
  std::signal(SIGPIPE, SIG_IGN);
  return tapir::cli::main_of(argc, argv);
}
