// SPDX-License-Identifier: Apache-2.0
#include "socket/blocking_call.h"

#include <asm/ioctls.h>

#include <algorithm>
#include <cstring>

#include "socket/message.h"

namespace tapir::socket {
namespace {

// When a call that began at `now` gives up; zero is for ever.
Instant deadline_after(Duration timeout, Instant now) {
  return timeout == Duration::zero() ? kNever : later(now, timeout);
}

bool would_block(Errno error) { return error == Errno{EAGAIN}; }

// Leaves of `pieces` what lies after the first `count` bytes.
void consume(std::vector<iovec>& pieces, std::size_t count) {
  std::size_t gone = 0;
  while (gone < pieces.size() && count >= pieces[gone].iov_len) count -= pieces[gone++].iov_len;
  pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(gone));
  if (count == 0) return;
  pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + count;
  pieces.front().iov_len -= count;
}

std::size_t size_of(const std::vector<iovec>& pieces) {
  std::size_t size = 0;
  for (const iovec& piece : pieces) size += piece.iov_len;
  return size;
}

}  // namespace

std::optional<Result<long>> BlockingAccept::step(Sockets& sockets, Instant now) {
  if (!started_) {
    started_ = true;
    deadline_ = deadline_after(sockets.receive_timeout(fd_), now);
  }
  const Result<Descriptor> accepted = sockets.accept4(fd_, address_, length_, flags_, now);
  if (accepted) return *accepted;
  if (!would_block(accepted.error()) || sockets.nonblocking(fd_) || now >= deadline_)
    return std::unexpected(accepted.error());
  return std::nullopt;
}

// The first call says EINPROGRESS (or EALREADY, when somebody else's is under way), and so does the time-out.
std::optional<Result<long>> BlockingConnect::step(Sockets& sockets, Instant now) {
  const auto pending = [](Errno error) { return error == Errno{EINPROGRESS} || error == Errno{EALREADY}; };
  const Result<int> connected = sockets.connect(fd_, address_, length_, now);
  if (!started_) {
    started_ = true;
    deadline_ = deadline_after(sockets.send_timeout(fd_), now);
    if (connected) return *connected;
    if (!pending(connected.error()) || sockets.nonblocking(fd_)) return std::unexpected(connected.error());
    first_answer_ = connected.error();
    // Over loopback the handshake may be done already.
    const Result<int> again = sockets.connect(fd_, address_, length_, now);
    if (again) return *again;
    if (!pending(again.error())) return std::unexpected(again.error());
    return std::nullopt;
  }
  if (connected) return *connected;
  if (!pending(connected.error())) return std::unexpected(connected.error());
  if (now >= deadline_) return std::unexpected(first_answer_);
  return std::nullopt;
}

BlockingSend::BlockingSend(Descriptor fd, const msghdr& message, int flags, Loan* loan)
    : fd_(fd), message_(message), flags_(flags), loan_(loan) {}

// Nothing: still waiting, or (connecting_ is false again) the rest may be sent.
std::optional<Result<long>> BlockingSend::wait_for_handshake(Sockets& sockets, Instant now) {
  const auto ended = handshake_answer(sockets, now);
  const bool waits = !ended && connecting_;
  sockets.note_fast_open_call(fd_, waits);
  opening_ = waits ? &sockets : nullptr;
  return ended;
}

// A failed handshake wins over what left with its SYN, as nobody took it (Linux: tcp_sendmsg_locked).
std::optional<Result<long>> BlockingSend::handshake_answer(Sockets& sockets, Instant now) {
  const Result<int> connected = sockets.connect_result(fd_, now);
  if (connected) {
    connecting_ = false;
    flags_ &= ~MSG_FASTOPEN;
    if (size_of(left_) == 0) return static_cast<long>(sent_);
    return std::nullopt;
  }
  if (connected.error() != Errno{EALREADY}) return std::unexpected(connected.error());
  if (now < deadline_) return std::nullopt;
  if (sent_ != 0) return static_cast<long>(sent_);
  return std::unexpected(connecting_answer_);
}

std::optional<Result<long>> BlockingSend::step(Sockets& sockets, Instant now) {
  const bool may_wait = (flags_ & MSG_DONTWAIT) == 0 && !sockets.nonblocking(fd_);
  const auto so_far = [this](Errno error) -> Result<long> {
    if (sent_ != 0) return static_cast<long>(sent_);
    return std::unexpected(error);
  };
  if (!started_) {
    started_ = true;
    if (!may_wait) {
      const Result<std::size_t> sent = sockets.sendmsg(fd_, &message_, flags_, now, loan_);
      if (!sent) return std::unexpected(sent.error());
      return static_cast<long>(*sent);
    }
    if (message_.msg_iov != nullptr) left_.assign(message_.msg_iov, message_.msg_iov + message_.msg_iovlen);
    deadline_ = deadline_after(sockets.send_timeout(fd_), now);
  } else if (connecting_) {
    if (const auto ended = wait_for_handshake(sockets, now); ended || connecting_) return ended;
  } else if (sockets.is_stream(fd_) && sockets.poll_events(fd_, POLLOUT, now) == 0) {
    // A sleeping writer goes on when a third of the buffer is free, not at the first byte (Linux:
    // sk_stream_write_space).
    if (now >= deadline_) return so_far(Errno{EAGAIN});
    return std::nullopt;
  }
  for (;;) {
    msghdr message = message_;
    if (message_.msg_iov != nullptr) {
      message.msg_iov = left_.data();
      message.msg_iovlen = left_.size();
    }
    const std::size_t wanted = size_of(left_);
    const bool opens = (flags_ & MSG_FASTOPEN) != 0 || sockets.syn_deferred(fd_);
    const bool another_waits = opens && sockets.fast_open_call_waits(fd_);
    const Result<std::size_t> sent = sockets.sendmsg(fd_, &message, flags_, now, loan_);
    // EALREADY: an earlier call began the handshake, and its end is this one's to wait for as well, unless
    // that call does.
    if (opens && may_wait && !another_waits &&
        (sent || sent.error() == Errno{EINPROGRESS} || sent.error() == Errno{EALREADY})) {
      sent_ += sent.value_or(0);
      consume(left_, sent.value_or(0));
      connecting_ = true;
      connecting_answer_ = sent ? Errno{EINPROGRESS} : sent.error();
      if (const auto ended = wait_for_handshake(sockets, now); ended || connecting_) return ended;
      continue;
    }
    if (sent) {
      sent_ += *sent;
      if (*sent >= wanted || !may_wait) return static_cast<long>(sent_);
      consume(left_, *sent);
      flags_ |= kMsgContinues;
      continue;
    }
    if (!would_block(sent.error()) || !may_wait || now >= deadline_) return so_far(sent.error());
    return std::nullopt;
  }
}

BlockingReceive::BlockingReceive(Descriptor fd, msghdr* message, int flags)
    : fd_(fd), message_(message), flags_(flags) {}

// Once, without a list of what is left.
Result<long> BlockingReceive::receive_at_once(Sockets& sockets, Instant now) {
  msghdr message = *message_;
  const Result<std::size_t> got = sockets.recvmsg(fd_, &message, flags_, now);
  if (!got) return std::unexpected(got.error());
  message_->msg_namelen = message.msg_namelen;
  message_->msg_controllen = message.msg_controllen;
  message_->msg_flags = message.msg_flags;
  return static_cast<long>(*got);
}

std::optional<Result<long>> BlockingReceive::step(Sockets& sockets, Instant now) {
  if (message_ == nullptr) return fail(EFAULT);
  const bool may_wait = (flags_ & (MSG_DONTWAIT | MSG_ERRQUEUE)) == 0 && !sockets.nonblocking(fd_);
  if (!started_) {
    if (!may_wait) return receive_at_once(sockets, now);
    started_ = true;
    if (message_->msg_iov != nullptr)
      left_.assign(message_->msg_iov, message_->msg_iov + message_->msg_iovlen);
    deadline_ = deadline_after(sockets.receive_timeout(fd_), now);
    name_length_ = message_->msg_namelen;
    control_length_ = message_->msg_controllen;
  }
  const bool peeks = (flags_ & MSG_PEEK) != 0;
  const bool stream = sockets.is_stream(fd_);
  for (;;) {
    // An end that comes after some bytes is the next call's to tell, and so is its error (Linux:
    // tcp_recvmsg_locked).
    if (stream && received_ != 0 && !peeks && (sockets.poll_events(fd_, 0, now) & POLLHUP) != 0) {
      int queued = 0;
      if (sockets.ioctl(fd_, FIONREAD, &queued, now) && queued == 0) return static_cast<long>(received_);
    }
    msghdr message = *message_;
    message.msg_namelen = name_length_;
    message.msg_controllen = control_length_;
    if (message_->msg_iov != nullptr) {
      message.msg_iov = left_.data();
      message.msg_iovlen = left_.size();
    }
    const std::size_t wanted = size_of(left_);
    const Result<std::size_t> got = sockets.recvmsg(fd_, &message, flags_, now);
    if (got) {
      message_->msg_namelen = message.msg_namelen;
      message_->msg_controllen = message.msg_controllen;
      message_->msg_flags = message.msg_flags;
      if (!stream) return static_cast<long>(*got);
      // A peek sees the same bytes again, and those that came since.
      received_ = peeks ? *got : received_ + *got;
      const std::size_t total = peeks ? wanted : wanted + received_ - *got;
      const std::size_t low_water =
          (flags_ & MSG_WAITALL) != 0 ? total : std::min(sockets.receive_low_water(fd_), total);
      if (*got == 0 || received_ >= std::max<std::size_t>(low_water, 1) || !may_wait || now >= deadline_)
        return static_cast<long>(received_);
      if (peeks) return std::nullopt;
      consume(left_, *got);
      continue;
    }
    if (received_ != 0 && (!would_block(got.error()) || !may_wait || now >= deadline_))
      return static_cast<long>(received_);
    if (!would_block(got.error()) || !may_wait) return std::unexpected(got.error());
    if (!stream && sockets.receive_shut(fd_)) {
      message_->msg_namelen = 0;
      message_->msg_controllen = 0;
      message_->msg_flags = 0;
      return 0;
    }
    if (now >= deadline_) return std::unexpected(got.error());
    return std::nullopt;
  }
}

std::optional<Result<long>> BlockingLend::step(Sockets& sockets, Instant now) {
  if (!started_) {
    started_ = true;
    deadline_ = deadline_after(sockets.receive_timeout(fd_), now);
  }
  Result<Sockets::Lent> lent = sockets.lend(fd_, now);
  if (lent) {
    *lent_ = *lent;
    return static_cast<long>(lent->bytes.size());
  }
  const bool waits = (flags_ & MSG_DONTWAIT) == 0 && !sockets.nonblocking(fd_);
  if (!would_block(lent.error()) || !waits || now >= deadline_) return std::unexpected(lent.error());
  return std::nullopt;
}

// ---- readv, writev ----

namespace {

// What readv(2) and writev(2) answer without asking the socket, if so.
std::optional<Result<long>> vector_answer(Sockets& sockets, Descriptor fd, const iovec* pieces, int count) {
  if (const int error = sockets.why_no_socket(fd)) return fail(error == ENOTSOCK ? EINVAL : error);
  if (count < 0 || static_cast<std::size_t>(count) > kPiecesMax) return fail(EINVAL);
  if (count != 0 && pieces == nullptr) return fail(EFAULT);
  if (total_size(std::span(pieces, static_cast<std::size_t>(count))) == 0) return 0;
  return std::nullopt;
}

msghdr message_of(const iovec* pieces, int count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = static_cast<std::size_t>(count);
  return message;
}

}  // namespace

std::optional<Result<long>> BlockingReadVector::step(Sockets& sockets, Instant now) {
  if (!call_) {
    if (auto answer = vector_answer(sockets, fd_, pieces_, count_)) return answer;
    message_ = message_of(pieces_, count_);
    call_.emplace(fd_, &message_, 0);
  }
  return call_->step(sockets, now);
}

std::optional<Result<long>> BlockingWriteVector::step(Sockets& sockets, Instant now) {
  if (!call_) {
    if (auto answer = vector_answer(sockets, fd_, pieces_, count_)) return answer;
    call_.emplace(fd_, message_of(pieces_, count_), 0);
  }
  return call_->step(sockets, now);
}

// ---- recvfrom, sendmmsg, recvmmsg ----

BlockingReceiveFrom::BlockingReceiveFrom(Descriptor fd, void* data, std::size_t size, int flags,
                                         sockaddr* from, socklen_t* length)
    : fd_(fd), piece_{data, std::min(size, kBytesPerCallMax)}, flags_(flags), from_(from), length_(length) {}

// The pointers are set here, not in the constructor: the call may have been moved since.
std::optional<Result<long>> BlockingReceiveFrom::step(Sockets& sockets, Instant now) {
  if (!call_) {
    message_.msg_iov = &piece_;
    message_.msg_iovlen = 1;
    if (from_ != nullptr) {
      message_.msg_name = &name_;
      message_.msg_namelen = sizeof(name_);
    }
    call_.emplace(fd_, &message_, flags_);
  }
  const auto received = call_->step(sockets, now);
  if (!received || !*received || from_ == nullptr) return received;
  // Linux's move_addr_to_user; the data is gone from the queue when it fails.
  if (length_ == nullptr) return fail(EFAULT);
  if (static_cast<int>(*length_) < 0) return fail(EINVAL);
  std::memcpy(from_, &name_, std::min(*length_, message_.msg_namelen));
  *length_ = message_.msg_namelen;
  return received;
}

BlockingSendMany::BlockingSendMany(Descriptor fd, mmsghdr* messages, unsigned count, int flags)
    : fd_(fd), messages_(messages, std::min<std::size_t>(count, kPiecesMax)), flags_(flags) {}

std::optional<Result<long>> BlockingSendMany::step(Sockets& sockets, Instant now) {
  if (const int error = sockets.why_no_socket(fd_)) return fail(error);
  while (done_ < messages_.size()) {
    if (messages_.data() == nullptr) return fail(EFAULT);
    mmsghdr& message = messages_[done_];
    // All but the last say that more follows (Linux: MSG_BATCH, which TCP takes no notice of).
    if (!call_) call_.emplace(fd_, message.msg_hdr, flags_);
    const auto sent = call_->step(sockets, now);
    if (!sent) return std::nullopt;
    call_.reset();
    if (!*sent) {
      if (done_ != 0) return static_cast<long>(done_);
      return sent;
    }
    message.msg_len = static_cast<unsigned>(**sent);
    ++done_;
  }
  return static_cast<long>(done_);
}

BlockingReceiveMany::BlockingReceiveMany(Descriptor fd, mmsghdr* messages, unsigned count, int flags,
                                         timespec* timeout)
    : fd_(fd),
      messages_(messages, std::min<std::size_t>(count, kPiecesMax)),
      flags_(flags),
      timeout_(timeout) {}

// Linux writes back what is left of the time when it received anything.
Result<long> BlockingReceiveMany::end(Instant now) const {
  if (timeout_ != nullptr && done_ != 0) {
    const Duration left = end_ > now ? end_ - now : Duration::zero();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    *timeout_ = {.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
  }
  return static_cast<long>(done_);
}

std::optional<Result<long>> BlockingReceiveMany::step(Sockets& sockets, Instant now) {
  if (!started_) {
    started_ = true;
    if (timeout_ != nullptr) {
      if (timeout_->tv_sec < 0 || timeout_->tv_nsec < 0 || timeout_->tv_nsec >= 1'000'000'000)
        return fail(EINVAL);
      end_ = later(now, std::chrono::seconds(timeout_->tv_sec) + std::chrono::nanoseconds(timeout_->tv_nsec));
    }
    if (const int error = sockets.why_no_socket(fd_)) return fail(error);
    if ((flags_ & MSG_ERRQUEUE) == 0)
      if (const int error = sockets.take_error(fd_)) return fail(error);
  }
  while (done_ < messages_.size()) {
    if (messages_.data() == nullptr) return fail(EFAULT);
    mmsghdr& message = messages_[done_];
    if (!call_) {
      const int waits = (flags_ & MSG_WAITFORONE) != 0 && done_ != 0 ? MSG_DONTWAIT : 0;
      call_.emplace(fd_, &message.msg_hdr, (flags_ & ~MSG_WAITFORONE) | waits);
    }
    const auto received = call_->step(sockets, now);
    if (!received) return std::nullopt;
    call_.reset();
    if (!*received) {
      if (done_ == 0) return received;
      // An error after the first message is kept for the next call.
      if (received->error() != Errno{EAGAIN}) sockets.set_error(fd_, received->error());
      return end(now);
    }
    message.msg_len = static_cast<unsigned>(**received);
    ++done_;
    if (timeout_ != nullptr && now >= end_) break;
  }
  return end(now);
}

std::optional<Result<long>> BlockingPoll::step(Sockets& sockets, Instant now) {
  if (!started_) {
    started_ = true;
    deadline_ = timeout_ && *timeout_ >= Duration::zero() ? later(now, *timeout_) : kNever;
  }
  const int ready = held_.poll(sockets, descriptors_, now >= deadline_, now);
  if (ready != 0 || now >= deadline_) return ready;
  return std::nullopt;
}

std::optional<Result<long>> BlockingEpollWait::step(Sockets& sockets, Instant now) {
  if (!started_) {
    started_ = true;
    deadline_ = timeout_ && *timeout_ >= Duration::zero() ? later(now, *timeout_) : kNever;
  }
  const Result<int> ready = sockets.epoll_wait(epfd_, events_, now);
  if (!ready) return std::unexpected(ready.error());
  if (*ready != 0 || now >= deadline_) return *ready;
  return std::nullopt;
}

std::optional<Result<long>> LingeringClose::step(Sockets& sockets, Instant now) {
  if (!started_) {
    started_ = true;
    const Result<int> closed = sockets.close(fd_, now);
    if (closed) return *closed;
    if (closed.error() != Errno{EINPROGRESS}) return std::unexpected(closed.error());
    lingering_ = sockets.last_lingering();
    deadline_ = sockets.linger_deadline(lingering_);
  }
  if (sockets.lingering(lingering_, now)) return std::nullopt;
  return 0;
}

}  // namespace tapir::socket
