// SPDX-License-Identifier: Apache-2.0
// The one file that knows libcrypto. Left out where there is none, and of the preload library, which fetches
// it only when it is asked for.
#include <openssl/evp.h>

#include "tcp/md5_digest.h"

namespace tapir::tcp {

bool md5_of(Bytes front, std::span<const Bytes> middle, Bytes end, Md5Digest& digest) {
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  bool made = context != nullptr && EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1 &&
              EVP_DigestUpdate(context, front.data(), front.size()) == 1;
  for (const Bytes piece : middle) made = made && EVP_DigestUpdate(context, piece.data(), piece.size()) == 1;
  made = made && EVP_DigestUpdate(context, end.data(), end.size()) == 1 &&
         EVP_DigestFinal_ex(context, digest.data(), nullptr) == 1;
  EVP_MD_CTX_free(context);
  return made;
}

}  // namespace tapir::tcp
