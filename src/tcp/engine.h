// SPDX-License-Identifier: Apache-2.0
// All of one stack's TCP: the tables, the records, the wheel. Segments come in, are given to what owns them
// (connection | half-open | TIME-WAIT | listener | nobody), and leave through poll_reply() and
// poll_segment().
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>

#include "base/siphash.h"
#include "base/slab.h"
#include "inet/delivery_error.h"
#include "inet/endpoint.h"
#include "inet/path.h"
#include "tcp/connection.h"
#include "tcp/env.h"
#include "tcp/options.h"

namespace tapir::tcp {

// Names of records; stale ones answer "none".
using ConnectionId = Handle<Connection>;
class Listener;
using ListenerId = Handle<Listener>;

// Where a segment came from and how.
struct Arrival {
  IpAddress source;
  IpAddress destination;
  InterfaceId interface = kNoInterface;
  Ecn ecn = Ecn::kNotEct;
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;
};

// A segment that no connection owns the sending of: RST, SYN-ACK, cookie, TIME-WAIT's ACK. Built at once,
// sent first.
struct SegmentReply {
  IpAddress source;
  IpAddress destination;
  InterfaceId interface = kNoInterface;
  std::uint8_t tos = 0;
  Ecn ecn = Ecn::kNotEct;
  wire::TcpSegment segment;  // payload empty; options as structs (no spans into the frame)
};
// Replies that wait at most; a full queue is a counted drop (REPLY_QUEUE_FULL).
inline constexpr std::size_t kReplyQueueMax = 256;

// What the engine asks of routing and devices, so that it need not know ip/ and link/. A seam: the stack
// implements it.
class PathFinder {
 public:
  virtual ~PathFinder() = default;
  // The path to `destination`; `source` unspecified: choose one. CloseCause tells why there is none.
  virtual std::expected<Path, CloseCause> find_path(const IpAddress& source, const IpAddress& destination,
                                                    InterfaceId bound) = 0;
  // The device of `interface` takes another frame now.
  virtual bool has_room(InterfaceId interface) = 0;
};

// A thing a program waits on was touched: connection or listener.
struct TouchedSocket {
  ConnectionId connection;  // null when it is a listener
  ListenerId listener;
  std::uint8_t events = 0;  // Touched bits
};

class Engine {
 public:
  Engine(Knobs& knobs, trace::Counters& counters, trace::Tracer& tracer, Rng& rng, FramePool& frames,
         MemoryBudget& budget, PathFinder& paths);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ---- the network ----
  // `frame` begins at the TCP header; its length is the segment's. The checksum is verified here unless the
  // frame says it was.
  void on_datagram(Frame frame, const Arrival& arrival, Instant now);
  // Answers with the connection when it was opening, and has ended by this.
  ConnectionId on_delivery_error(const DeliveryError& error, Instant now);
  // Does `error` quote what a connection has in flight? Only then the path MTU it names is learnt (RFC 5927
  // §7.2).
  bool quotes_in_flight(const DeliveryError& error) const;
  // Routes or path MTUs changed: connections ask for a new path when they next send.
  void on_routes_changed(Instant now);
  Instant next_timeout() const;
  void on_timeout(Instant now);

  // ---- output, asked by the hub while the device has room ----
  std::optional<SegmentReply> poll_reply();
  // What poll_reply() would answer, valid until then; null: nothing.
  const SegmentReply* next_reply() const;
  // True when the connection of the last input owes something that must leave before the next frame.
  bool output_due() const;
  struct Output {
    ConnectionId connection;
    Path path;
    std::uint8_t tos = 0;
    std::uint8_t hop_limit = 0;
    bool dont_fragment = true;
    const IpOptions* ip_options = nullptr;  // valid until the next call
    bool confirms_neighbor =
        false;  // since its last segment the peer acknowledged: packets get there (Linux: sk_dst_confirm)
  };
  // Something may wait to leave: a reply, or a segment of a connection.
  bool output_wanted() const;
  // The next segment of those due (only_due) or of all that owe one, in the order they came to owe it.
  // Connections whose device has no room are set aside until resume_output(), so that the others need not
  // wait.
  bool poll_segment(OutgoingFrame& out, Output& how, bool only_due, Instant now);
  bool output_stalled() const;
  // `all`: also when the first of them still has no room.
  void resume_output(bool all);
  // No room even with everything handed over: those set aside since this was last said hear of it.
  void on_no_room(Instant now);

  // ---- the program (socket/) ----
  // Starts an active open; ports and addresses are the caller's (stack/ports). A tuple in use:
  // CloseCause::kNone. TIME-WAIT under the same tuple is taken over when RFC 6191 allows (tcp_tw_reuse).
  std::expected<ConnectionId, CloseCause> connect(const FourTuple& tuple, const Path& path,
                                                  const SocketOptions& options, Instant now);
  // True when a connect() from this tuple would be possible now (tw_reuse included): for the search of an
  // ephemeral port.
  bool tuple_free(const FourTuple& tuple, Instant now) const;
  std::expected<ListenerId, CloseCause> listen(const Endpoint& local, InterfaceId bound, int backlog,
                                               bool reuse_port, const SocketOptions& options, Instant now);
  void set_backlog(ListenerId id, int backlog);
  // The oldest connection of the accept queue (FIFO), also one that was reset meanwhile; null id when empty.
  ConnectionId accept(ListenerId id, Instant now);
  bool acceptable(ListenerId id) const;
  void close_listener(ListenerId id,
                      Instant now);  // queued connections are reset (Linux: inet_csk_listen_stop)
  SocketOptions* listener_options(ListenerId id);
  // TCP_FASTOPEN: connections begun with data that may be unfinished at a time; the first use makes the
  // stack's key if none is set.
  void set_fast_open_queue(ListenerId id, int most);
  // TCP_FASTOPEN_KEY of this listener alone.
  void set_fast_open_keys(ListenerId id, const FastOpenKeys& keys);
  // TCP_MD5SIG of a listener: for the peers it covers. False: no memory.
  bool set_md5_key(ListenerId id, const Md5Key& key);
  void remove_md5_key(ListenerId id, const IpAddress& address, std::uint8_t prefix_length);
  // And of a connection: what it signs with; null: no more. False: no memory, it signs no more. After
  // connect() and before the next poll of the output, the SYN is signed too.
  bool sign_with(ConnectionId id, const Md5Key* key, Instant now);
  const Md5Key* signing_key(ConnectionId id) const;
  struct ListenerInfo {
    Endpoint local;
    std::uint32_t accept_queue = 0;  // ss: Recv-Q
    std::uint32_t backlog = 0;       // ss: Send-Q
    std::uint32_t half_open = 0;
    InterfaceId bound = kNoInterface;
  };
  std::optional<ListenerInfo> listener_info(ListenerId id) const;

  Connection* connection(ConnectionId id);  // null: gone
  const Connection* connection(ConnectionId id) const;
  // Each does the Connection's call of the same name, then re-arms its timer, notes its output, moves it
  // along.
  std::size_t write(ConnectionId id, Bytes data, Connection::WriteFlags flags, Instant now);
  std::size_t read(ConnectionId id, MutableBytes out, Instant now);
  std::size_t discard(ConnectionId id, std::size_t count, Instant now);
  Frame lend(ConnectionId id, Instant now);
  void shutdown_send(ConnectionId id, Instant now);
  void shutdown_receive(ConnectionId id, Instant now);
  // The program lets go: the id is dead afterwards, the connection lives on as an orphan as long as TCP
  // wants.
  void close(ConnectionId id, Instant now);
  // RST, and gone (SO_LINGER 0, disconnect).
  void abort(ConnectionId id, Instant now);
  // A connection's own copy of its options, to be changed; then options_changed() or, if nothing that matters
  // now was changed, settle_options(): until then they are not shared. Null: no memory, or no such
  // connection.
  SocketOptions* edit_options(ConnectionId id);
  void settle_options(ConnectionId id);
  void options_changed(ConnectionId id, Instant now);
  // TCP_CORK; its end pushes what it held back.
  void set_cork(ConnectionId id, bool on, Instant now);
  // After the change of an option that held data back.
  void push_held(ConnectionId id, Instant now);
  void set_quickack(ConnectionId id, int value, Instant now);
  // Between connect() and the next poll of the output: Connection::ask_fast_open(), add_syn_data() and
  // release_syn().
  void ask_fast_open(ConnectionId id, bool defer);
  std::size_t add_syn_data(ConnectionId id, Bytes data, Instant now);
  void release_syn(ConnectionId id, Instant now);
  // ---- what becomes of what was written (connection_notes.cc) ----
  bool room_for_note(ConnectionId id);
  void note_zero_copy(ConnectionId id, bool continues, bool open, Instant now);
  void note_times(ConnectionId id, std::uint8_t stages, Instant now);
  void count_bytes(ConnectionId id, bool from_the_end);
  void count_no_bytes(ConnectionId id);
  std::optional<SendReport> take_report(ConnectionId id, Instant now);

  // The next of those touched since they were last told of, the first first; asked until there is none.
  std::optional<TouchedSocket> poll_touched();

  // ---- to look at (observe/, tests) ----
  struct Gauges {
    std::size_t connections = 0, half_open = 0, time_wait = 0, listeners = 0, orphans = 0, transmissions = 0,
                chunks = 0;
  };
  Gauges gauges() const;
  // Every record as `ss -a` lists it, in a deterministic order.
  struct Row {
    State state{};
    FourTuple tuple;
    std::uint32_t receive_queue = 0;
    std::uint32_t send_queue = 0;
    Instant timer_at = kNever;
    const char* timer = "";  // "on", "keepalive", "timewait", "persist" (ss -o)
    std::uint8_t retransmits = 0;
    trace::Subject subject = 0;
    const Connection* connection = nullptr;  // null for the small records
  };
  void for_each(void (*visit)(void*, const Row&), void* context, Instant now) const;
  // The record of `tuple`, our end first.
  struct Found {
    State state{};
    const Connection* connection = nullptr;  // null for the small records
  };
  std::optional<Found> find(const FourTuple& tuple) const;
  Env& env();
  // Fast Open's memory of destinations (`ip tcp_metrics`).
  FastOpenClient& fast_open();
  // For tests: the ISN of every connection from now on, to begin near a wrap. Nothing: RFC 6528's again.
  void force_iss(std::optional<SeqNum> iss);

 private:
  struct State_;
  std::unique_ptr<State_> state_;
};

}  // namespace tapir::tcp
