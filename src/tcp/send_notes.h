// SPDX-License-Identifier: Apache-2.0
// What a program wants to be told of what it wrote: that bytes handed over without copying are its own again
// (MSG_ZEROCOPY), and when a write's last byte was scheduled, sent, acknowledged (SO_TIMESTAMPING). Reports
// wait in the order they came to be, the socket's error queue.
//
//   write -> Note (in stream order) --sent, acknowledged--> Report --recvmsg(MSG_ERRQUEUE)--> the program
#pragma once

#include <cstdint>
#include <optional>

#include "base/seq_num.h"
#include "base/slab.h"
#include "base/time.h"

namespace tapir::tcp {

// Notes and reports of one connection: beyond it a write with MSG_ZEROCOPY is ENOBUFS and a time is not told
// (Linux: optmem_max, which bounds them to a few hundred). Without it a program that never reads its error
// queue holds ever more memory.
inline constexpr std::uint32_t kSendNotesMax = 512;

// When to tell the time of a byte; bits. Linux: SOF_TIMESTAMPING_TX_SCHED, _TX_SOFTWARE, _TX_ACK.
enum SendStage : std::uint8_t { kStageScheduled = 1, kStageSent = 2, kStageAcked = 4 };

// One thing to tell.
struct SendReport {
  enum class Kind : std::uint8_t { kZeroCopy, kScheduled, kSent, kAcked };
  Kind kind = Kind::kZeroCopy;
  std::uint32_t low = 0;  // kZeroCopy: the first of the calls that are over, as they are counted
  std::uint32_t high =
      0;  // and the last; of the others: the byte, counted as SOF_TIMESTAMPING_OPT_ID says, or 0
  std::uint32_t bytes = 0;  // of the others: how long the segment was
  Instant at{};
};

struct SendNote {
  bool zero_copy = false;   // else a time
  bool open = false;        // the call writes on: not to be told yet
  std::uint8_t stages = 0;  // of SendStage, still to come
  SeqNum end;               // of the call's bytes; a time's byte is the one before
  std::uint32_t id = 0;     // of the call
  SendReport report;        // once it is one
  std::uint32_t next = 0;   // index + 1 in the pool
};
using SendNotePool = Slab<SendNote>;

class SendNotes {
 public:
  // Whether there is room for another.
  bool full() const { return count_ >= kSendNotesMax; }

  // A MSG_ZEROCOPY call wrote up to `end`. `continues`: the same call as the last note; `open`: it will go
  // on. False: no memory.
  bool add_zero_copy(SeqNum end, bool continues, bool open, SendNotePool& pool);
  // The times of the byte before `end` are wanted. `record_begin`: where the unsent record that holds it
  // begins: an earlier byte in the same record is forgotten (Linux keeps one key per skb).
  void add_times(SeqNum end, std::uint8_t stages, SeqNum record_begin, SendNotePool& pool);
  // [begin, end) left, for the first time. True: there is a new report.
  bool on_sent(SeqNum begin, SeqNum end, Instant now, SendNotePool& pool);
  // Everything before `una` is acknowledged. Likewise.
  bool on_acked(SeqNum una, Instant now, SendNotePool& pool);
  // Nothing more will be acknowledged: the bytes of every call are the program's again. Likewise.
  bool on_end(Instant now, SendNotePool& pool);

  // SOF_TIMESTAMPING_OPT_ID: bytes are counted from here.
  void count_from(SeqNum base) {
    base_ = base;
    counts_ = true;
  }
  void count_nothing() { counts_ = false; }
  bool counts() const { return counts_; }

  bool has_report() const { return reports_head_ != 0; }
  std::optional<SendReport> take_report(SendNotePool& pool);
  void clear(SendNotePool& pool);
  bool empty() const { return count_ == 0 && !counts_ && next_id_ == 0; }

 private:
  SendNote* append(SendNotePool& pool);
  void report_zero_copy(std::uint32_t id, Instant now, SendNotePool& pool);
  void report_time(const SendNote& note, SendReport::Kind kind, std::uint32_t bytes, Instant now,
                   SendNotePool& pool);
  SendNote* push_report(SendNotePool& pool);
  void pop_note(SendNotePool& pool);

  std::uint32_t notes_head_ = 0;  // index + 1
  std::uint32_t notes_tail_ = 0;
  std::uint32_t reports_head_ = 0;
  std::uint32_t reports_tail_ = 0;
  std::uint32_t count_ = 0;    // of both
  std::uint32_t next_id_ = 0;  // of MSG_ZEROCOPY calls
  SeqNum base_;
  bool counts_ = false;
};
using SendNotesPool = Slab<SendNotes>;

}  // namespace tapir::tcp
