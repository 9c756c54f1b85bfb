// SPDX-License-Identifier: Apache-2.0
// Lines of cells, each column as wide as its widest cell.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tapir::observe {

class Columns {
 public:
  // Columns whose numbers are in `right` are aligned to the right.
  explicit Columns(std::vector<std::string> header, std::vector<std::size_t> right = {});
  // `below`: lines that follow the row as they are.
  void add(std::vector<std::string> cells, std::string below = {});
  // Two blanks between columns, none at the end of a line.
  std::string text(bool header = true) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string below;
  };
  std::vector<std::size_t> right_;
  std::vector<std::size_t> widths_;
  std::vector<Row> rows_;
};

}  // namespace tapir::observe
