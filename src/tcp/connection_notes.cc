// SPDX-License-Identifier: Apache-2.0
// What a connection tells of what was written: the ends of MSG_ZEROCOPY calls, the times of bytes
// (send_notes.h).
#include "tcp/connection.h"
#include "tcp/send_notes.h"

namespace tapir::tcp {

SendNotes* Connection::notes(Env& env) {
  if (notes_ == 0) {
    const Handle<SendNotes> handle = env.notes.emplace();
    if (!handle) return nullptr;
    notes_ = handle.index + 1;
  }
  return env.notes.at(notes_ - 1);
}

bool Connection::room_for_note(Env& env) {
  SendNotes* const body = notes(env);
  return body != nullptr && !body->full();
}

void Connection::note_zero_copy(bool continues, bool open, Env& env) {
  if (SendNotes* const body = notes(env))
    (void)body->add_zero_copy(stream_end(), continues, open, env.note_entries);
}

void Connection::note_times(std::uint8_t stages, Env& env, Instant now) {
  SendNotes* const body = notes(env);
  if (body == nullptr || !busy_) return;
  const UnsentRecord* const record = busy_->unsent.back(env.unsent);
  const SeqNum end = stream_end();
  body->add_times(end, stages, record != nullptr ? record->begin : end - 1, env.note_entries);
  // What the call wrote may have left in the course of it.
  if (snd_.nxt >= end && body->on_sent(end - 1, end, now, env.note_entries)) report_notes();
}

void Connection::count_bytes(bool from_the_end, Env& env) {
  if (SendNotes* const body = notes(env)) body->count_from(from_the_end ? stream_end() : snd_.una);
}

void Connection::count_no_bytes(Env& env) {
  if (notes_ != 0) env.notes.at(notes_ - 1)->count_nothing();
}

void Connection::report_notes() {
  has_report_ = true;
  touch(kTouchedError);
}

std::optional<SendReport> Connection::take_report(Env& env) {
  if (!has_report_) return std::nullopt;
  SendNotes& body = *env.notes.at(notes_ - 1);
  const auto report = body.take_report(env.note_entries);
  has_report_ = body.has_report();
  if (has_report_) touch(kTouchedError);  // the next one is told of anew (Linux: sock_dequeue_err_skb)
  return report;
}

void Connection::notes_on_sent(SeqRange sent, Env& env, Instant now) {
  if (notes_ != 0 && env.notes.at(notes_ - 1)->on_sent(sent.begin, sent.end, now, env.note_entries))
    report_notes();
}

void Connection::notes_on_acked(Env& env, Instant now) {
  if (notes_ != 0 && env.notes.at(notes_ - 1)->on_acked(snd_.una, now, env.note_entries)) report_notes();
}

void Connection::notes_on_end(Env& env, Instant now) {
  if (notes_ != 0 && env.notes.at(notes_ - 1)->on_end(now, env.note_entries)) report_notes();
}

void Connection::drop_notes(Env& env) {
  if (notes_ == 0) return;
  SendNotes& body = *env.notes.at(notes_ - 1);
  body.clear(env.note_entries);
  env.notes.erase(body);
  notes_ = 0;
}

}  // namespace tapir::tcp
