// SPDX-License-Identifier: Apache-2.0
// Calls on blocking sockets as continuations: step() until it answers. Who waits between the steps (a thread
// in runtime/, virtual time in sim/) is not known here; what a blocking call means (how much a write must
// write, when it times out) is.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "socket/held_files.h"
#include "socket/sockets.h"

namespace tapir::socket {

// Each type below has:
//   void move_to(Descriptor)                                  the descriptor was closed while the call waits:
//   the file's other number std::optional<Result<long>> step(Sockets&, Instant now)   the answer, or nothing:
//   wait for a touch of a descriptor or deadline() Instant deadline() const when step() will end without a
//   touch; kNever void leave(), of some: the call ends before it has answered (a signal, a cancellation):
//   what it noted at the socket is undone Result<long> interrupted() const, of some: what a signal makes of
//   it: what is done counts (signal(7)), else EINTR kWaitsForData, of some: Linux tells what it waits for by
//   no signal meanwhile (SOCKWQ_ASYNC_WAITDATA)
// A first step() that answers is a call that did not block. Non-blocking descriptors and MSG_DONTWAIT answer
// at the first step; then nothing of what a waiting call remembers is made: the list of its pieces is memory
// of its own, and most calls of a busy server are of this kind. What a call points at must be there at its
// first step; afterwards only the bytes.

class BlockingAccept {
 public:
  BlockingAccept(Descriptor fd, sockaddr* address, socklen_t* length, int flags)
      : fd_(fd), address_(address), length_(length), flags_(flags) {}
  void move_to(Descriptor fd) { fd_ = fd; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }

 private:
  Descriptor fd_;
  sockaddr* address_;
  socklen_t* length_;
  int flags_;
  bool started_ = false;
  Instant deadline_ = kNever;
};

class BlockingConnect {
 public:
  BlockingConnect(Descriptor fd, const sockaddr* address, socklen_t length)
      : fd_(fd), address_(address), length_(length) {}
  void move_to(Descriptor fd) { fd_ = fd; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }

 private:
  Descriptor fd_;
  const sockaddr* address_;
  socklen_t length_;
  Errno first_answer_{};
  bool started_ = false;
  Instant deadline_ = kNever;
};

// send, sendto, sendmsg, write, writev: all bytes, or an error before the first (then the error), or a short
// count.
// With Fast Open also the end of the handshake, as connect(2) waits for it.
class BlockingSend {
 public:
  // `loan`: as Sockets::sendmsg().
  BlockingSend(Descriptor fd, const msghdr& message, int flags, Loan* loan = nullptr);
  void move_to(Descriptor fd) { fd_ = fd; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }
  void leave() {
    if (opening_ != nullptr) std::exchange(opening_, nullptr)->note_fast_open_call(fd_, false);
  }
  Result<long> interrupted() const {
    if (sent_ != 0) return static_cast<long>(sent_);
    return fail(EINTR);
  }

 private:
  std::optional<Result<long>> wait_for_handshake(Sockets& sockets, Instant now);
  // What the handshake came to, as far as this call is concerned. Nothing: it is still waited for, or the
  // rest may be sent.
  std::optional<Result<long>> handshake_answer(Sockets& sockets, Instant now);

  Descriptor fd_;
  msghdr message_;
  std::vector<iovec> left_;
  int flags_;
  Loan* loan_;
  std::size_t sent_ = 0;
  bool started_ = false;
  bool connecting_ = false;     // the handshake is waited for before the rest: the first bytes left with the
                                // SYN, or another call's did
  Errno connecting_answer_{};   // what a time-out says then, if no byte of this call left
  Sockets* opening_ = nullptr;  // where it is noted as the socket's Fast Open call; null: it is not
  Instant deadline_ = kNever;
};

// recv, recvfrom, recvmsg, read, readv: at least SO_RCVLOWAT bytes; MSG_WAITALL: all of them.
class BlockingReceive {
 public:
  static constexpr bool kWaitsForData = true;
  BlockingReceive(Descriptor fd, msghdr* message, int flags);
  void move_to(Descriptor fd) { fd_ = fd; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }
  Result<long> interrupted() const {
    if (received_ != 0) return static_cast<long>(received_);
    return fail(EINTR);
  }

 private:
  Result<long> receive_at_once(Sockets& sockets, Instant now);

  Descriptor fd_;
  msghdr* message_;
  std::vector<iovec> left_;
  int flags_;
  std::size_t received_ = 0;
  socklen_t name_length_ = 0;  // as the caller gave them: each attempt begins with these
  std::size_t control_length_ = 0;
  bool started_ = false;
  Instant deadline_ = kNever;
};

// read(2) and readv(2), write(2) and writev(2): without bytes to move they answer 0 before the socket is
// asked.
class BlockingReadVector {
 public:
  static constexpr bool kWaitsForData = true;
  BlockingReadVector(Descriptor fd, const iovec* pieces, int count)
      : fd_(fd), pieces_(pieces), count_(count) {}
  void move_to(Descriptor fd) {
    fd_ = fd;
    if (call_) call_->move_to(fd);
  }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return call_ ? call_->deadline() : kNever; }
  Result<long> interrupted() const {
    if (call_) return call_->interrupted();
    return fail(EINTR);
  }

 private:
  Descriptor fd_;
  const iovec* pieces_;
  int count_;
  msghdr message_{};
  std::optional<BlockingReceive> call_;
};

class BlockingWriteVector {
 public:
  BlockingWriteVector(Descriptor fd, const iovec* pieces, int count)
      : fd_(fd), pieces_(pieces), count_(count) {}
  void move_to(Descriptor fd) {
    fd_ = fd;
    if (call_) call_->move_to(fd);
  }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return call_ ? call_->deadline() : kNever; }
  void leave() {
    if (call_) call_->leave();
  }
  Result<long> interrupted() const {
    if (call_) return call_->interrupted();
    return fail(EINTR);
  }

 private:
  Descriptor fd_;
  const iovec* pieces_;
  int count_;
  std::optional<BlockingSend> call_;
};

// recvfrom(2): the sender's address goes where the caller wants it, after the data.
class BlockingReceiveFrom {
 public:
  static constexpr bool kWaitsForData = true;
  BlockingReceiveFrom(Descriptor fd, void* data, std::size_t size, int flags, sockaddr* from,
                      socklen_t* length);
  void move_to(Descriptor fd) {
    fd_ = fd;
    if (call_) call_->move_to(fd);
  }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return call_ ? call_->deadline() : kNever; }
  Result<long> interrupted() const {
    if (call_) return call_->interrupted();
    return fail(EINTR);
  }

 private:
  Descriptor fd_;
  iovec piece_;
  int flags_;
  sockaddr* from_;
  socklen_t* length_;
  sockaddr_storage name_{};
  msghdr message_{};
  std::optional<BlockingReceive> call_;
};

// sendmmsg(2): how many messages went; an error only when the first did not.
class BlockingSendMany {
 public:
  BlockingSendMany(Descriptor fd, mmsghdr* messages, unsigned count, int flags);
  void move_to(Descriptor fd) {
    fd_ = fd;
    if (call_) call_->move_to(fd);
  }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return call_ ? call_->deadline() : kNever; }
  void leave() {
    if (call_) call_->leave();
  }
  Result<long> interrupted() const {
    if (done_ != 0) return static_cast<long>(done_);
    return call_ ? call_->interrupted() : fail(EINTR);
  }

 private:
  Descriptor fd_;
  std::span<mmsghdr> messages_;
  int flags_;
  std::size_t done_ = 0;
  std::optional<BlockingSend> call_;
};

// recvmmsg(2). `timeout` is looked at after each message, as Linux does: it cannot end a wait.
class BlockingReceiveMany {
 public:
  static constexpr bool kWaitsForData = true;
  BlockingReceiveMany(Descriptor fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout);
  void move_to(Descriptor fd) {
    fd_ = fd;
    if (call_) call_->move_to(fd);
  }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return call_ ? call_->deadline() : kNever; }
  Result<long> interrupted() const {
    if (done_ != 0) return static_cast<long>(done_);
    return call_ ? call_->interrupted() : fail(EINTR);
  }

 private:
  Result<long> end(Instant now) const;

  Descriptor fd_;
  std::span<mmsghdr> messages_;
  int flags_;
  timespec* timeout_;
  Instant end_ = kNever;
  bool started_ = false;
  std::size_t done_ = 0;
  std::optional<BlockingReceive> call_;
};

// poll(2): timeout negative is "for ever".
class BlockingPoll {
 public:
  BlockingPoll(std::span<pollfd> descriptors, std::optional<Duration> timeout)
      : descriptors_(descriptors), timeout_(timeout) {}
  // Null: it does not wait for `fd`. -1: in any case.
  HeldFiles* held(Descriptor fd) { return fd < 0 || HeldFiles::among(descriptors_, fd) ? &held_ : nullptr; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }

 private:
  std::span<pollfd> descriptors_;
  std::optional<Duration> timeout_;
  HeldFiles held_;
  bool started_ = false;
  Instant deadline_ = kNever;
};

class BlockingEpollWait {
 public:
  BlockingEpollWait(Descriptor epfd, std::span<epoll_event> events, std::optional<Duration> timeout)
      : epfd_(epfd), events_(events), timeout_(timeout) {}
  void move_to(Descriptor epfd) { epfd_ = epfd; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }

 private:
  Descriptor epfd_;
  std::span<epoll_event> events_;
  std::optional<Duration> timeout_;
  bool started_ = false;
  Instant deadline_ = kNever;
};

// recv() without the copy (Sockets::lend): the answer is how many bytes `lent` has.
class BlockingLend {
 public:
  BlockingLend(Descriptor fd, int flags, Sockets::Lent* lent) : fd_(fd), flags_(flags), lent_(lent) {}
  void move_to(Descriptor fd) { fd_ = fd; }
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }

 private:
  Descriptor fd_;
  int flags_;
  Sockets::Lent* lent_;
  bool started_ = false;
  Instant deadline_ = kNever;
};

// close(2) of a socket with SO_LINGER > 0: until the peer has acknowledged everything, or the linger time is
// over.
class LingeringClose {
 public:
  explicit LingeringClose(Descriptor fd) : fd_(fd) {}
  std::optional<Result<long>> step(Sockets& sockets, Instant now);
  Instant deadline() const { return deadline_; }

 private:
  Descriptor fd_;
  std::uint64_t lingering_ = 0;  // the stack's name of the orphan
  bool started_ = false;
  Instant deadline_ = kNever;
};

}  // namespace tapir::socket
