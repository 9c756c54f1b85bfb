// SPDX-License-Identifier: Apache-2.0
#include "differential/segment_line.h"

namespace tapir::differential {

std::string port_name(const Place& place, unsigned port) {
  if (port == 0) return "0";
  if (port >= place.port_base && port < place.port_base + 10)
    return "P" + std::to_string(port - place.port_base);
  if (port >= 32768 && port <= 60999) return "eph";
  return std::to_string(port);
}

void add_segment(std::vector<std::string>& lines, const Place& place, unsigned source, unsigned destination,
                 unsigned flags, unsigned payload) {
  constexpr unsigned kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;
  if ((flags & (kFin | kSyn | kRst | kUrg)) == 0 && payload == 0) return;
  std::string line = port_name(place, source) + ">" + port_name(place, destination);
  if (payload != 0) line += " " + std::to_string(payload);
  for (const auto& [bit, name] :
       {std::pair{kSyn, " SYN"}, {kFin, " FIN"}, {kRst, " RST"}, {kPsh, " PSH"}, {kUrg, " URG"}})
    if ((flags & bit) != 0) line += name;
  if ((flags & kAck) == 0) line += " no-ACK";
  lines.push_back(std::move(line));
}

}  // namespace tapir::differential
