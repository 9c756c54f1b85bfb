// SPDX-License-Identifier: Apache-2.0
#include "tcp/send_notes.h"

#include <algorithm>

namespace tapir::tcp {

SendNote* SendNotes::append(SendNotePool& pool) {
  if (full()) return nullptr;
  const Handle<SendNote> handle = pool.emplace();
  if (!handle) return nullptr;
  if (notes_tail_ == 0)
    notes_head_ = handle.index + 1;
  else
    pool.at(notes_tail_ - 1)->next = handle.index + 1;
  notes_tail_ = handle.index + 1;
  ++count_;
  return pool.get(handle);
}

void SendNotes::pop_note(SendNotePool& pool) {
  SendNote& note = *pool.at(notes_head_ - 1);
  notes_head_ = note.next;
  if (notes_head_ == 0) notes_tail_ = 0;
  pool.erase(note);
  --count_;
}

bool SendNotes::add_zero_copy(SeqNum end, bool continues, bool open, SendNotePool& pool) {
  SendNote* last = nullptr;
  for (std::uint32_t at = notes_head_; at != 0; at = pool.at(at - 1)->next)
    if (pool.at(at - 1)->zero_copy) last = pool.at(at - 1);
  if (last != nullptr && last->open) {
    last->open = false;
    if (continues) {
      last->end = end;
      last->open = open;
      return true;
    }
  }
  SendNote* note = append(pool);
  if (note == nullptr) return false;
  note->zero_copy = true;
  note->open = open;
  note->end = end;
  note->id = next_id_++;
  return true;
}

void SendNotes::add_times(SeqNum end, std::uint8_t stages, SeqNum record_begin, SendNotePool& pool) {
  for (std::uint32_t at = notes_head_; at != 0; at = pool.at(at - 1)->next) {
    SendNote& note = *pool.at(at - 1);
    if (!note.zero_copy && note.end > record_begin) note.stages = 0;
  }
  SendNote* note = append(pool);
  if (note == nullptr) return;
  note->end = end;
  note->stages = stages;
}

SendNote* SendNotes::push_report(SendNotePool& pool) {
  if (full()) return nullptr;
  const Handle<SendNote> handle = pool.emplace();
  if (!handle) return nullptr;
  if (reports_tail_ == 0)
    reports_head_ = handle.index + 1;
  else
    pool.at(reports_tail_ - 1)->next = handle.index + 1;
  reports_tail_ = handle.index + 1;
  ++count_;
  return pool.get(handle);
}

// Calls that ended one after the other are told of together (Linux: skb_zerocopy_notify_extend).
void SendNotes::report_zero_copy(std::uint32_t id, Instant now, SendNotePool& pool) {
  if (reports_tail_ != 0) {
    SendReport& last = pool.at(reports_tail_ - 1)->report;
    if (last.kind == SendReport::Kind::kZeroCopy && last.high + 1 == id) {
      last.high = id;
      return;
    }
  }
  if (SendNote* entry = push_report(pool)) entry->report = {SendReport::Kind::kZeroCopy, id, id, 0, now};
}

void SendNotes::report_time(const SendNote& note, SendReport::Kind kind, std::uint32_t bytes, Instant now,
                            SendNotePool& pool) {
  const std::uint32_t key = counts_ ? note.end - 1 - base_ : 0;
  if (SendNote* entry = push_report(pool)) entry->report = {kind, 0, key, bytes, now};
}

bool SendNotes::on_sent(SeqNum begin, SeqNum end, Instant now, SendNotePool& pool) {
  bool told = false;
  for (std::uint32_t at = notes_head_; at != 0; at = pool.at(at - 1)->next) {
    SendNote& note = *pool.at(at - 1);
    if (note.zero_copy || !(note.end > begin && note.end <= end)) continue;
    if ((note.stages & kStageScheduled) != 0)
      report_time(note, SendReport::Kind::kScheduled, end - begin, now, pool);
    if ((note.stages & kStageSent) != 0) report_time(note, SendReport::Kind::kSent, end - begin, now, pool);
    told = told || (note.stages & (kStageScheduled | kStageSent)) != 0;
    note.stages = static_cast<std::uint8_t>(note.stages & kStageAcked);
  }
  return told;
}

bool SendNotes::on_acked(SeqNum una, Instant now, SendNotePool& pool) {
  bool told = false;
  while (notes_head_ != 0) {
    const SendNote note = *pool.at(notes_head_ - 1);
    if (note.end > una || note.open) break;
    pop_note(pool);
    if (note.zero_copy)
      report_zero_copy(note.id, now, pool);
    else if ((note.stages & kStageAcked) != 0)
      report_time(note, SendReport::Kind::kAcked, 0, now, pool);
    else
      continue;
    told = true;
  }
  return told;
}

bool SendNotes::on_end(Instant now, SendNotePool& pool) {
  bool told = false;
  while (notes_head_ != 0) {
    const SendNote note = *pool.at(notes_head_ - 1);
    pop_note(pool);
    if (!note.zero_copy) continue;
    report_zero_copy(note.id, now, pool);
    told = true;
  }
  return told;
}

std::optional<SendReport> SendNotes::take_report(SendNotePool& pool) {
  if (reports_head_ == 0) return std::nullopt;
  SendNote& entry = *pool.at(reports_head_ - 1);
  const SendReport report = entry.report;
  reports_head_ = entry.next;
  if (reports_head_ == 0) reports_tail_ = 0;
  pool.erase(entry);
  --count_;
  return report;
}

void SendNotes::clear(SendNotePool& pool) {
  while (notes_head_ != 0) pop_note(pool);
  while (take_report(pool)) {
  }
}

}  // namespace tapir::tcp
