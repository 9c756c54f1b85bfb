// SPDX-License-Identifier: Apache-2.0
// MD5 of OpenSSL's libcrypto, fetched when a program first sets TCP_MD5SIG: a library that is put before any
// program must not bring a libcrypto into those that have none, or meet another version in those that have
// one. Left out of a build without libcrypto.
#include "preload/md5_from_libcrypto.h"

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>

#include "tcp/md5_digest.h"

namespace tapir::preload {
namespace {

// OpenSSL 3 and 1.1. Their digests of old need no provider, no configuration and no memory, and go on while
// the process exits.
constexpr std::array kLibraries = {"libcrypto.so.3", "libcrypto.so.1.1"};
// MD5_CTX has 92 bytes in both.
struct alignas(std::max_align_t) Context {
  std::array<std::byte, 256> bytes;
};

struct Libcrypto {
  int (*init)(Context*) = nullptr;
  int (*update)(Context*, const void*, std::size_t) = nullptr;
  int (*final)(std::uint8_t*, Context*) = nullptr;
};

Libcrypto libcrypto;
std::once_flag sought;
std::atomic<bool> found = false;

template <typename Function>
bool find(void* library, Function& into, const char* name) {
  into = reinterpret_cast<Function>(::dlsym(library, name));
  return into != nullptr;
}

void seek() {
  for (const char* const name : kLibraries) {
    void* const library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    if (find(library, libcrypto.init, "MD5_Init") && find(library, libcrypto.update, "MD5_Update") &&
        find(library, libcrypto.final, "MD5_Final"))
      return found.store(true, std::memory_order_release);
    ::dlclose(library);
  }
}

}  // namespace

void seek_libcrypto() { std::call_once(sought, seek); }

}  // namespace tapir::preload

namespace tapir::tcp {

bool md5_of(Bytes front, std::span<const Bytes> middle, Bytes end, Md5Digest& digest) {
  if (!preload::found.load(std::memory_order_acquire)) return false;
  const preload::Libcrypto& crypto = preload::libcrypto;
  preload::Context context;
  bool made = crypto.init(&context) == 1 && crypto.update(&context, front.data(), front.size()) == 1;
  for (const Bytes piece : middle) made = made && crypto.update(&context, piece.data(), piece.size()) == 1;
  return made && crypto.update(&context, end.data(), end.size()) == 1 &&
         crypto.final(digest.data(), &context) == 1;
}

}  // namespace tapir::tcp
