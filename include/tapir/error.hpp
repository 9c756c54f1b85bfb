// SPDX-License-Identifier: Apache-2.0
/// What went wrong in a call on a socket: Linux's errno, and which call it was. It prints itself:
///
///     connect: Connection refused (ECONNREFUSED)
#pragma once

#include <expected>
#include <iosfwd>
#include <string>
#include <string_view>
#include <system_error>

namespace tapir {

class Error {
 public:
  /// `call`: a text that lives for ever.
  constexpr Error(int number, const char* call) : number_(number), call_(call) {}

  /// The errno.
  constexpr int number() const { return number_; }
  /// "ECONNREFUSED".
  std::string name() const;
  /// The call that failed: "connect".
  constexpr std::string_view call() const { return call_; }
  /// All of it, as above.
  std::string message() const;

  /// Of std::generic_category().
  std::error_code code() const { return {number_, std::generic_category()}; }
  operator std::error_code() const { return code(); }

  friend constexpr bool operator==(const Error& error, std::errc number) {
    return error.number_ == static_cast<int>(number);
  }
  friend constexpr bool operator==(const Error& one, const Error& other) {
    return one.number_ == other.number_;
  }
  friend std::ostream& operator<<(std::ostream& out, const Error& error);

 private:
  int number_;
  const char* call_;
};

template <typename T>
using SocketResult = std::expected<T, Error>;

}  // namespace tapir
