// SPDX-License-Identifier: Apache-2.0
#include "tcp/delivery_rate.h"

#include <algorithm>

namespace tapir::tcp {

void DeliveryRate::on_sent(Transmission& t, bool first, Flight& flight, Instant now) const {
  if (first) flight = {now, now};
  t.first_sent_at = flight.first_sent_at;
  t.delivered_at = flight.delivered_at;
  t.delivered = delivered_;
  t.app_limited = limited_until_ != 0;
}

DeliveryRate::Sample DeliveryRate::on_ack(const AckSummary& summary, std::uint32_t newly, bool ece,
                                          bool reneged, Duration min_rtt, Flight& flight, Instant now) {
  delivered_ += newly;
  if (ece) delivered_ce_ += newly;
  Sample sample;
  if (limited_until_ != 0 && static_cast<std::int32_t>(delivered_ - limited_until_) > 0) limited_until_ = 0;
  if (newly != 0) flight.delivered_at = now;
  if (!summary.anything_delivered) return sample;
  flight.first_sent_at = summary.latest_sent_at;
  if (reneged) return sample;
  sample.delivered = delivered_ - summary.latest_delivered;
  sample.interval =
      std::max(summary.latest_sent_at - summary.latest_first_sent_at, now - summary.latest_delivered_at);
  sample.app_limited = summary.latest_app_limited;
  sample.retransmitted = summary.latest_retransmitted;
  // Faster than the path can answer: ACKs were merged, or the record was sent again meanwhile.
  if (min_rtt != Duration::max() && sample.interval < min_rtt) return {};
  const std::uint64_t interval = std::clamp<std::uint64_t>(to_usec(sample.interval), 1, 0xffffffffU);
  const bool as_fast =
      std::uint64_t{sample.delivered} * rate_interval_us_ >= std::uint64_t{rate_delivered_} * interval;
  if (!sample.app_limited || as_fast) {
    rate_delivered_ = sample.delivered;
    rate_interval_us_ = static_cast<std::uint32_t>(interval);
    rate_app_limited_ = sample.app_limited;
  }
  return sample;
}

void DeliveryRate::on_application_limited(std::uint32_t in_flight) {
  limited_until_ = std::max<std::uint32_t>(delivered_ + in_flight, 1);
}

std::uint64_t DeliveryRate::rate(std::uint16_t mss) const {
  if (rate_interval_us_ == 0) return 0;
  return std::uint64_t{rate_delivered_} * mss * 1000000 / rate_interval_us_;
}

}  // namespace tapir::tcp
