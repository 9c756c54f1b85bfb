// SPDX-License-Identifier: Apache-2.0
// The answer to a segment that nobody owns (RFC 9293 §3.10.7.1; Linux: tcp_v4_send_reset).
#pragma once

#include <optional>

#include "wire/tcp_segment.h"

namespace tapir::tcp {

// The RST for `segment`, ports turned round; nothing for a RST, which is never answered.
std::optional<wire::TcpSegment> build_reset(const wire::TcpSegment& segment);

}  // namespace tapir::tcp
