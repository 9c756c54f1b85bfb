// SPDX-License-Identifier: Apache-2.0
// The inside of the engine: records, tables, lists. engine.cc has the program's side, engine_input.cc the
// network's, engine_output.cc what leaves.
#pragma once

#include <memory>

#include "base/rng.h"
#include "base/timer_wheel.h"
#include "tcp/demux.h"
#include "tcp/engine.h"
#include "tcp/events.h"
#include "tcp/fastopen.h"
#include "tcp/half_open.h"
#include "tcp/isn.h"
#include "tcp/listener.h"
#include "tcp/md5.h"
#include "tcp/reply_queue.h"
#include "tcp/syn_cookie.h"
#include "tcp/time_wait.h"

namespace tapir::tcp {

// Records of a stack at most. The memory budget is what usually says no first; these bound the tables'
// indices.
inline constexpr std::uint32_t kConnectionsMax = 1U << 20;
inline constexpr std::uint32_t kHalfOpenMax = 1U << 18;          // besides, each listener's backlog
inline constexpr std::uint32_t kTimeWaitMax = 1U << 22;          // besides, tcp_max_tw_buckets
inline constexpr std::uint32_t kFastOpenRequestsMax = 1U << 16;  // besides, each listener's TCP_FASTOPEN
inline constexpr std::uint32_t kNotesMax = 1U << 20;             // besides, kSendNotesMax of a connection
inline constexpr std::uint32_t kListenersMax = 1U << 16;         // one per port
inline constexpr std::uint32_t kTransmissionsMax = 1U << 22;
inline constexpr std::uint32_t kUnsentMax = 1U << 22;
static_assert(kTimeWaitMax < kRecordIndexMax);

struct Engine::State_ {
  State_(Knobs& knobs_in, trace::Counters& counters_in, trace::Tracer& tracer_in, Rng& rng_in,
         FramePool& frames_in, MemoryBudget& budget_in, PathFinder& paths_in);
  ~State_();
  State_(const State_&) = delete;
  State_& operator=(const State_&) = delete;

  // ---- connections ----
  // A new record; null: no memory. Not yet in the table.
  Connection* make_connection(const SocketOptions& options, const Path& path);
  // What a connection has of its listener's.
  const SocketOptions& inherited_options(const Listener& listener);
  // One that never was in the table, or is no more.
  void erase(Connection& c);
  void destroy(Connection& c, Instant now);
  // After anything was done to a connection: its remains, its place in the tables, its timer, its output, who
  // is told. False: it is gone.
  bool settle(Connection& c, Instant now);
  bool look_after(Connection& c, bool list_output, Instant now);
  void arm_timer(Connection& c);
  void become_time_wait(Connection& c, Instant now);
  void detach(Connection& c);
  void touch(TouchedLink& what, std::uint8_t events);
  void untouch(TouchedLink& what);
  RecordRef ref_of(const Connection& c) const {
    return {RecordRef::Kind::kConnection, connections.handle_of(c).index};
  }
  // The connection that the program knows by `id`.
  Connection* owned(ConnectionId id) {
    Connection* c = connections.get(id);
    return c != nullptr && c->attached ? c : nullptr;
  }

  // ---- tables ----
  std::optional<RecordRef> find(const FourTuple& tuple) const;

  // ---- half-open ----
  void add_half_open(const HalfOpen& request, Listener& listener,
                     const std::optional<wire::FastOpenOption>& option, Instant now);
  void remove_half_open(HalfOpen& request, HalfOpenEnd why, Instant now);
  void send_syn_ack(HalfOpen& request, const Listener& listener,
                    const std::optional<wire::FastOpenOption>& option, Instant now);
  void resend_syn_ack(HalfOpen& request, const Listener& listener, Instant now);
  void on_half_open_timer(HalfOpen& request, Instant now);
  std::uint32_t ts_offset(const HalfOpen& request) const {
    return request.has(HalfOpen::kOffset)
               ? isns.timestamp_offset(request.tuple.local.address, request.tuple.remote.address)
               : 0;
  }
  std::uint32_t ts_offset(const FourTuple& tuple) const {
    return knobs.tcp_timestamps == 1 ? isns.timestamp_offset(tuple.local.address, tuple.remote.address) : 0;
  }

  // ---- input, a function per owner of the segment ----
  struct Incoming {
    const wire::TcpSegment& segment;
    const Arrival& arrival;
    FourTuple tuple;
    Frame frame;  // the payload
    SegmentContext context;
    Instant now;
    const Md5Key* key = nullptr;  // what the answer is signed with
  };
  void on_connection_segment(Connection& c, Incoming& in);
  void on_half_open_segment(HalfOpen& request, Incoming& in);
  void on_time_wait_segment(TimeWait& record, Incoming& in);
  void on_listener_segment(Listener& listener, Incoming& in);
  void on_syn(Listener& listener, Incoming& in, std::optional<SeqNum> iss);
  void on_cookie(Listener& listener, Incoming& in);
  // The connection that a finished handshake becomes, in the accept queue; null: turned away, and counted.
  Connection* become_connection(Listener& listener, const Handshake& handshake, HalfOpen* request,
                                Instant now);
  // ---- Fast Open (engine_fastopen.cc) ----
  // What a SYN's option, or its data, come to: the connection has begun (then the SYN is dealt with), or the
  // SYN-ACK shows `option`.
  bool try_fast_open(Listener& listener, Incoming& in, HalfOpen& request, const Path& path,
                     std::optional<wire::FastOpenOption>& option);
  bool fast_open_room(Listener& listener, Instant now);
  bool begin_fast_open(Listener& listener, Incoming& in, const HalfOpen& request, const Path& path,
                       const std::optional<wire::FastOpenOption>& option);
  void end_fast_open(Connection& c, Instant now);
  void drop_first_reset(Listener& listener);
  void make_fast_open_key();
  InitialWindow window_for(const Listener& listener, const Path& path, std::uint16_t mss, bool scaling) const;
  std::uint16_t announced_mss(const Listener& listener, const Path& path) const;

  // ---- signatures (engine_md5.cc) ----
  const Md5Key* key_of(const RecordRef& ref) const;
  bool signed_by(const Md5Key& key, const wire::TcpSegment& segment, Bytes bytes,
                 const Arrival& arrival) const;
  // Is the segment signed as it should be? `key` is what answers are signed with. False: it was dropped and
  // counted.
  bool check_signature(const wire::TcpSegment& segment, Bytes bytes, const Arrival& arrival,
                       const FourTuple& tuple, const std::optional<RecordRef>& ref, const Md5Key*& key,
                       Instant now);
  // Fills in the digest of what a connection built, which begins at its TCP header.
  void sign(OutgoingFrame& out, const FourTuple& tuple, const Md5Key& key) const;
  // A reply with its signature; without `key` as it was.
  wire::TcpSegment with_signature(wire::TcpSegment segment, const FourTuple& tuple, const Md5Key* key) const;
  // False: no memory.
  bool inherit_key(Connection& c, const Listener& listener, const IpAddress& peer);

  void reset_answer(const Incoming& in);
  void reply(const Arrival& arrival, const wire::TcpSegment& segment, std::uint8_t tos,
             trace::Subject subject, Instant now);
  void reply(const IpAddress& source, const IpAddress& destination, InterfaceId interface,
             const wire::TcpSegment& segment, std::uint8_t tos, trace::Subject subject, Instant now);
  void drop(trace::DropReason reason, trace::Subject subject, Instant now);
  void remove_time_wait(TimeWait& record, TimeWaitEnd why, Instant now);
  void trace(Event event, const wire::TcpSegment& segment, std::uint32_t payload, trace::Subject subject,
             Instant now);
  void trace_born(Event event, const FourTuple& tuple, std::uint64_t how, trace::Subject subject,
                  Instant now);

  // ---- output ----
  // Of connections, linked by output_next (index + 1).
  struct OutputList {
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
  };
  void enlist(Connection& c);
  void append(OutputList& list, Connection& c);
  bool poll_one(Connection& c, OutgoingFrame& out, Output& how, Instant now);
  void refresh_path(Connection& c, Instant now);

  trace::Subject subject_of(const Connection& c) const { return c.subject(); }
  trace::Subject subject_of(const HalfOpen& r) const {
    const auto handle = half_opens.handle_of(r);
    return pack_subject(SubjectKind::kHalfOpen, handle.index, handle.generation);
  }
  trace::Subject subject_of(const TimeWait& r) const {
    const auto handle = time_waits.handle_of(r);
    return pack_subject(SubjectKind::kTimeWait, handle.index, handle.generation);
  }
  trace::Subject subject_of(const Listener& l) const {
    const auto handle = listeners.handle_of(l);
    return pack_subject(SubjectKind::kListener, handle.index, handle.generation);
  }

  Knobs& knobs;
  trace::Counters& counters;
  trace::Tracer& tracer;
  MemoryBudget& budget;
  PathFinder& paths;

  ChunkPool chunks;
  TransmissionPool transmissions;
  UnsentPool unsent;
  ActivityPool activities;
  SharedPool<SocketOptions> shared_options;
  SocketOptions scratch_options;  // of inherited_options()
  SharedPool<PathProperties> path_properties;
  FastOpenRequests fast_open_requests;
  FastOpenClient fast_open;
  SendNotesPool notes;
  SendNotePool note_entries;
  Md5Keys md5_keys;
  std::uint32_t time_wait_keys = 0;  // list of those of TIME-WAIT records, each owned by its record's index
  Env env;
  Slab<Connection> connections;
  Slab<HalfOpen> half_opens;
  Slab<Listener> listeners;
  AcceptPool accepts;
  ResetPool resets;
  TimeWaitTable time_waits;
  EstablishedTable established;
  ListeningTable listening;
  TimerWheel wheel;
  IsnGenerator isns;
  SynCookies cookies;
  ReplyQueue replies;

  // Connections that may have something to send, first come first served.
  OutputList output;
  OutputList stalled;              // of these: whose device had no room
  std::uint32_t stalled_told = 0;  // the last of them that was told (index + 1); 0: none
  ConnectionId due;                // owes something that leaves before the next frame
  std::size_t orphans = 0;         // connections without a socket
  std::uint64_t listeners_begun = 0;

  TouchedList touched;  // in the order in which it happened

  // Of the routes, as last heard; unknown after a change until the next path is asked for.
  std::uint32_t path_generation = 0;
  bool path_generation_known = true;
  bool path_generation_seen = false;  // a change was reported at all
  Instant clock{};                    // the latest `now`: TIME-WAIT's deadlines are relative to it
};

}  // namespace tapir::tcp
