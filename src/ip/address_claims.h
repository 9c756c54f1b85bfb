// SPDX-License-Identifier: Apache-2.0
// IPv4 address conflict detection (RFC 5227): an address is asked for before it is used, announced when it
// is, and defended afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "ip/interfaces.h"
#include "ip/neighbors.h"
#include "wire/arp.h"

namespace tapir::ip {

// RFC 5227 §1.1.
inline constexpr Duration kProbeWait = 1s;
inline constexpr int kProbeNum = 3;
inline constexpr Duration kProbeMin = 1s;
inline constexpr Duration kProbeMax = 2s;
inline constexpr Duration kAnnounceWait = 2s;
inline constexpr int kAnnounceNum = 2;
inline constexpr Duration kAnnounceInterval = 2s;
inline constexpr Duration kDefendInterval = 10s;

// What became of an address.
struct ClaimOutcome {
  InterfaceId interface = kNoInterface;
  IpPrefix address;
  bool granted = false;  // nobody has it: use it. False: somebody does
  MacAddress holder{};   // who, when not granted
};

// Call claim() for an address that shall be probed first, or announce() for one in use; on_arp() for each ARP
// packet, on_timeout() at next_timeout(); after any of these poll_arp() and poll_outcome() until each answers
// nothing.
class AddressClaims {
 public:
  // Addresses of all interfaces that are probed, announced or defended.
  static constexpr std::size_t kClaimsMax = 256;

  explicit AddressClaims(Rng rng) : rng_(rng) {}

  // False: kClaimsMax are under way. `probe` false: announced at once. `defend`: a claim by others is
  // answered.
  bool claim(InterfaceId interface, const MacAddress& mac, const IpPrefix& address, bool probe, bool defend,
             Instant now);
  void release(InterfaceId interface, const IpAddress& address);
  void on_arp(InterfaceId interface, const wire::ArpPacket& packet, Instant now);
  Instant next_timeout() const { return next_; }
  void on_timeout(Instant now);
  // The next two have nothing to tell.
  bool quiet() const { return quiet_; }
  std::optional<ArpToSend> poll_arp();
  std::optional<ClaimOutcome> poll_outcome();
  // Is it still asked for? (`ip addr`: tentative.)
  bool tentative(InterfaceId interface, const IpAddress& address) const;
  std::uint64_t conflicts() const { return conflicts_; }  // claims by others that were heard

 private:
  enum class Phase : std::uint8_t { kProbing, kWaiting, kAnnouncing, kHeld, kLost };
  struct Claim {
    InterfaceId interface = kNoInterface;
    MacAddress mac{};
    IpPrefix address;
    Phase phase = Phase::kProbing;
    int left = 0;           // probes, or announcements, yet to be sent
    Instant at = kNever;    // of the next one
    Instant defended_at{};  // when we last answered a rival
    bool defended = false;
    bool defend = false;
    bool told = false;  // poll_outcome() has said it
    bool send_due = false;
    MacAddress rival{};
  };
  void rearm();

  Rng rng_;
  std::vector<Claim> claims_;  // grows by set-up only, at most kClaimsMax
  Instant next_ = kNever;
  bool quiet_ = true;  // nothing has happened since poll_outcome() answered nothing
  std::uint64_t conflicts_ = 0;
};

}  // namespace tapir::ip
