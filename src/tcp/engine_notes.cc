// SPDX-License-Identifier: Apache-2.0
// What the program is told of what it wrote: the engine's side of connection_notes.cc.
#include "tcp/engine_state.h"

namespace tapir::tcp {

bool Engine::room_for_note(ConnectionId id) {
  Connection* c = state_->owned(id);
  return c != nullptr && c->room_for_note(state_->env);
}

void Engine::note_zero_copy(ConnectionId id, bool continues, bool open, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->note_zero_copy(continues, open, state_->env);
  state_->settle(*c, now);
}

void Engine::note_times(ConnectionId id, std::uint8_t stages, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->note_times(stages, state_->env, now);
  state_->settle(*c, now);
}

void Engine::count_bytes(ConnectionId id, bool from_the_end) {
  if (Connection* c = state_->owned(id)) c->count_bytes(from_the_end, state_->env);
}

void Engine::count_no_bytes(ConnectionId id) {
  if (Connection* c = state_->owned(id)) c->count_no_bytes(state_->env);
}

std::optional<SendReport> Engine::take_report(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return std::nullopt;
  const auto report = c->take_report(state_->env);
  state_->settle(*c, now);
  return report;
}

}  // namespace tapir::tcp
