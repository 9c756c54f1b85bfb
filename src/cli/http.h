// SPDX-License-Identifier: Apache-2.0
// The files of one folder over HTTP/1.1 (RFC 9110, RFC 9112), for `tapir up --serve http:80=DIR`: GET and
// HEAD, keep-alive and pipelining, an index of folders. Knows no socket: bytes go in, heads and pieces of
// files come out.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "drivers/descriptor.h"

namespace tapir::cli {

// Bytes of one request's line and headers; a longer one is answered 431 (nginx's large_client_header_buffers:
// 8 KiB).
inline constexpr std::size_t kHttpHeadMax = 8192;
// Names that one index of a folder lists; the rest is left out, and said to be.
inline constexpr std::size_t kHttpIndexMax = 10'000;

// What a request asks.
struct HttpRequest {
  std::string method;
  std::string target;  // as sent: "/a%20b?c"
  bool keep_alive = true;
  int refused = 0;  // the status of a request that is none, or that asks for what we do not do; 0 = none
};

// Takes one request off the front of `buffered`, when its head is there whole. A head that cannot be one is
// answered with `refused`.
std::optional<HttpRequest> take_http_request(std::string& buffered);

// An answer: the head, then `body` or `left` bytes of `file` from `offset`.
struct HttpAnswer {
  std::string text;                // head, and a body that is made here
  drivers::KernelDescriptor file;  // none: all is in `text`
  std::uint64_t offset = 0;        // the next byte of the file
  std::uint64_t left = 0;          // bytes of the file yet to be sent
  bool keep_alive = true;
};

// The folder. Nothing above it can be reached: the kernel resolves names beneath it (openat2(2),
// RESOLVE_BENEATH), symlinks too.
class HttpFolder {
 public:
  // What went wrong is one sentence.
  static std::expected<HttpFolder, std::string> open(const std::string& path);

  // `date`: seconds since 1970, for the Date header.
  HttpAnswer answer(const HttpRequest& request, std::int64_t date) const;

 private:
  explicit HttpFolder(drivers::KernelDescriptor folder) : folder_(std::move(folder)) {}
  HttpAnswer answer_path(const HttpRequest& request, const std::string& path, std::string_view query,
                         std::int64_t date) const;
  drivers::KernelDescriptor open_beneath(const std::string& path) const;

  drivers::KernelDescriptor folder_;
};

}  // namespace tapir::cli
