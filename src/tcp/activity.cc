// SPDX-License-Identifier: Apache-2.0
#include "tcp/activity.h"

namespace tapir::tcp {

const Activity& ActivityRef::nothing() {
  static const Activity none;
  return none;
}

}  // namespace tapir::tcp
