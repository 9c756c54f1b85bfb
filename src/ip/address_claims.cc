// SPDX-License-Identifier: Apache-2.0
#include "ip/address_claims.h"

#include <algorithm>

namespace tapir::ip {

bool AddressClaims::claim(InterfaceId interface, const MacAddress& mac, const IpPrefix& address, bool probe,
                          bool defend, Instant now) {
  release(interface, address.address);
  if (claims_.size() == kClaimsMax) return false;
  Claim claim;
  claim.interface = interface;
  claim.mac = mac;
  claim.address = address;
  claim.defend = defend;
  if (probe) {
    claim.left = kProbeNum;
    // At random, so that hosts that start together do not ask together (RFC 5227 §2.1.1).
    claim.at = later(now, Duration(static_cast<Duration::rep>(
                              rng_.below(static_cast<std::uint64_t>(Duration(kProbeWait).count())))));
  } else {
    claim.phase = Phase::kAnnouncing;
    claim.left = kAnnounceNum;
    claim.at = now;
    claim.told = true;
  }
  claims_.push_back(claim);
  rearm();
  return true;
}

void AddressClaims::release(InterfaceId interface, const IpAddress& address) {
  std::erase_if(claims_, [&](const Claim& each) {
    return each.interface == interface && each.address.address == address;
  });
  rearm();
}

void AddressClaims::rearm() {
  quiet_ = false;
  next_ = kNever;
  for (const Claim& each : claims_) next_ = std::min(next_, each.at);
}

bool AddressClaims::tentative(InterfaceId interface, const IpAddress& address) const {
  return std::any_of(claims_.begin(), claims_.end(), [&](const Claim& each) {
    return each.interface == interface && each.address.address == address &&
           (each.phase == Phase::kProbing || each.phase == Phase::kWaiting);
  });
}

// RFC 5227 §2.1.1: while we ask, anything from the address, and anybody else's question for it, is a
// conflict. §2.4 (c): later, we answer a rival once in ten seconds and keep the address.
void AddressClaims::on_arp(InterfaceId interface, const wire::ArpPacket& packet, Instant now) {
  for (Claim& each : claims_) {
    if (each.interface != interface || packet.sender_mac == each.mac) continue;
    const bool from_it = packet.sender_ip == each.address.address;
    const bool asked_by_another = packet.sender_ip.is_unspecified() &&
                                  packet.operation == wire::ArpOperation::kRequest &&
                                  packet.target_ip == each.address.address;
    const bool asking = each.phase == Phase::kProbing || each.phase == Phase::kWaiting;
    if (asking && (from_it || asked_by_another)) {
      ++conflicts_;
      each.phase = Phase::kLost;
      each.at = kNever;
      each.rival = packet.sender_mac;
    } else if (!asking && each.phase != Phase::kLost && from_it) {
      ++conflicts_;
      if (!each.defend || (each.defended && now < later(each.defended_at, kDefendInterval))) continue;
      each.defended = true;
      each.defended_at = now;
      each.send_due = true;
    }
  }
  rearm();
}

void AddressClaims::on_timeout(Instant now) {
  if (now < next_) return;
  for (Claim& each : claims_) {
    if (each.at > now) continue;
    switch (each.phase) {
      case Phase::kProbing: {
        each.send_due = true;
        const Duration span = kProbeMax - kProbeMin;
        const auto drawn = static_cast<Duration::rep>(rng_.below(static_cast<std::uint64_t>(span.count())));
        if (--each.left != 0) {
          each.at = later(now, kProbeMin + Duration(drawn));
        } else {
          each.phase = Phase::kWaiting;
          each.at = later(now, kAnnounceWait);
        }
        break;
      }
      case Phase::kWaiting:
        each.phase = Phase::kAnnouncing;
        each.left = kAnnounceNum;
        [[fallthrough]];
      case Phase::kAnnouncing:
        each.send_due = true;
        if (--each.left != 0) {
          each.at = later(now, kAnnounceInterval);
        } else {
          each.phase = Phase::kHeld;
          each.at = kNever;
        }
        break;
      case Phase::kHeld:
      case Phase::kLost:
        each.at = kNever;
        break;
    }
  }
  rearm();
}

std::optional<ArpToSend> AddressClaims::poll_arp() {
  for (Claim& each : claims_) {
    if (!each.send_due) continue;
    each.send_due = false;
    const bool probe = each.phase == Phase::kProbing || each.phase == Phase::kWaiting;
    ArpToSend arp;
    arp.interface = each.interface;
    arp.destination = wire::kBroadcastMac;
    arp.packet.sender_mac = each.mac;
    // A probe names no sender, so that nobody learns what may not be ours.
    arp.packet.sender_ip = probe ? IpAddress::any_v4() : each.address.address;
    arp.packet.target_ip = each.address.address;
    return arp;
  }
  return std::nullopt;
}

std::optional<ClaimOutcome> AddressClaims::poll_outcome() {
  for (Claim& each : claims_) {
    const bool settled = each.phase != Phase::kProbing && each.phase != Phase::kWaiting;
    if (each.told || !settled) continue;
    each.told = true;
    return ClaimOutcome{each.interface, each.address, each.phase != Phase::kLost, each.rival};
  }
  quiet_ = std::none_of(claims_.begin(), claims_.end(), [](const Claim& each) { return each.send_due; });
  return std::nullopt;
}

}  // namespace tapir::ip
