// SPDX-License-Identifier: Apache-2.0
#include "tapir/error.hpp"

#include <cstring>
#include <ostream>

namespace tapir {

std::string Error::name() const {
  const char* name = ::strerrorname_np(number_);
  return name != nullptr ? name : "errno " + std::to_string(number_);
}

std::string Error::message() const {
  return std::string(call_) + ": " + code().message() + " (" + name() + ")";
}

std::ostream& operator<<(std::ostream& out, const Error& error) { return out << error.message(); }

}  // namespace tapir
