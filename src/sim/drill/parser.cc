// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/parser.h"

#include <fmt/format.h>

#include "sim/drill/lexer.h"
#include "sim/drill/symbols.h"
#include "wire/segment_text.h"

namespace tapir::sim::drill {

namespace {

class Parser {
 public:
  Parser(std::string_view text, const Definitions& definitions) : lexer_(text), definitions_(definitions) {}

  std::expected<Script, ScriptError> parse() {
    parse_options();
    if (lexer_.looking_at("`")) {
      script_.init_at = lexer_.location();
      script_.init = ShellEvent{lexer_.backquoted()};
    }
    while (!lexer_.at_end() && !script_.cleanup) parse_event();
    if (!lexer_.failed() && !lexer_.at_end()) lexer_.fail("expected nothing after the clean-up command");
    if (!lexer_.failed() && script_.events.empty()) lexer_.fail("expected an event");
    if (lexer_.failed()) return std::unexpected(*lexer_.error());
    return std::move(script_);
  }

 private:
  // ---- the frame of a script ----

  void parse_options() {
    while (lexer_.looking_at("--")) {
      ScriptOption option;
      option.at = lexer_.location();
      lexer_.accept("--");
      const std::string text = lexer_.until_blank();
      const std::size_t equals = text.find('=');
      option.name = text.substr(0, equals);
      if (equals != std::string::npos) option.value = text.substr(equals + 1);
      script_.options.push_back(std::move(option));
    }
  }

  void parse_event() {
    Event event;
    event.at = lexer_.location();
    if (lexer_.looking_at("`")) {
      script_.cleanup = ShellEvent{lexer_.backquoted()};
      return;
    }
    event.time = parse_time();
    if (lexer_.failed()) return;
    if (script_.events.empty() && event.time.kind == TimeKind::kAbsolute && event.time.at != Duration{})
      lexer_.fail_at(event.at, "the first event must be at time 0");

    if (lexer_.accept("<")) {
      event.action = parse_packet(true);
    } else if (lexer_.accept(">")) {
      event.action = parse_packet(false);
    } else if (lexer_.looking_at("`")) {
      event.action = ShellEvent{lexer_.backquoted()};
    } else if (lexer_.accept("%{")) {
      CodeEvent code;
      code.code_at = lexer_.here();
      code.code = lexer_.code_block();
      event.action = std::move(code);
    } else if (lexer_.looking_at_word()) {
      event.action = parse_call();
    } else {
      lexer_.fail("expected '<', '>', '`', '%{' or a call");
    }
    if (event.time.returns_at && !std::holds_alternative<CallEvent>(event.action))
      lexer_.fail_at(event.at, "only a call can have a time to return at");
    script_.events.push_back(std::move(event));
  }

  EventTime parse_time() {
    EventTime time;
    if (lexer_.accept("*")) {
      time.kind = TimeKind::kAny;
      return time;
    }
    if (lexer_.peek() != '+' && lexer_.peek() != '.' && !lexer_.looking_at_digit()) {
      lexer_.fail("expected the time of an event");
      return time;
    }
    const bool relative = lexer_.accept("+");
    time.kind = relative ? TimeKind::kRelative : TimeKind::kAbsolute;
    time.at = lexer_.seconds();
    if (lexer_.accept("~")) {
      if (relative != lexer_.accept("+"))
        lexer_.fail("expected both ends of a range to be relative, or both absolute");
      time.kind = relative ? TimeKind::kRelativeRange : TimeKind::kAbsoluteRange;
      time.range_end = lexer_.seconds();
      if (time.range_end < time.at) lexer_.fail("a range of time ends before it begins");
    } else if (lexer_.accept("...")) {
      time.returns_at = lexer_.seconds();
      if (*time.returns_at < time.at) lexer_.fail("a call returns before it begins");
    }
    return time;
  }

  // ---- packets ----

  PacketEvent parse_packet(bool inbound) {
    PacketEvent packet;
    packet.inbound = inbound;
    parse_ip_info(packet.ip);
    const Location at = lexer_.location();
    for (const char* word : {"udp", "udplite", "gre", "mpls", "ipv4", "ipv6", "encap", "sctp"}) {
      if (lexer_.accept_word(word)) {
        lexer_.fail_at(at, fmt::format("'{}' packets are not interpreted", word), true);
        return packet;
      }
    }
    if (lexer_.accept_word("icmp")) {
      packet.transport = parse_icmp(inbound, at);
      return packet;
    }
    parse_ports(packet);
    packet.transport = parse_tcp(inbound);
    return packet;
  }

  void parse_ip_info(IpSpec& ip) {
    for (;;) {
      if (lexer_.accept("[")) {
        parse_ip_bracket(ip);
        while (lexer_.accept(",")) parse_ip_bracket(ip);
        lexer_.expect("]");
      } else if (lexer_.accept("(")) {
        if (lexer_.accept_word("ttl") || lexer_.accept_word("hlim"))
          ip.ttl = static_cast<std::uint8_t>(lexer_.integer("a hop limit", 0, 255));
        else
          lexer_.fail("expected 'ttl'");
        lexer_.expect(")");
      } else {
        return;
      }
    }
  }

  void parse_ip_bracket(IpSpec& ip) {
    const std::string word = lexer_.word("'ect0', 'ect1', 'ect01', 'ce', 'noecn' or 'tos'");
    ip.ecn_rule = IpSpec::EcnRule::kExact;
    if (word == "ect0") {
      ip.ecn = Ecn::kEct0;
    } else if (word == "ect1") {
      ip.ecn = Ecn::kEct1;
    } else if (word == "ce") {
      ip.ecn = Ecn::kCe;
    } else if (word == "noecn") {
      ip.ecn = Ecn::kNotEct;
    } else if (word == "ect01") {
      ip.ecn = Ecn::kEct0;
      ip.ecn_rule = IpSpec::EcnRule::kEct01;
    } else if (word == "tos") {
      ip.ecn_rule = IpSpec::EcnRule::kUnchecked;
      ip.tos = static_cast<std::uint8_t>(lexer_.integer("a type of service", 0, 255));
    } else {
      lexer_.fail("expected 'ect0', 'ect1', 'ect01', 'ce', 'noecn' or 'tos'");
    }
  }

  void parse_ports(PacketEvent& packet) {
    // Digits may also be AccECN flags: ports are followed by '>'.
    if (!lexer_.looking_at_digit()) return;
    Lexer ahead = lexer_;
    const std::int64_t source = ahead.integer("a port", 0, 65535);
    if (!ahead.accept(">")) return;
    packet.source_port = static_cast<std::uint16_t>(source);
    packet.destination_port = static_cast<std::uint16_t>(ahead.integer("a port", 0, 65535));
    lexer_ = ahead;
  }

  std::uint16_t parse_flags() {
    const Location at = lexer_.location();
    const std::string letters = lexer_.run_of(
        [](char c) { return std::string_view("SFRPUEWA.-01234567").find(c) != std::string_view::npos; });
    wire::SegmentText parsed;
    if (letters.empty())
      lexer_.fail("expected TCP flags (letters of SFRPUEWA, '.' or '-'), 'icmp', or ports");
    else if (!wire::parse_tcp_flags(letters, parsed))
      lexer_.fail_at(at, fmt::format("'{}' are no TCP flags: '-' means none and stands alone", letters));
    return parsed.flags;
  }

  std::uint32_t parse_u32(std::string_view what) {
    return static_cast<std::uint32_t>(lexer_.integer(what, 0, UINT32_MAX));
  }

  // seq:end(len)
  void parse_sequence(std::uint32_t& sequence, std::uint32_t& length) {
    const Location at = lexer_.location();
    sequence = parse_u32("a sequence number");
    lexer_.expect(":");
    const std::uint32_t end = parse_u32("the sequence number after the segment");
    lexer_.expect("(");
    length = static_cast<std::uint32_t>(lexer_.integer("the length of the payload", 0, 65535));
    lexer_.expect(")");
    if (!lexer_.failed() && end != sequence + length)
      lexer_.fail_at(
          at, fmt::format("{} bytes from {} on end at {}, not {}", length, sequence, sequence + length, end));
  }

  TcpSpec parse_tcp(bool inbound) {
    TcpSpec tcp;
    tcp.flags = parse_flags();
    parse_sequence(tcp.seq, tcp.length);
    const Location after = lexer_.location();
    if (lexer_.accept_word("ack")) {
      tcp.ack = parse_u32("an acknowledgement number");
      // Linux's own scripts write "R. 0:0(0) ack 1", and RSTs with the flag but no number: then it is 0.
    }
    if (lexer_.accept_word("win"))
      tcp.window = static_cast<std::uint16_t>(lexer_.integer("a window", 0, 65535));
    if (lexer_.accept_word("urg"))
      tcp.urgent = static_cast<std::uint16_t>(lexer_.integer("an urgent pointer", 0, 65535));
    if (!lexer_.failed() && inbound && !tcp.window)
      lexer_.fail_at(after, "an inbound segment must have a window: expected 'win'");
    if (lexer_.accept("<")) parse_tcp_options(tcp, inbound);
    return tcp;
  }

  void parse_tcp_options(TcpSpec& tcp, bool inbound) {
    const Location at = lexer_.location();
    if (lexer_.accept("...")) {
      if (inbound) lexer_.fail_at(at, "'<...>' is for expected segments: an injected one needs its options");
      tcp.check_options = false;
      lexer_.expect(">");
      return;
    }
    if (lexer_.accept(">")) return;
    do {
      parse_tcp_option(tcp.options);
    } while (!lexer_.failed() && lexer_.accept(","));
    lexer_.expect(">");
    const std::size_t bytes = tcp.options.bytes().size();
    if (!lexer_.failed() && bytes % 4 != 0)
      lexer_.fail_at(
          at, fmt::format("these options take {} bytes, which is no multiple of 4: pad them with nop or eol",
                          bytes));
  }

  // One option: its words, with the defined ones replaced, are wire/segment_text's notation.
  void parse_tcp_option(wire::TcpOptionWriter& options) {
    const Location at = lexer_.location();
    std::string text;
    while (!lexer_.failed() && !lexer_.looking_at(",") && !lexer_.looking_at(">")) {
      if (!text.empty()) text += ' ';
      const std::string word = lexer_.run_of([](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == ':';
      });
      if (word.empty()) return lexer_.fail("expected a TCP option");
      text += resolve(word);
    }
    if (text == "md5 valid") {
      if (!options.md5(kValidDigest))
        lexer_.fail_at(at, "these options take more than the 40 bytes a header has room for");
      return;
    }
    const auto parsed = wire::parse_tcp_option_list(text);
    if (text.empty() || !parsed)
      return lexer_.fail_at(
          at,
          text.empty()
              ? std::string(
                    "expected a TCP option (mss, sackOK, TS, nop, wscale, sack, FO, FOEXP, md5, eol, kind)")
              : parsed.error());
    wire::TcpOptionReader reader(parsed->bytes());
    while (const auto item = reader.next())
      if (!options.add(item->kind, item->data))
        return lexer_.fail_at(at, "these options take more than the 40 bytes a header has room for");
  }

  IcmpSpec parse_icmp(bool inbound, Location at) {
    IcmpSpec icmp;
    if (!inbound) {
      lexer_.fail_at(at, "ICMP can only be injected ('<')");
      return icmp;
    }
    const std::string type = lexer_.word("an ICMP type");
    if (type == "packet_too_big") {
      lexer_.fail_at(at, "ICMPv6 is not interpreted", true);
      return icmp;
    }
    if (const auto value = icmp_type_value(type))
      icmp.type = *value;
    else if (!lexer_.failed())
      lexer_.fail_at(at, fmt::format("expected an ICMP type (unreachable, time_exceeded, parameter_problem, "
                                     "source_quench, redirect, echo_request), found '{}'",
                                     type));
    if (lexer_.looking_at_word() && !lexer_.looking_at("mtu") && !lexer_.looking_at("id")) {
      const Location code_at = lexer_.location();
      const std::string code = resolve(lexer_.word("an ICMP code"));
      if (const auto value = icmp_code_value(icmp.type, code))
        icmp.code = *value;
      else
        lexer_.fail_at(code_at, fmt::format("'{}' is no code of ICMP {}", code, type));
    }
    if (lexer_.accept_word("mtu")) icmp.mtu = static_cast<std::uint32_t>(lexer_.integer("an MTU", 0, 65535));
    if (lexer_.accept_word("id")) lexer_.integer("an identifier", 0, 65535);
    if (lexer_.accept("[")) {
      const Location quoted_at = lexer_.location();
      if (lexer_.accept_word("udp") || lexer_.accept_word("raw"))
        lexer_.fail_at(quoted_at, "ICMP quotes only TCP segments here", true);
      parse_sequence(icmp.quoted_seq, icmp.quoted_length);
      lexer_.expect("]");
    }
    return icmp;
  }

  // ---- definitions ----

  std::string resolve(const std::string& word) const {
    const auto it = definitions_.find(word);
    return it == definitions_.end() ? word : it->second;
  }

  // ---- calls ----

  CallEvent parse_call() {
    CallEvent call;
    call.name = lexer_.word("a call");
    lexer_.expect("(");
    if (!lexer_.accept(")")) {
      call.arguments = parse_expressions(")");
      lexer_.expect(")");
    }
    lexer_.expect("=");
    call.result = parse_expression();
    if (call.result.kind == Expression::Kind::kInteger && call.result.integer == -1 &&
        lexer_.looking_at_word()) {
      const Location at = lexer_.location();
      call.error_name = lexer_.word("an errno");
      const auto value = symbol_value(call.error_name);
      if (!call.error_name.starts_with('E') || !value)
        lexer_.fail_at(at, fmt::format("expected the name of an error, found '{}'", call.error_name));
      else
        call.error = static_cast<int>(*value);
    }
    if (lexer_.accept("(")) {  // free text
      while (!lexer_.at_end() && !lexer_.looking_at(")"))
        if (lexer_.run_of([](char c) { return c != ')'; }).empty()) break;
      lexer_.expect(")");
    }
    return call;
  }

  std::vector<Expression> parse_expressions(std::string_view close) {
    std::vector<Expression> items;
    if (lexer_.looking_at(close)) return items;
    do {
      items.push_back(parse_expression());
    } while (!lexer_.failed() && lexer_.accept(","));
    return items;
  }

  Expression parse_expression() {
    Expression expression = parse_primary();
    while (!lexer_.failed() && lexer_.looking_at("|")) {
      lexer_.accept("|");
      const Expression right = parse_primary();
      if (expression.kind != Expression::Kind::kInteger || right.kind != Expression::Kind::kInteger) {
        lexer_.fail_at(right.at, "'|' joins numbers");
        break;
      }
      expression.integer |= right.integer;
      expression.text += "|" + right.text;
    }
    return expression;
  }

  Expression parse_primary() {
    Expression expression;
    expression.at = lexer_.location();
    if (lexer_.accept("...")) {
      expression.kind = Expression::Kind::kEllipsis;
    } else if (lexer_.looking_at("\"")) {
      expression.kind = Expression::Kind::kString;
      expression.text = lexer_.quoted_string();
    } else if (lexer_.accept("[")) {
      expression.kind = Expression::Kind::kList;
      expression.items = parse_expressions("]");
      lexer_.expect("]");
    } else if (lexer_.accept("{")) {
      expression.kind = Expression::Kind::kStruct;
      if (!lexer_.looking_at("}")) {
        do {
          expression.fields.push_back(parse_field());
        } while (!lexer_.failed() && lexer_.accept(","));
      }
      lexer_.expect("}");
    } else if (lexer_.looking_at_word()) {
      parse_symbol(expression);
    } else if (lexer_.looking_at_digit() || lexer_.looking_at("-")) {
      expression.integer = lexer_.integer("a number", INT64_MIN + 1, INT64_MAX);
      expression.text = std::to_string(expression.integer);
    } else {
      lexer_.fail("expected '...', a number, a symbol, a string, '[' or '{'");
    }
    return expression;
  }

  void parse_symbol(Expression& expression) {
    const std::string word = lexer_.word("a symbol");
    if (lexer_.accept("(")) {
      expression.kind = Expression::Kind::kCall;
      expression.text = word;
      if (word != "htons" && word != "htonl" && word != "inet_addr" && word != "inet6_addr")
        lexer_.fail_at(expression.at, fmt::format("expected htons, htonl or inet_addr, found '{}'", word));
      expression.items = parse_expressions(")");
      lexer_.expect(")");
      return;
    }
    expression.text = word;
    const std::string meaning = resolve(word);
    Lexer number(meaning);
    if (!meaning.empty() && (number.looking_at_digit() || number.looking_at("-"))) {
      expression.integer = number.integer("a number", INT64_MIN + 1, INT64_MAX);
      if (number.failed())
        lexer_.fail_at(expression.at,
                       fmt::format("'{}' is defined as '{}', which is no number", word, meaning));
    } else if (const auto value = symbol_value(meaning)) {
      expression.integer = *value;
    } else {
      lexer_.fail_at(expression.at, fmt::format("unknown symbol '{}'", word));
    }
  }

  Field parse_field() {
    Field field;
    Lexer ahead = lexer_;
    if (ahead.looking_at_word()) {
      const std::string name = ahead.word("a field");
      std::vector<Expression> index;
      bool named = true;
      if (ahead.accept("(")) {  // msg_iov(2)=, msg_name(...)=
        Lexer saved = lexer_;
        lexer_ = ahead;
        index.push_back(parse_expression());
        lexer_.expect(")");
        ahead = lexer_;
        lexer_ = saved;
        named = !ahead.failed();
      }
      if (named && ahead.accept("=")) {
        field.name = name;
        field.index = std::move(index);
        lexer_ = ahead;
      }
    }
    field.value = parse_expression();
    return field;
  }

  Lexer lexer_;
  const Definitions& definitions_;
  Script script_;
};

}  // namespace

std::expected<Script, ScriptError> parse_script(std::string_view text, const Definitions& definitions) {
  return Parser(text, definitions).parse();
}

}  // namespace tapir::sim::drill
