// SPDX-License-Identifier: Apache-2.0
// The `tapir` command: what the command line says becomes an options struct (commands.h), and its function is called. The one
// file that knows CLI11.
#include <CLI/CLI.hpp>

#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"

namespace tapir::cli {

namespace {

// CMakeLists.txt's project version.
constexpr const char* kVersion = TAPIR_VERSION;

// What the subcommand that was given will run.
using Run = std::function<int()>;

CLI::App* add_command(CLI::App& app, const char* name, const char* what) {
  CLI::App* command = app.add_subcommand(name, what);
  command->set_help_flag("-h,--help", "print this help");
  return command;
}

void add_demo(CLI::App& app, Run& run) {
  auto options = std::make_shared<DemoOptions>();
  CLI::App* command = add_command(app, "demo", "a guided tour of the stack against the kernel; each step is checked");
  static const std::map<std::string, DemoWire> kWires{
      {"auto", DemoWire::kAuto}, {"tap", DemoWire::kTap}, {"packet", DemoWire::kPacket}, {"memory", DemoWire::kMemory}};
  auto over = std::make_shared<std::string>("auto");
  command->add_option("--over", *over, "the wire: tap, packet (AF_PACKET on a veth pair), memory (two tapir stacks), auto")
      ->check(CLI::IsMember({"auto", "tap", "packet", "memory"}))
      ->type_name("WIRE");
  command->add_option("--bulk", options->bulk_bytes, "bytes to move each way at most, e.g. 100MB")->transform(CLI::AsSizeValue(false));
  command->add_flag("--json", options->json, "one JSON object instead of text");
  command->callback([options, over, &run] {
    options->over = kWires.at(*over);
    run = [options] { return demo_main(*options); };
  });
}

void add_drill(CLI::App& app, Run& run) {
  auto options = std::make_shared<DrillOptions>();
  CLI::App* command = add_command(app, "drill", "run packetdrill scripts against a stack in this process, on virtual time");
  command->add_option("paths", options->paths, "scripts, and folders that are searched for *.pkt")->type_name("FILE|DIR");
  command->add_option("-j,--jobs", options->jobs, "scripts run at the same time");
  command->add_flag("-v,--verbose", options->verbose, "each event with its time");
  command->add_flag("--diff", options->diff, "of a failure only expected and got");
  command->add_flag("--json", options->json, "one JSON object instead of text");
  command->add_option("--family", options->family, "ipv4, ipv6 or mapped");
  command->add_option("-D,--define", options->defines, "NAME=VALUE")->allow_extra_args(false);
  command->add_option("--tolerance_usecs", options->tolerance_usecs, "how late or early a packet may be, in microseconds");
  command->add_option("--mtu", options->mtu, "of the script's interface");
  command->add_option("--local_ip", options->local_ip, "the address of the stack under test");
  command->add_option("--remote_ip", options->remote_ip, "the address of the script's end");
  command->add_option("--gateway_ip", options->gateway_ip, "taken for packetdrill's sake");
  command->add_option("--ip_version", options->ip_version, "ipv4, ipv6, ipv4-mapped-ipv6");
  command->add_option("--tcp_ts_tick_usecs", options->tcp_ts_tick_usecs, "length of a tick of TCP timestamps");
  command->add_flag("--strict_segments", options->strict_segments, "super-segments are not merged in comparisons");
  command->callback([options, &run] { run = [options] { return drill_main(*options); }; });
}

void add_up(CLI::App& app, Run& run) {
  auto options = std::make_shared<UpOptions>();
  CLI::App* command = add_command(app, "up", "run a stack in the foreground, until Ctrl-C");
  command->add_option("--dev", options->device, "tap0 (a TAP interface is made) or packet:INTERFACE")->type_name("DEVICE");
  command->add_option("--addr", options->addresses, "the stack's address, e.g. 10.0.0.1/24; may be repeated")->allow_extra_args(false)->type_name("PREFIX");
  command->add_option("--peer", options->peer, "the kernel's end of the TAP, e.g. 10.0.0.2/24")->type_name("PREFIX");
  command->add_option("--gateway", options->gateway, "where the default route leads")->type_name("ADDRESS");
  command->add_option("--mtu", options->mtu, "bytes of IP packet");
  command->add_option("--serve", options->serve, "echo:7,discard:9,chargen:19,http:80=DIR")->delimiter(',')->allow_extra_args(false)->type_name("SERVICES");
  command->add_option("--pcap", options->pcap, "capture all frames to a pcapng file")->type_name("FILE");
  command->add_option("--impair", options->impair, "a bad wire, e.g. \"loss 1%, delay 10ms\"")->type_name("FAULTS");
  command->add_option("--sysctl", options->sysctls, "a knob, NAME=VALUE; may be repeated")->allow_extra_args(false)->type_name("K=V");
  command->add_option("--control", options->control, "where the tools ask: " + default_control_path())->type_name("SOCKET");
  command->add_option("--config", options->config, "the same settings from a file; the command line wins")->type_name("FILE.toml");
  command->callback([options, &run] { run = [options] { return up_main(*options); }; });
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
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = add_command(app, "run", "run a program whose internet sockets are tapir's: tapir run [OPTION...] -- PROGRAM [ARGUMENT...]");
  command->add_option("--dev", options->device, "name of the TAP interface that is made")->type_name("NAME");
  command->add_option("--addr", options->addresses, "the program's address, e.g. 10.0.0.1/24; may be repeated")->allow_extra_args(false)->type_name("PREFIX");
  command->add_option("--peer", options->peer, "the kernel's end of the TAP, e.g. 10.0.0.2/24")->type_name("PREFIX");
  command->add_option("--gateway", options->gateway, "where the default route leads")->type_name("ADDRESS");
  command->add_option("--mtu", options->mtu, "bytes of IP packet");
  command->add_option("--dns", options->name_servers, "name servers; else /etc/resolv.conf's")->delimiter(',')->allow_extra_args(false)->type_name("ADDRESS");
  command->add_option("--only", options->only, "ports that are tapir's, e.g. tcp:80,8000-9000; all others stay the kernel's")->delimiter(',')->allow_extra_args(false)->type_name("PORTS");
  command->add_option("--except", options->except, "networks that stay the kernel's, e.g. 127.0.0.0/8")->delimiter(',')->allow_extra_args(false)->type_name("PREFIX");
  command->add_option("--pcap", options->pcap, "capture all frames to a pcapng file")->type_name("FILE");
  command->add_option("--sysctl", options->sysctls, "a knob, NAME=VALUE; may be repeated")->allow_extra_args(false)->type_name("K=V");
  command->add_option("--config", options->config, "the same settings from a file; the command line wins")->type_name("FILE.toml");
  command->add_flag("-q,--quiet", options->quiet, "do not say where the device is");
  command->callback([options, &run] {
    run = [options] {
      options->program = after_dashes();
      return run_main(*options);
    };
  });
}

void add_control_options(CLI::App* command, ControlOptions& options) {
  command->add_option("--control", options.control, "of the running stack: " + default_control_path())->type_name("SOCKET");
  command->add_flag("--json", options.json, "JSON instead of text");
}

void add_ss(CLI::App& app, Run& run) {
  auto options = std::make_shared<SsOptions>();
  CLI::App* command = add_command(app, "ss", "sockets of the running stack");
  add_control_options(command, *options);
  command->add_flag("-t,--tcp", options->tcp, "TCP sockets");
  command->add_flag("-u,--udp", options->udp, "UDP sockets");
  command->add_flag("-a,--all", options->all, "listening ones too");
  command->add_flag("-l,--listening", options->listening, "only listening ones");
  command->add_flag("-n,--numeric", options->numeric, "numbers, as always");
  command->add_flag("-o,--options", options->timers, "timers");
  command->add_flag("-i,--info", options->info, "TCP's figures");
  command->add_flag("-e,--extended", options->extended, "what names them in traces");
  command->add_flag("-m,--memory", options->memory, "buffers");
  command->add_flag("-H,--no-header", options->no_header, "rows only");
  command->callback([options, &run] { run = [options] { return ss_main(*options); }; });
}

void add_nstat(CLI::App& app, Run& run) {
  auto options = std::make_shared<NstatOptions>();
  CLI::App* command = add_command(app, "nstat", "counters of the running stack, under Linux's names");
  add_control_options(command, *options);
  command->add_flag("-z,--zeros", options->zeros, "also those that are 0");
  command->add_flag("--drops", options->drops, "dropped packets by reason instead");
  // nstat(8)'s habit: -a shows absolute values, and we have no others.
  static const std::string kAbsolute = "absolute values, as always";
  command->add_flag("-a,--ignore", kAbsolute);
  command->add_option("patterns", options->patterns, "names, with * and ?")->type_name("PATTERN");
  command->callback([options, &run] { run = [options] { return nstat_main(*options); }; });
}

void add_ping(CLI::App& app, Run& run) {
  auto options = std::make_shared<PingOptions>();
  auto interval = std::make_shared<double>(1.0);
  auto timeout = std::make_shared<double>(10.0);
  auto discovery = std::make_shared<std::string>();
  CLI::App* command = add_command(app, "ping", "echo requests from the running stack");
  add_control_options(command, *options);
  command->add_option("destination", options->destination, "an IPv4 address")->required()->type_name("ADDRESS");
  command->add_option("-c,--count", options->count, "requests; without it until Ctrl-C");
  command->add_option("-i,--interval", *interval, "seconds between requests")->check(CLI::Range(0.0, 3600.0));
  command->add_option("-W,--timeout", *timeout, "seconds to wait for an answer")->check(CLI::Range(0.001, 3600.0));
  command->add_option("-s,--size", options->size, "bytes of payload")->check(CLI::Range(0U, 65507U));
  command->add_option("-t,--ttl", options->ttl, "hop limit")->check(CLI::Range(1, 255));
  command->add_option("-M", *discovery, "do: may not be fragmented")->check(CLI::IsMember({"do", "dont", "want"}));
  command->add_flag("-q,--quiet", options->quiet, "the summary only");
  command->callback([options, interval, timeout, discovery, &run] {
    options->interval_ms = static_cast<std::uint32_t>(*interval * 1000);
    options->timeout_ms = static_cast<std::uint32_t>(*timeout * 1000);
    options->dont_fragment = *discovery == "do";
    run = [options] { return ping_main(*options); };
  });
}

void add_sysctl(CLI::App& app, Run& run) {
  auto options = std::make_shared<SysctlOptions>();
  CLI::App* command = add_command(app, "sysctl", "knobs of the running stack");
  add_control_options(command, *options);
  command->add_flag("-a,--all", options->all, "all of them");
  command->add_flag("-n,--values", options->values, "without the names");
  command->add_option("arguments", options->arguments, "NAME, or NAME=VALUE to set it")->type_name("NAME[=VALUE]");
  command->callback([options, &run] { run = [options] { return sysctl_main(*options); }; });
}

void add_capture(CLI::App& app, Run& run) {
  auto options = std::make_shared<CaptureOptions>();
  CLI::App* command = add_command(app, "capture", "frames of the running stack, as text or pcapng");
  add_control_options(command, *options);
  command->add_option("-w,--write", options->file, "write pcapng; - is standard output")->type_name("FILE");
  command->add_option("-i,--interface", options->interface, "only this interface")->type_name("NAME");
  command->add_option("-c,--count", options->count, "frames; without it until Ctrl-C");
  command->add_option("-p,--port", options->port, "only TCP and UDP of this port");
  command->callback([options, &run] { run = [options] { return capture_main(*options); }; });
}

void add_trace(CLI::App& app, Run& run) {
  auto options = std::make_shared<TraceOptions>();
  CLI::App* command = add_command(app, "trace", "what the running stack decides, live");
  add_control_options(command, *options);
  command->add_option("-l,--layer", options->layers, "frame, ip, udp, tcp, stack; without it all")->delimiter(',')->allow_extra_args(false);
  command->add_option("-c,--count", options->count, "records; without it until Ctrl-C");
  command->callback([options, &run] { run = [options] { return trace_main(*options); }; });
}

int main_of(int argc, char** argv) {
  CLI::App app("tapir: a TCP/IP stack in user space", "tapir");
  app.set_version_flag("--version", std::string("tapir ") + kVersion);
  app.set_help_flag("-h,--help", "print this help");
  app.require_subcommand(1);
  Run run;
  for (const auto add : {add_demo, add_run, add_up, add_ss, add_nstat, add_ping, add_sysctl, add_capture, add_trace, add_drill}) add(app, run);
  if (argc > 1 && std::string_view(argv[1]) == "run") argc = cut_at_dashes(argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run();
}

}  // namespace

}  // namespace tapir::cli

int main(int argc, char** argv) {
  // A peer that closes is told by EPIPE.
  std::signal(SIGPIPE, SIG_IGN);
  return tapir::cli::main_of(argc, argv);
}
