// SPDX-License-Identifier: Apache-2.0
#include "cli/http.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "base/ascii.h"

namespace tapir::cli {
namespace {

using drivers::KernelDescriptor;

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 301:
      return "Moved Permanently";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

// "Sat, 21 Nov 2026 10:00:00 GMT" (RFC 9110 §5.6.7).
std::string http_date(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text.data();
}

std::string_view content_type(std::string_view path) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".htm", "text/html; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".md", "text/plain; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".gif", "image/gif"},
      {".pdf", "application/pdf"},
      {".xml", "application/xml"},
      {".wasm", "application/wasm"},
  };
  for (const auto& [ending, type] : kTypes)
    if (path.ends_with(ending)) return type;
  return "application/octet-stream";
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string escape_uri(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::strchr("-._~", c) != nullptr;
    if (plain && c != '\0')
      escaped += c;
    else
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return escaped;
}

// The path of a target, decoded; nothing when it is none that a file could have.
std::optional<std::string> decode_path(std::string_view target) {
  if (target.starts_with("http://")) {  // the absolute form, which a server must take too (RFC 9112 §3.2.2)
    const std::size_t slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (!target.starts_with('/')) return std::nullopt;
  std::string path;
  for (std::size_t i = 0; i < target.size(); ++i) {
    char c = target[i];
    if (c == '%') {
      if (i + 2 >= target.size()) return std::nullopt;
      const int high = hex_digit(target[i + 1]);
      const int low = hex_digit(target[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    path += c;
  }
  return path;
}

std::string head(int status, std::string_view type, std::uint64_t length, bool keep_alive, std::int64_t date,
                 std::string_view more = {}) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nServer: tapir\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n",
      status, reason_of(status), http_date(date), type, length, more,
      keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
}

HttpAnswer short_answer(const HttpRequest& request, int status, std::int64_t date,
                        std::string_view more = {}) {
  HttpAnswer answer;
  // What follows a request that was not understood cannot be understood either.
  answer.keep_alive = request.keep_alive && request.refused == 0;
  const std::string body = fmt::format("{} {}\n", status, reason_of(status));
  answer.text = head(status, "text/plain; charset=utf-8", body.size(), answer.keep_alive, date, more);
  if (request.method != "HEAD") answer.text += body;
  return answer;
}

std::optional<std::string> index_of(KernelDescriptor folder, const std::string& path) {
  DIR* opened = ::fdopendir(folder.get());
  if (opened == nullptr) return std::nullopt;
  folder.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(opened, ::closedir);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    names.push_back(std::string(name) + (entry->d_type == DT_DIR ? "/" : ""));
    if (names.size() > kHttpIndexMax) break;
  }
  std::sort(names.begin(), names.end());
  const std::string title = escape_html(path);
  std::string page = fmt::format("<!doctype html>\n<title>{}</title>\n<h1>{}</h1>\n<ul>\n", title, title);
  if (path != "/") page += "<li><a href=\"../\">../</a>\n";
  for (std::string& name : names) {
    if (&name - names.data() == static_cast<std::ptrdiff_t>(kHttpIndexMax)) {
      page += "<li>… and more\n";
      break;
    }
    const bool is_folder = name.ends_with('/');
    const std::string_view bare = std::string_view(name).substr(0, name.size() - (is_folder ? 1 : 0));
    page += fmt::format("<li><a href=\"./{}{}\">{}</a>\n", escape_uri(bare), is_folder ? "/" : "",
                        escape_html(name));
  }
  return page + "</ul>\n";
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
           return lower(x) == lower(y);
         });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

// "GET /x HTTP/1.1".
void read_request_line(std::string_view line, HttpRequest& request) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || first == 0) {
    request.refused = 400;
    return;
  }
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!version.starts_with("HTTP/"))
    request.refused = 400;
  else if (!version.starts_with("HTTP/1."))
    request.refused = 505;
  else
    request.keep_alive = version != "HTTP/1.0";
}

void read_header(std::string_view line, HttpRequest& request) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || line.front() == ' ' || line.front() == '\t') {
    request.refused = 400;
    return;
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (equal_ignoring_case(name, "Connection")) {
    if (equal_ignoring_case(value, "close")) request.keep_alive = false;
    if (equal_ignoring_case(value, "keep-alive")) request.keep_alive = true;
  } else if ((equal_ignoring_case(name, "Content-Length") && value != "0") ||
             equal_ignoring_case(name, "Transfer-Encoding")) {
    // GET has no body that means anything; that one follows would have to be read past, so this answer is the
    // last.
    request.keep_alive = false;
  }
}

}  // namespace

std::optional<HttpRequest> take_http_request(std::string& buffered) {
  while (buffered.starts_with("\r\n")) buffered.erase(0, 2);  // RFC 9112 §2.2
  std::size_t end = buffered.find("\r\n\r\n");
  std::size_t skip = 4;
  if (const std::size_t bare = buffered.find("\n\n"); bare < end) {
    end = bare;
    skip = 2;
  }
  HttpRequest request;
  if (end == std::string::npos || end > kHttpHeadMax) {
    if (buffered.size() <= kHttpHeadMax) return std::nullopt;
    request.refused = 431;
    buffered.clear();
    return request;
  }
  const std::string text = buffered.substr(0, end);
  buffered.erase(0, end + skip);
  for (std::size_t at = 0; at <= text.size() && request.refused == 0;) {
    const std::size_t newline = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, newline - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (at == 0)
      read_request_line(line, request);
    else
      read_header(line, request);
    at = newline + 1;
  }
  return request;
}

std::expected<HttpFolder, std::string> HttpFolder::open(const std::string& path) {
  KernelDescriptor folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder)
    return std::unexpected(fmt::format("the folder '{}' cannot be served: {}", path, std::strerror(errno)));
  return HttpFolder(std::move(folder));
}

KernelDescriptor HttpFolder::open_beneath(const std::string& path) const {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;  // a FIFO must not hold us
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return KernelDescriptor(
      static_cast<int>(::syscall(SYS_openat2, folder_.get(), path.c_str(), &how, sizeof how)));
}

HttpAnswer HttpFolder::answer(const HttpRequest& request, std::int64_t date) const {
  if (request.refused != 0) return short_answer(request, request.refused, date);
  if (request.method != "GET" && request.method != "HEAD")
    return short_answer(request, 405, date, "Allow: GET, HEAD\r\n");
  const std::size_t mark = request.target.find_first_of("?#");
  const auto path = decode_path(std::string_view(request.target).substr(0, mark));
  if (!path) return short_answer(request, 400, date);
  const std::string_view query =
      mark == std::string::npos ? std::string_view() : std::string_view(request.target).substr(mark);
  return answer_path(request, *path, query, date);
}

HttpAnswer HttpFolder::answer_path(const HttpRequest& request, const std::string& path,
                                   std::string_view query, std::int64_t date) const {
  KernelDescriptor file = open_beneath("." + path);
  if (!file)
    return short_answer(
        request, errno == EACCES || errno == EXDEV || errno == EPERM || errno == ELOOP ? 403 : 404, date);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return short_answer(request, 404, date);
  std::string name = path;
  if (S_ISDIR(status.st_mode)) {
    if (!path.ends_with('/')) {
      const std::string place = path.substr(path.rfind('/') + 1);
      return short_answer(request, 301, date, fmt::format("Location: {}/{}\r\n", escape_uri(place), query));
    }
    name = path + "index.html";
    KernelDescriptor index = open_beneath("." + name);
    if (!index) {
      const auto page = index_of(std::move(file), path);
      if (!page) return short_answer(request, 403, date);
      HttpAnswer answer;
      answer.keep_alive = request.keep_alive;
      answer.text = head(200, "text/html; charset=utf-8", page->size(), answer.keep_alive, date);
      if (request.method != "HEAD") answer.text += *page;
      return answer;
    }
    file = std::move(index);
    if (::fstat(file.get(), &status) != 0) return short_answer(request, 404, date);
  }
  if (!S_ISREG(status.st_mode)) return short_answer(request, 403, date);

  HttpAnswer answer;
  answer.keep_alive = request.keep_alive;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  answer.text = head(200, content_type(name), size, answer.keep_alive, date,
                     fmt::format("Last-Modified: {}\r\n", http_date(status.st_mtime)));
  if (request.method == "GET" && size != 0) {
    answer.file = std::move(file);
    answer.left = size;
  }
  return answer;
}

}  // namespace tapir::cli
