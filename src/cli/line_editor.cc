// SPDX-License-Identifier: Apache-2.0
#include "cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <cwchar>

#include "cli/interrupt.h"
#include "drivers/descriptor.h"

namespace tapir::cli {
namespace {

// A handler can reach nothing but a global.
volatile std::sig_atomic_t resized = 0;
void note_resize(int) { resized = 1; }

std::string common_front(const std::vector<std::string>& words) {
  std::string front = words.front();
  for (const std::string& word : words) {
    const auto differ = std::mismatch(front.begin(), front.end(), word.begin(), word.end());
    front.erase(differ.first, front.end());
  }
  return front;
}

}  // namespace

struct LineEditor::Terminal {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string prompt;
  std::string history_file;
  Complete complete;
  drivers::KernelDescriptor shown;  // eventfd; readable: lines were shown, what is typed is to be drawn again
  std::atomic<bool> at_prompt = false;

  static Terminal& of(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<Terminal*>(data);
  }
  static char* prompt_of(EditLine* editor) { return of(editor).prompt.data(); }

  // One character; waits for the terminal, a resize, lines shown by others, and Ctrl-C.
  static int get_character(EditLine* editor, wchar_t* out) {
    Terminal& terminal = of(editor);
    std::mbstate_t state{};
    for (;;) {
      std::array<pollfd, 2> waiting = {pollfd{STDIN_FILENO, POLLIN, 0},
                                       pollfd{terminal.shown.get(), POLLIN, 0}};
      const int ready = ::poll(waiting.data(), waiting.size(), -1);
      if (interrupted() != 0) {
        errno = EINTR;
        return -1;
      }
      if (std::exchange(resized, 0) != 0) el_resize(editor);
      if (ready <= 0) continue;
      if (waiting[1].revents != 0) {
        eventfd_t value = 0;
        ::eventfd_read(terminal.shown.get(), &value);
        el_set(editor, EL_REFRESH);
        continue;
      }
      char byte = 0;
      const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return 0;
      const std::size_t used = std::mbrtowc(out, &byte, 1, &state);
      if (used == static_cast<std::size_t>(-2)) continue;
      if (used == static_cast<std::size_t>(-1)) *out = L'?';
      return 1;
    }
  }

  static unsigned char complete_word(EditLine* editor, int) {
    Terminal& terminal = of(editor);
    const LineInfo* info = el_line(editor);
    const std::string_view line(info->buffer, static_cast<std::size_t>(info->cursor - info->buffer));
    const std::vector<std::string> words = terminal.complete(line);
    if (words.empty()) return CC_ERROR;
    const std::size_t blank = line.find_last_of(" ;");
    const std::string_view typed = blank == std::string_view::npos ? line : line.substr(blank + 1);
    std::string front = common_front(words);
    if (words.size() == 1) front += ' ';
    if (front.size() > typed.size()) {
      el_insertstr(editor, front.c_str() + typed.size());
      return CC_REFRESH;
    }
    std::string list = "\n";
    std::size_t column = 0;
    for (const std::string& word : words) {
      if (column + word.size() + 2 > 80) {
        list += '\n';
        column = 0;
      }
      list += word + "  ";
      column += word.size() + 2;
    }
    std::fputs((list + "\n").c_str(), stdout);
    std::fflush(stdout);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(std::string prompt, std::string history, Complete complete)
    : terminal_(std::make_unique<Terminal>()) {
  Terminal& t = *terminal_;
  t.prompt = std::move(prompt);
  t.history_file = std::move(history);
  t.complete = std::move(complete);
  t.shown = drivers::KernelDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  t.editor = el_init("tapir", stdin, stdout, stderr);
  t.history = history_init();
  HistEvent event;
  ::history(t.history, &event, H_SETSIZE, kHistoryMax);
  ::history(t.history, &event, H_SETUNIQUE, 1);
  if (!t.history_file.empty()) ::history(t.history, &event, H_LOAD, t.history_file.c_str());
  el_set(t.editor, EL_CLIENTDATA, &t);
  el_set(t.editor, EL_PROMPT, &Terminal::prompt_of);
  el_set(t.editor, EL_SIGNAL, 0);
  el_set(t.editor, EL_HIST, ::history, t.history);
  el_set(t.editor, EL_EDITOR, "emacs");
  el_set(t.editor, EL_GETCFN, &Terminal::get_character);
  el_set(t.editor, EL_ADDFN, "tapir-complete", "completes the word", &Terminal::complete_word);
  el_set(t.editor, EL_BIND, "^I", "tapir-complete", nullptr);
  el_set(t.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(t.editor, EL_BIND, "^W", "ed-delete-prev-word", nullptr);
  el_set(t.editor, EL_BIND, "\\e[1~", "ed-move-to-beg", nullptr);
  el_set(t.editor, EL_BIND, "\\e[4~", "ed-move-to-end", nullptr);
  el_set(t.editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  struct sigaction action{};
  action.sa_handler = note_resize;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGWINCH, &action, nullptr);
}

LineEditor::~LineEditor() {
  HistEvent event;
  if (!terminal_->history_file.empty())
    ::history(terminal_->history, &event, H_SAVE, terminal_->history_file.c_str());
  history_end(terminal_->history);
  el_end(terminal_->editor);
}

LineEditor::Outcome LineEditor::read(std::string& line) {
  Terminal& t = *terminal_;
  // el_gets() itself leaves the terminal's line mode only after it drew the prompt: a Ctrl-D typed at once
  // would be lost.
  el_set(t.editor, EL_PREP_TERM, 1);
  t.at_prompt = true;
  int length = 0;
  errno = 0;
  const char* read = el_gets(t.editor, &length);
  t.at_prompt = false;
  if (read == nullptr || length <= 0) {
    if (interrupted() == 0) return Outcome::kEnd;
    el_reset(t.editor);
    return Outcome::kInterrupted;
  }
  line.assign(read, static_cast<std::size_t>(length));
  while (!line.empty() && line.back() == '\n') line.pop_back();
  HistEvent event;
  if (line.find_first_not_of(' ') != std::string::npos) ::history(t.history, &event, H_ENTER, line.c_str());
  return Outcome::kLine;
}

void LineEditor::show(const std::string& lines) {
  const bool typing = terminal_->at_prompt;
  std::fputs(((typing ? "\r\x1b[K" : "") + lines).c_str(), stdout);
  std::fflush(stdout);
  if (typing) ::eventfd_write(terminal_->shown.get(), 1);
}

}  // namespace tapir::cli
