// SPDX-License-Identifier: Apache-2.0
// A line from a terminal, with editing, history and completion (libedit). The one file of the command that
// knows it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tapir::cli {

class LineEditor {
 public:
  // Lines that history keeps.
  static constexpr int kHistoryMax = 1000;
  // What may stand for the last word of `line`, which ends at the cursor; whole words.
  using Complete = std::function<std::vector<std::string>(std::string_view line)>;

  // On standard input and output, which are a terminal. `history`: a file that lines are kept in; empty:
  // none.
  LineEditor(std::string prompt, std::string history, Complete complete);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Outcome : std::uint8_t { kLine, kInterrupted, kEnd };
  // The next line without its end. kInterrupted: Ctrl-C (interrupt.h has the signal). kEnd: Ctrl-D.
  Outcome read(std::string& line);
  // Shows lines while read() waits or not: above what is being typed. From any thread.
  void show(const std::string& lines);

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;
};

}  // namespace tapir::cli
