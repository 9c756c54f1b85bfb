// SPDX-License-Identifier: Apache-2.0
// `tapir nc` and `tapir snc`. The sockets are the stack's, in its process; bytes of our standard input and
// output cross the control connection. Input waits for {"taken": true} before more of it is said, so that
// TCP's flow control reaches the terminal.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/base64.h"
#include "cli/commands.h"
#include "runtime/clock.h"
#include "runtime/mixed_wait.h"

namespace tapir::cli {
namespace {

using nlohmann::json;

// Bytes moved at a time.
constexpr std::size_t kChunk = 48 * 1024;

sockaddr_in socket_address(const Endpoint& at) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(at.port);
  address.sin_addr.s_addr = htonl(at.address.is_v4() ? at.address.v4_bits() : 0);
  return address;
}
const sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}
std::string text_of(const sockaddr_in& address) {
  return Endpoint{IpAddress::v4(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)}.to_string();
}

// A descriptor of the stack, closed when it goes.
class StackSocket {
 public:
  explicit StackSocket(runtime::StackHost& host, runtime::Descriptor fd = -1) : host_(host), fd_(fd) {}
  ~StackSocket() { reset(); }
  StackSocket(const StackSocket&) = delete;
  StackSocket& operator=(const StackSocket&) = delete;
  void reset(runtime::Descriptor fd = -1) {
    if (fd_ >= 0) (void)host_.close(fd_);
    fd_ = fd;
  }
  runtime::Descriptor get() const { return fd_; }

 private:
  runtime::StackHost& host_;
  runtime::Descriptor fd_;
};

// What one client of nc asked for, and how far it is.
class Conversation {
 public:
  Conversation(Running& running, const json& question, runtime::ControlReply& reply)
      : host_(running.host), question_(question), reply_(reply), listener_(host_), socket_(host_) {
    udp_ = question.value("udp", false);
    wait_ = std::chrono::milliseconds(question.value("wait_ms", 0U));
    ended_ = question.value("no_input", false);
  }

  void run() {
    const auto local = endpoint("source", "source_port"), remote = endpoint("host", "port");
    if (!local || !remote) return;
    if (question_.value("listen", false)) return serve(*local);
    if (!open(socket_, *local) || !connect(*remote)) return;
    if (!question_.value("scan", false)) talk();
  }

 private:
  bool fail(std::string_view what, socket::Errno error) {
    return fail(fmt::format("{}: {}", what, std::strerror(static_cast<int>(error))));
  }
  // The sockets are closed before the client hears of the end: what it asks next finds them gone.
  bool fail(const std::string& why) {
    socket_.reset();
    listener_.reset();
    reply_.fail(why);
    return false;
  }

  std::optional<Endpoint> endpoint(const char* host, const char* port) {
    const std::string text = question_.value(host, "");
    const auto address = IpAddress::parse(text.empty() ? "0.0.0.0" : text);
    if (!address || !address->is_v4()) {
      reply_.fail(fmt::format("'{}' is no IPv4 address", text));
      return std::nullopt;
    }
    return Endpoint{*address, question_.value(port, std::uint16_t{0})};
  }

  bool open(StackSocket& into, const Endpoint& local) {
    const auto fd = host_.socket(AF_INET, (udp_ ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
    if (!fd) return fail("no socket", fd.error());
    into.reset(*fd);
    const int on = 1;
    (void)host_.setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (local.port == 0 && local.address.is_unspecified()) return true;
    const sockaddr_in address = socket_address(local);
    if (const auto bound = host_.bind(*fd, as_sockaddr(address), sizeof address); !bound)
      return fail(fmt::format("{} cannot be bound", local.to_string()), bound.error());
    return true;
  }

  // Waits until the socket has one of `events`. False: the client is gone, or the time is over.
  bool wait_for(runtime::Descriptor fd, short events, Duration limit) {
    const Instant deadline = limit == Duration::zero() ? kNever : runtime::monotonic_now() + limit;
    for (;;) {
      if (wait_once(fd, events, deadline)) return true;
      hear();
      if (!reply_.open()) return false;
      if (runtime::monotonic_now() >= deadline) return false;
    }
  }

  // Until the socket has one of `events`, the client says something or goes, or `deadline`. True: the socket
  // has.
  bool wait_once(runtime::Descriptor fd, short events, Instant deadline) {
    std::array<pollfd, 1> ours = {pollfd{events == 0 ? -1 : fd, events, 0}};
    std::array<pollfd, 2> client = reply_.ends(POLLIN | POLLRDHUP);
    (void)::poll(client.data(), client.size(), 0);
    const Instant now = runtime::monotonic_now();
    const std::optional<Duration> limit =
        deadline == kNever ? std::nullopt : std::optional(std::max(deadline - now, Duration::zero()));
    runtime::MixedPoll wait(ours, client, limit, nullptr);
    (void)host_.run(wait, -1);
    return ours[0].revents != 0;
  }

  bool connect(const Endpoint& remote) {
    const sockaddr_in address = socket_address(remote);
    const auto begun = host_.connect(socket_.get(), as_sockaddr(address), sizeof address);
    if (!begun && begun.error() != socket::Errno{EINPROGRESS})
      return fail(fmt::format("no connection to {}", remote.to_string()), begun.error());
    if (!begun) {
      if (!wait_for(socket_.get(), POLLOUT, wait_)) {
        return reply_.open() &&
               fail(fmt::format("no connection to {}: nobody answered in time", remote.to_string()));
      }
      int error = 0;
      socklen_t length = sizeof error;
      (void)host_.getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0)
        return fail(fmt::format("no connection to {}", remote.to_string()), socket::Errno{error});
    }
    return reply_.send({{"connected", remote.to_string()}});
  }

  void serve(const Endpoint& local) {
    if (!open(udp_ ? socket_ : listener_, local)) return;
    sockaddr_in address{};
    socklen_t length = sizeof address;
    (void)host_.getsockname(udp_ ? socket_.get() : listener_.get(), reinterpret_cast<sockaddr*>(&address),
                            &length);
    if (udp_) {
      reply_.send({{"listening", text_of(address)}});
      return talk();
    }
    if (const auto listening = host_.listen(listener_.get(), 8); !listening) {
      fail("it cannot listen", listening.error());
      return;
    }
    reply_.send({{"listening", text_of(address)}});
    do {
      if (!wait_for(listener_.get(), POLLIN, Duration::zero())) return;
      sockaddr_in from{};
      socklen_t from_length = sizeof from;
      const auto accepted =
          host_.accept(listener_.get(), reinterpret_cast<sockaddr*>(&from), &from_length, SOCK_NONBLOCK);
      if (!accepted) continue;
      if (!question_.value("keep", false)) listener_.reset();
      socket_.reset(*accepted);
      input_over_ = false;
      reply_.send({{"connected", text_of(from)}});
      talk();
      socket_.reset();
    } while (reply_.open() && question_.value("keep", false));
  }

  // Takes what the client said, if it did.
  void hear() {
    while (const auto said = reply_.receive(Duration::zero())) {
      if (said->contains("in")) {
        pending_ = from_base64(said->value("in", ""));
        sent_ = 0;
      }
      if (said->value("eof", false)) ended_ = true;
    }
  }

  // Bytes both ways until both ends have had enough.
  void talk() {
    const bool half_close = question_.value("half_close", false),
               no_output = question_.value("no_output", false);
    const bool interactive = question_.value("interactive", false), quits = question_.contains("quit_ms");
    const Duration quit = std::chrono::milliseconds(question_.value("quit_ms", 0U));
    bool closed = false;  // our direction
    Instant last = runtime::monotonic_now(), ended_at = kNever;
    while (reply_.open()) {
      hear();
      bool moved = false;
      if (!send_pending(moved)) return;
      if (ended_ && pending_.empty() && !closed && !udp_ && (half_close || no_output)) {
        closed = true;
        (void)host_.shutdown(socket_.get(), SHUT_WR);
      }
      if (ended_ && pending_.empty() && no_output && udp_) return;
      switch (receive(moved, no_output)) {
        case Received::kEnd:
          // The peer has said all: what is left is ours to say, unless somebody would have to type it.
          if (pending_.empty() && (ended_ || interactive)) return;
          break;
        case Received::kError:
          return;
        case Received::kBytes:
        case Received::kNothing:
          break;
      }
      const Instant now = runtime::monotonic_now();
      if (moved) last = now;
      if (ended_ && ended_at == kNever && pending_.empty()) ended_at = now;
      if (quits && ended_at != kNever && now >= ended_at + quit) return;
      if (wait_ != Duration::zero() && now >= last + wait_) return;
      if (moved) continue;
      const short events = static_cast<short>((input_over_ ? 0 : POLLIN) | (pending_.empty() ? 0 : POLLOUT));
      const Instant quits_at = quits && ended_at != kNever ? ended_at + quit : kNever;
      (void)wait_once(socket_.get(), events,
                      std::min(quits_at, wait_ != Duration::zero() ? last + wait_ : kNever));
    }
  }

  bool send_pending(bool& moved) {
    // A UDP listener knows its peer by the peer's first datagram.
    if (pending_.empty() || (udp_ && question_.value("listen", false) && !peer_)) return true;
    const auto sent =
        peer_ ? host_.sendto(socket_.get(), pending_.data() + sent_, pending_.size() - sent_, MSG_NOSIGNAL,
                             as_sockaddr(*peer_), sizeof *peer_)
              : host_.send(socket_.get(), pending_.data() + sent_, pending_.size() - sent_, MSG_NOSIGNAL);
    if (!sent) {
      if (sent.error() == socket::Errno{EAGAIN}) return true;
      return fail("nothing more can be sent", sent.error());
    }
    moved = true;
    sent_ += static_cast<std::size_t>(*sent);
    if (sent_ < pending_.size()) return true;
    pending_.clear();
    return reply_.send({{"taken", true}});
  }

  enum class Received : std::uint8_t { kBytes, kNothing, kEnd, kError };
  Received receive(bool& moved, bool no_output) {
    if (input_over_) return Received::kEnd;
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const auto got = host_.recvfrom(socket_.get(), buffer_.data(), buffer_.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &length);
    if (!got) {
      if (got.error() == socket::Errno{EAGAIN}) return Received::kNothing;
      fail("the connection is lost", got.error());
      return Received::kError;
    }
    if (udp_ && question_.value("listen", false) && !peer_) {
      peer_ = from;
      reply_.send({{"connected", text_of(from)}});
    }
    if (*got == 0 && !udp_) {
      input_over_ = true;
      return Received::kEnd;
    }
    moved = true;
    if (!no_output) reply_.send({{"out", to_base64(Bytes(buffer_).first(static_cast<std::size_t>(*got)))}});
    return Received::kBytes;
  }

  runtime::StackHost& host_;
  const json& question_;
  runtime::ControlReply& reply_;
  StackSocket listener_;
  StackSocket socket_;
  bool udp_ = false;
  Duration wait_{};                    // -w; zero: for ever
  bool ended_ = false;                 // the client has no more to say
  bool input_over_ = false;            // the peer has no more to say
  std::optional<sockaddr_in> peer_;    // of a UDP listener
  std::vector<std::uint8_t> pending_;  // said by the client, not yet sent whole
  std::size_t sent_ = 0;               // of pending_
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(std::size_t{64} * 1024);
};

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

bool is_address(const std::string& text) {
  const auto address = IpAddress::parse(text);
  return address && address->is_v4();
}

// Standard input, a chunk at a time; the next when the last was taken.
class StandardInput {
 public:
  explicit StandardInput(bool reads) : ended_(!reads) {
    input.descriptor = reads ? STDIN_FILENO : -1;
    input.next = [this] { return next(); };
  }
  void taken() {
    if (!ended_) input.descriptor = STDIN_FILENO;
  }
  runtime::ControlInput input;

 private:
  std::optional<json> next() {
    std::array<std::uint8_t, kChunk> chunk;
    const ssize_t n = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) return std::nullopt;
    input.descriptor = -1;
    if (n > 0) return json{{"in", to_base64(Bytes(chunk).first(static_cast<std::size_t>(n)))}};
    ended_ = true;
    return json{{"eof", true}};
  }
  bool ended_;
};

int converse(std::string_view name, const NcOptions& options, json question) {
  question["command"] = "nc";
  question["udp"] = options.udp;
  question["listen"] = options.listen;
  question["keep"] = options.keep;
  question["half_close"] = options.half_close;
  question["no_input"] = options.no_input;
  question["no_output"] = options.no_output;
  question["scan"] = options.scan;
  question["wait_ms"] = static_cast<std::uint32_t>(options.wait * 1000);
  if (options.quit) question["quit_ms"] = static_cast<std::uint32_t>(*options.quit * 1000);
  question["interactive"] = options.no_input || ::isatty(STDIN_FILENO) == 1;
  StandardInput standard(!options.no_input && !options.scan);
  return ask_stream(
      name, options, question,
      [&](const json& data) {
        if (const auto out = data.find("out"); out != data.end()) {
          const std::vector<std::uint8_t> bytes = from_base64(out->get_ref<const std::string&>());
          std::fwrite(bytes.data(), 1, bytes.size(), stdout);
          std::fflush(stdout);
        }
        if (data.contains("taken")) standard.taken();
        if (options.verbose || options.scan) {
          if (data.contains("listening"))
            fmt::print(stderr, "Listening on {}\n", data.value("listening", ""));
          if (data.contains("connected"))
            fmt::print(stderr, "Connection {} {}{}\n", options.listen ? "received from" : "to",
                       data.value("connected", ""), options.listen ? "" : " succeeded!");
        }
        return true;
      },
      &standard.input);
}

}  // namespace

void answer_nc(Running& running, const json& question, runtime::ControlReply& reply) {
  Conversation(running, question, reply).run();
}

int nc_main(const NcOptions& options) {
  json question;
  std::vector<std::string> words = options.words;
  if (words.size() > 2) return complain("nc", "one HOST and one PORT, please", 2);
  if (options.listen) {
    // "-l 8080", "-l 10.0.0.1 8080", "-l -p 8080".
    std::optional<std::uint16_t> port = options.source_port;
    if (!words.empty()) {
      if (words.size() == 1 && options.source_port) words.push_back(fmt::to_string(*options.source_port));
      port = port_of(words.back());
      if (!port) return complain("nc", fmt::format("'{}' is no port", words.back()), 2);
      words.pop_back();
    }
    if (!port) return complain("nc", "say the port to listen at: nc -l PORT", 2);
    question["source"] = words.empty() ? options.source.value_or("") : words.front();
    question["source_port"] = *port;
    if (!question["source"].get<std::string>().empty() && !is_address(question["source"]))
      return complain("nc",
                      fmt::format("'{}' is no IPv4 address; names are not looked up",
                                  question["source"].get<std::string>()),
                      2);
    return converse("nc", options, question);
  }
  if (words.size() != 2) return complain("nc", "say where to: nc ADDRESS PORT, or listen: nc -l PORT", 2);
  if (!is_address(words[0]))
    return complain("nc", fmt::format("'{}' is no IPv4 address; names are not looked up", words[0]), 2);
  const auto port = port_of(words[1]);
  if (!port || *port == 0) return complain("nc", fmt::format("'{}' is no port", words[1]), 2);
  question["host"] = words[0];
  question["port"] = *port;
  question["source"] = options.source.value_or("");
  question["source_port"] = options.source_port.value_or(0);
  return converse("nc", options, question);
}

int snc_main(const SncOptions& options) {
  if (options.bind.has_value() == options.connect.has_value())
    return complain(
        "snc", "either -b ADDRESS:PORT, to listen and print, or -c ADDRESS:PORT, to connect and send", 2);
  const std::string& text = options.bind ? *options.bind : *options.connect;
  const std::size_t colon = text.rfind(':');
  const auto port =
      colon == std::string::npos ? std::nullopt : port_of(std::string_view(text).substr(colon + 1));
  if (!port || *port == 0 || !is_address(text.substr(0, colon)))
    return complain("snc", fmt::format("'{}' is no ADDRESS:PORT, like 10.0.0.1:8080", text), 2);
  NcOptions nc;
  nc.control = options.control;
  nc.udp = options.udp;
  nc.verbose = options.verbose;
  nc.listen = nc.no_input = options.bind.has_value();
  nc.no_output = options.connect.has_value();
  json question;
  question[options.bind ? "source" : "host"] = text.substr(0, colon);
  question[options.bind ? "source_port" : "port"] = *port;
  return converse("snc", nc, question);
}

}  // namespace tapir::cli
