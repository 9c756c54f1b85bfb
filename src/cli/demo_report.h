// SPDX-License-Identifier: Apache-2.0
// What the demo tells: numbered steps with their checks, as text or, at the end, as one JSON object.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tapir::cli {

class DemoReport {
 public:
  // `json`: nothing is printed before finish().
  explicit DemoReport(bool json);

  // Columns of the page: the terminal's, between 76 and 110; 100 where there is none.
  std::size_t width() const { return width_; }

  void introduce(std::string_view text);
  // A new step; `why` says in a sentence what is to be seen.
  void step(const std::string& title, std::string_view why);
  // Prints "[ok] what" or "[FAIL] what"; answers `ok`.
  bool check(bool ok, const std::string& what);
  // A line that is no check.
  void note(const std::string& text);
  // Something of several lines, set off; `key` and `data` for the JSON.
  void show(const std::string& text, const char* key, nlohmann::ordered_json data);
  // A fact for the JSON alone.
  void record(const char* key, nlohmann::ordered_json value);
  // The summary; answers whether every check held.
  bool finish(unsigned long milliseconds);

 private:
  void print(std::string_view text);

  bool json_;
  bool colour_;
  std::size_t width_ = 100;
  bool after_blank_ = true;  // nothing, or an empty line, was printed last
  std::size_t checks_ = 0;
  std::size_t failed_ = 0;
  nlohmann::ordered_json steps_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json facts_ = nlohmann::ordered_json::object();
};

}  // namespace tapir::cli
