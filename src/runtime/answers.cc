// SPDX-License-Identifier: Apache-2.0
#include "runtime/answers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>

#include "observe/decode.h"
#include "observe/tables.h"
#include "trace/drop_reason.h"

namespace tapir::runtime {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// An object in its order, as an array of pairs: JSON objects have none on the way.
json in_order(const ordered_json& object) {
  json pairs = json::array();
  for (const auto& [name, value] : object.items()) pairs.push_back({name, json(value)});
  return pairs;
}

std::string trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

// "net/ipv4/tcp_sack" is "net.ipv4.tcp_sack" too, as in sysctl(8).
std::string knob_name(std::string_view text) {
  std::string name = trimmed(text);
  std::replace(name.begin(), name.end(), '/', '.');
  return name;
}

void append_value(const stack::Stack& stack, const std::string& name, json& rows) {
  if (const auto value = stack.sysctl_get(name))
    rows.push_back({{"name", name}, {"value", *value}});
  else
    rows.push_back({{"error", value.error()}});
}

// "name", "name=value", or the front of names ("net.ipv4").
void answer_argument(stack::Stack& stack, const std::string& argument, Instant now, json& rows) {
  const std::size_t equals = argument.find('=');
  const std::string name = knob_name(std::string_view(argument).substr(0, equals));
  if (equals != std::string::npos) {
    if (const auto set = stack.sysctl_set(name, trimmed(std::string_view(argument).substr(equals + 1)), now);
        !set)
      return rows.push_back({{"error", set.error()}});
    return append_value(stack, name, rows);
  }
  bool any = false;
  for (const std::string& each : stack.sysctl_names()) {
    if (!each.starts_with(name + ".")) continue;
    append_value(stack, each, rows);
    any = true;
  }
  if (!any) append_value(stack, name, rows);
}

}  // namespace

TraceListener::TraceListener(StackHost& host, trace::TeeProbe& probes)
    : host_(host), probes_(probes), ring_(kTraceRing) {
  host_.with([this](stack::Stack& stack, socket::Sockets&, Instant now) {
    began_ = now;
    added_ = probes_.add(ring_);
    stack.tracer().attach(&probes_);
  });
}

TraceListener::~TraceListener() {
  host_.with([this](stack::Stack& stack, socket::Sockets&, Instant) {
    if (added_) probes_.remove(ring_);
    if (probes_.size() == 0) stack.tracer().attach(nullptr);
  });
}

std::uint64_t TraceListener::take(std::vector<trace::Record>& records) {
  return host_.with([&](stack::Stack&, socket::Sockets&, Instant) {
    records.resize(ring_.size());
    ring_.drain(records);
    return ring_.lost();
  });
}

void answer_sockets(StackHost& host, ControlReply& reply) {
  auto rows = host.with(
      [](stack::Stack& stack, socket::Sockets&, Instant now) { return observe::sockets_json(stack, now); });
  // Every socket is held by the process that the stack is in.
  for (ordered_json& row : rows)
    if (!row.value("orphan", false))
      row["users"] = fmt::format("users:((\"{}\",pid={}))", program_invocation_short_name, ::getpid());
  reply.send(json(rows));
}

void answer_counters(StackHost& host, ControlReply& reply) {
  json answer;
  host.with([&](stack::Stack& stack, socket::Sockets&, Instant) {
    // Dropped packets are counters too: "DropTCP_OLD_DATA".
    ordered_json counters = observe::counters_json(stack, true);
    for (std::size_t i = 1; i < trace::kDropReasons; ++i) {
      const auto reason = static_cast<trace::DropReason>(i);
      counters["Drop" + std::string(trace::to_string(reason))] = stack.counters().dropped(reason);
    }
    answer = {{"counters", in_order(counters)}, {"drops", json(observe::drops_json(stack))}};
  });
  reply.send(answer);
}

void answer_sysctls(StackHost& host, const json& question, ControlReply& reply) {
  const auto arguments = question.value("arguments", std::vector<std::string>{});
  json rows = json::array();
  host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
    if (question.value("all", false))
      for (const std::string& name : stack.sysctl_names()) append_value(stack, name, rows);
    for (const std::string& argument : arguments) answer_argument(stack, argument, now, rows);
  });
  reply.send(rows);
}

void answer_trace(StackHost& host, trace::TeeProbe& probes, const json& question, ControlReply& reply) {
  const auto layers = question.value("layers", std::vector<std::string>{});
  const bool as_json = question.value("json", false);
  TraceListener listening(host, probes);
  if (!listening.added()) return reply.fail("too many listen to this stack's trace already");
  // So that the asker knows that it listens.
  reply.send({{"records", json::array()}, {"lost", 0}});
  std::vector<trace::Record> records;
  std::uint64_t told_lost = 0;
  while (reply.wait(kStreamInterval)) {
    const std::uint64_t lost = listening.take(records);
    json answer = json::array();
    const auto flush = [&] {
      reply.send({{"records", answer}, {"lost", lost}});
      answer = json::array();
      told_lost = lost;
    };
    for (const trace::Record& record : records) {
      if (!layers.empty() &&
          std::find(layers.begin(), layers.end(), observe::layer_of(record)) == layers.end())
        continue;
      if (as_json)
        answer.push_back(observe::decode_json(record, listening.began())
                             .dump(-1, ' ', false, json::error_handler_t::replace));
      else
        answer.push_back(observe::decode_text(record, listening.began()));
      if (answer.size() == kRecordsPerAnswer) flush();
    }
    if (!answer.empty() || lost != told_lost) flush();
  }
}

}  // namespace tapir::runtime
