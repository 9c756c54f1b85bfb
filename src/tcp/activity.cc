// SPDX-License-Identifier: Apache-2.0
#include "tcp/activity.h"

namespace tapir::tcp {

const Activity& ActivityRef::nothing() {
  // Never destroyed: a program that ends may still have connections, and threads that look at them.
  static const auto* const none = new Activity;
  return *none;
}

}  // namespace tapir::tcp
