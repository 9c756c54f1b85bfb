// SPDX-License-Identifier: Apache-2.0
// The multicast groups of this host, and IGMP (RFC 2236, RFC 3376) which tells routers of them. Linux's
// net/ipv4/igmp.c.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/charge_hook.h"
#include "base/intrusive_list.h"
#include "base/keyed_table.h"
#include "base/rng.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/time.h"
#include "frame/frame_pool.h"
#include "inet/multicast.h"
#include "ip/datagram.h"
#include "ip/interfaces.h"
#include "ip/knobs.h"
#include "ip/reply.h"
#include "trace/drop_reason.h"
#include "wire/igmp.h"

namespace tapir::ip {

// What one socket wants of one group. The hub's sockets hold it by id.
struct Member : ListLink<> {
  SourceFilter filter;
  std::uint32_t group = 0;  // index of its Group
};
using MemberId = Handle<Member>;

// For `ip maddr` and /proc/net/igmp.
struct GroupInfo {
  InterfaceId interface = kNoInterface;
  IpAddress group;
  std::size_t members = 0;
  SourceFilter filter;  // of all members together
  std::uint8_t igmp_version = 3;
};

// Call join(), set_filter() and leave() for sockets, input() for each IGMP datagram, on_timeout() at
// next_timeout(); after any of these poll_report() until it answers nothing.
class Groups {
 public:
  // Groups and members of one stack; Linux bounds them per socket only (igmp_max_memberships).
  static constexpr std::uint32_t kGroupsMax = 4096;
  static constexpr std::uint32_t kMembersMax = 65536;

  Groups(const Interfaces& interfaces, FramePool& pool, SipKey key, Rng rng, const Knobs& knobs,
         ChargeHook hook);
  ~Groups();
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  // Null: no memory, or kGroupsMax.
  MemberId join(InterfaceId interface, const IpAddress& group, const SourceFilter& filter, Instant now);
  void set_filter(MemberId member, const SourceFilter& filter, Instant now);
  void leave(MemberId member, Instant now);
  // The interface came up, or got its first address: all its groups are reported again.
  void announce(InterfaceId interface, Instant now);

  // Is a datagram from `source` to `group`, arriving on `interface`, for anybody here? (Linux's
  // ip_check_mc_rcu.) 224.0.0.1 always is.
  bool accepts(InterfaceId interface, const IpAddress& group, const IpAddress& source,
               IpProtocol protocol) const;
  // Has anybody joined it there?
  bool joined(InterfaceId interface, const IpAddress& group) const;

  // An IGMP datagram; why it was dropped, if it was.
  std::optional<trace::DropReason> input(const Datagram& datagram, Instant now);
  Instant next_timeout() const { return next_; }
  void on_timeout(Instant now);
  // A report to send now.
  std::optional<Reply> poll_report(Instant now);

  std::vector<GroupInfo> list() const;
  std::uint32_t size() const { return groups_.size(); }

 private:
  struct Group : ListLink<> {
    InterfaceId interface = kNoInterface;
    IpAddress address;
    std::uint64_t hash = 0;
    IntrusiveList<Member> members;
    SourceFilter filter;            // of all members together
    std::uint8_t changes_left = 0;  // times the present filter is yet to be reported as a change
    bool answer_due = false;        // a query asked; at answer_at
    bool reported = false;          // we were the last to report it (RFC 2236 §3: only then a leave is sent)
    Instant change_at = kNever;     // when the next change report goes
    Instant answer_at = kNever;
  };
  // Routers of older versions that were heard (RFC 3376 §7.2.1).
  struct Link {
    Instant v1_until{};
    Instant v2_until{};
    Instant answer_at = kNever;  // version 3: a general query is answered for all groups at once
    bool answer_due = false;
  };

  std::uint64_t hash_of(InterfaceId interface, const IpAddress& address) const;
  Group* find(InterfaceId interface, const IpAddress& address) const;
  Group* find_or_create(InterfaceId interface, const IpAddress& address);
  Link& link(InterfaceId interface);
  std::uint8_t version(InterfaceId interface, Instant now) const;
  static SourceFilter merged(const Group& group);
  bool is_reported(const Group& group) const;
  void changed(Group& group, Instant now);
  void forget_if_done(Group& group);
  void arm(Instant at) { next_ = std::min(next_, at); }
  void rearm();
  void query(const wire::IgmpMessage& message, InterfaceId interface, Instant now);
  Duration random_up_to(Duration limit);
  std::optional<Reply> report_v2(Group& group, wire::IgmpType type, const IpAddress& to,
                                 InterfaceId interface);
  std::optional<Reply> report_v3(InterfaceId interface, Instant now);
  std::size_t put_record(const Group& group, wire::IgmpRecordKind kind, MutableBytes out) const;
  std::optional<Reply> reply_to(InterfaceId interface, const IpAddress& to, Frame frame);

  const Interfaces& interfaces_;
  FramePool& pool_;
  SipKey key_;
  Rng rng_;
  const Knobs& knobs_;
  mutable Slab<Group> groups_;
  Slab<Member> members_;
  KeyedTable<> table_;
  IntrusiveList<Group> order_;  // in the order of joining
  std::vector<Link> links_;     // index = InterfaceId; grows with the interfaces
  Instant next_ = kNever;
};

}  // namespace tapir::ip
