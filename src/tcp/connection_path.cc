// SPDX-License-Identifier: Apache-2.0
// The path to the peer, and what it makes of the segments' size (Linux: tcp_current_mss, tcp_sync_mss,
// tcp_simple_retransmit).
#include <algorithm>

#include "tcp/connection.h"

namespace tapir::tcp {

namespace {

// What of a path is alike for many: a gateway is, and that the destination is its own next hop.
PathProperties shared_part(const Path& path) {
  PathProperties properties = path;
  if (properties.next_hop == path.destination) properties.next_hop = {};
  return properties;
}

}  // namespace

Path Connection::path() const {
  Path path;
  static_cast<PathProperties&>(path) = *path_;
  path.source = tuple_.local.address;
  path.destination = tuple_.remote.address;
  if (path.next_hop == IpAddress{}) path.next_hop = path.destination;
  return path;
}

// Shares what of `path` is alike for many. False: no memory, and the old one stands.
bool Connection::adopt_path(const Path& path, Env& env) {
  const PathProperties* const properties = env.paths.share(shared_part(path));
  if (properties == nullptr) return false;
  if (path_ != nullptr) env.paths.drop(path_);
  path_ = properties;
  return true;
}

void Connection::on_path(const Path& path, Env& env, Instant now) {
  const std::uint16_t before = snd_.mss;
  const std::uint32_t mtu = path_->mtu;
  // A SYN with data may have been as long as the path allowed: all of it went unheard.
  const bool syn_too_long = state_ == State::kSynSent && has_mark(kSynData) && path.mtu < path_->mtu;
  if (!adopt_path(path, env)) return;  // as if the news were still to come: the old path's generation says so
  if (state_ == State::kClosed) return;
  // Linux's tcp_current_mss sees a route only once something has left by it, and what waits is cut already:
  // larger segments begin with the write after.
  if (path_->mtu > mtu) {
    path_grew_ = true;
    path_used_ = false;
    return;
  }
  refresh_mss(env);
  if (busy_ && (snd_.mss < before || syn_too_long)) mark_oversized(syn_too_long, env, now);
}

void Connection::use_grown_path(Env& env) {
  path_grew_ = path_used_ = false;
  refresh_mss(env);
}

// The payload of a full segment: what the peer takes and the path carries, less the options of every segment
// (Linux: tcp_mtu_to_mss).
void Connection::refresh_mss(Env& env) {
  std::uint32_t mss = path_->mtu > 40 ? path_->mtu - 40 : 1;
  mss = std::min<std::uint32_t>(mss, snd_.peer_mss == 0 ? 536 : snd_.peer_mss);
  if (state_ == State::kClosed && !passive_) mss = std::min<std::uint32_t>(path_->mtu - 40, path_->advmss);
  // TCP_MAXSEG counts until the peer's SYN came; then it is in peer_mss (Linux: mss_clamp).
  if (options_->max_segment != 0 && !synchronised())
    mss = std::min<std::uint32_t>(mss, options_->max_segment);
  mss -= std::min<std::uint32_t>(mss - 1, options_->ip_options.size);
  mss = std::max<std::uint32_t>(mss, static_cast<std::uint32_t>(env.knobs.tcp_min_snd_mss));
  if (timestamps_) mss -= kTimestampBytes;
  if (signs()) mss -= kMd5OptionBytes;
  mtu_search_.on_path_mtu(static_cast<std::uint16_t>(std::min<std::uint32_t>(path_->mtu, 65535)));
  if (mtu_search_.enabled() && mtu_search_.low() > header_bytes())
    mss = std::min<std::uint32_t>(mss, mtu_search_.low() - header_bytes());
  // A peer with a tiny buffer would wait for more than it can take (Linux: tcp_bound_to_half_wnd).
  if (const std::uint32_t cutoff = snd_.max_wnd > 536 ? snd_.max_wnd / 2 : snd_.max_wnd;
      cutoff != 0 && mss > cutoff)
    mss = std::max<std::uint32_t>(cutoff, 48);
  notsent_low_water_ =
      options_->notsent_low_water != 0 ? options_->notsent_low_water : env.knobs.tcp_notsent_lowat;
  snd_.mss = static_cast<std::uint16_t>(std::min<std::uint32_t>(mss, 65535));
}

void Connection::on_signing_changed(Env& env) {
  if (state_ == State::kClosed) return;
  // A SYN has no room for both (Linux: tcp_syn_options).
  if (state_ == State::kSynSent && busy_->scoreboard.empty() && signs()) timestamps_ = false;
  refresh_mss(env);
}

// Records cut for a larger path cannot get through: they are lost, but not by congestion (Linux:
// tcp_simple_retransmit). `all`: whatever their size.
void Connection::mark_oversized(bool all, Env& env, Instant now) {
  bool any = false;
  for (Transmission* t = busy_->scoreboard.first(); t != nullptr; t = busy_->scoreboard.next(*t)) {
    if (t->sacked || (!all && (t->payload() <= snd_.mss || t->mss <= snd_.mss))) continue;
    busy_->scoreboard.mark_lost(*t);
    any = true;
  }
  if (!any) return;
  busy_->recovery.on_path_mtu(sender(env, now));
  arm_loss(Timer::kRetransmit, later(now, rto_.value()), env, now);
}

}  // namespace tapir::tcp
