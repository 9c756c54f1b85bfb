// SPDX-License-Identifier: Apache-2.0
// A stack under test on virtual time, whose every event is written down as a line of a packetdrill script:
// what was done to it, and what it did. The script passes on the stack it was written from; played on
// another, it tells where the two part.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sim/drill/ast.h"
#include "sim/drill/connection.h"
#include "sim/drill/machine.h"
#include "sim/drill/packets.h"
#include "sim/drill/shell.h"

namespace tapir::scenarios {

using sim::drill::IpSpec;
using sim::drill::SeenSegment;
using sim::drill::TcpSpec;

class Recorder {
 public:
  // `commands`: shell commands of the script's beginning, each on a line of its own.
  explicit Recorder(std::string_view commands);

  // Told each segment of the stack, in the script's numbers, as soon as it is written down.
  void on_sent(std::function<void(const SeenSegment&)> told) { told_ = std::move(told); }

  Duration now() const { return machine_.now() - sim::drill::Machine::kStart; }
  // When the stack does something by itself, at the latest.
  Duration next_timeout() const { return machine_.next_timeout() - sim::drill::Machine::kStart; }
  // When the stack was last given something to do by the script.
  Duration last_event() const { return last_event_; }
  // Whether the stack acts by itself, not in answer to something that is done to it.
  bool by_itself() const { return by_itself_; }
  // Lets the time pass, with what becomes due.
  void advance_to(Duration until);

  // A listener, the peer's SYN with these options, and the accepted socket, `rtt` after it.
  void accept_connection(TcpSpec syn, Duration rtt, bool timestamps);
  void inject(const TcpSpec& spec, const IpSpec& ip = {});

  // Calls on the accepted socket; what they answer is written down, whatever it is.
  void write(std::uint32_t size, int flags = 0);
  void read(std::uint32_t size);
  void set_option(std::string_view level, int level_number, std::string_view name, int number, int value);
  // Asserts that TCP_INFO says what it says now.
  void assert_info();

  // From here on after everything that is done.
  void look_closely() { closely_ = true; }
  // Windows hang on the true sizes of what a kernel's device hands up: they are not compared.
  void without_windows() { with_window_ = false; }

  const std::string& text() const { return text_; }
  bool broken() const { return !machine_.broken().empty(); }
  // TS val of the stack's last segment.
  std::uint32_t last_timestamp() const { return last_timestamp_; }

 private:
  void line(std::string_view what);
  void drain();
  // After something was done: what it caused.
  void settle();
  void write_down(const SeenSegment& scripted);
  void told_of(const sim::drill::SentPacket& packet);

  sim::drill::Settings settings_ = sim::drill::default_settings();
  sim::drill::Machine machine_{settings_};
  sim::drill::Shell shell_{machine_};
  sim::drill::Connection connection_;
  std::function<void(const SeenSegment&)> told_ = [](const SeenSegment&) {};
  std::string text_;
  Duration last_event_{};
  bool by_itself_ = true;
  bool closely_ = false;
  int fd_ = -1;
  bool with_window_ = true;
  std::uint32_t last_timestamp_ = 0;
};

}  // namespace tapir::scenarios
