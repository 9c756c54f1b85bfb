// SPDX-License-Identifier: Apache-2.0
#include "observe/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tapir::observe {

Columns::Columns(std::vector<std::string> header, std::vector<std::size_t> right) : right_(std::move(right)) {
  add(std::move(header));
}

void Columns::add(std::vector<std::string> cells, std::string below) {
  widths_.resize(std::max(widths_.size(), cells.size()));
  for (std::size_t i = 0; i < cells.size(); ++i) widths_[i] = std::max(widths_[i], cells[i].size());
  rows_.push_back({std::move(cells), std::move(below)});
}

std::string Columns::text(bool header) const {
  std::string out;
  for (std::size_t r = header ? 0 : 1; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows_[r].cells.size(); ++i) {
      if (i != 0) line += "  ";
      const bool right = std::find(right_.begin(), right_.end(), i) != right_.end();
      line += right ? fmt::format("{:>{}}", rows_[r].cells[i], widths_[i])
                    : fmt::format("{:<{}}", rows_[r].cells[i], widths_[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n' + rows_[r].below;
  }
  return out;
}

}  // namespace tapir::observe
