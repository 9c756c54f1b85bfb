// SPDX-License-Identifier: Apache-2.0
// The socket calls of one stack, as Linux answers them. Nothing here ever waits: a call that would have to
// answers EAGAIN (connect: EINPROGRESS) whatever the descriptor's blocking mode; blocking_call.h turns those
// into calls that can be continued.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/loan.h"
#include "base/time.h"
#include "socket/errno.h"

namespace tapir::stack {
class Stack;
}

namespace tapir::socket {

// A number in this table's own space (3, 4, …: the lowest free one, as POSIX wants).
using Descriptor = int;
// A message flag of our own, which no MSG_* of Linux uses: the call goes on with what the last send() of it
// left.
inline constexpr int kMsgContinues = 0x10000000;

// What happened to a descriptor since the last look; for those who wait. An event, not a level.
struct Woken {
  Descriptor descriptor = -1;
  std::uint32_t events = 0;  // EPOLLIN, EPOLLOUT … as Linux's wake-up passes them
};

// What Linux tells by a signal (kill_fasync: POLL_IN, POLL_OUT, POLL_ERR, POLL_HUP; SIGURG and POLL_PRI),
// bits; the last: the file is no more, and its number another's soon.
enum : std::uint8_t {
  kSignalReadable = 1,
  kSignalWritable = 2,
  kSignalError = 4,
  kSignalHangUp = 8,
  kSignalUrgent = 16,
  kSignalEnded = 32,
};

class Sockets {
 public:
  // Descriptors are numbered from `first_descriptor`; at most `descriptors_max` exist (RLIMIT_NOFILE's role:
  // then EMFILE).
  explicit Sockets(stack::Stack& stack, Descriptor first_descriptor = 3, std::size_t descriptors_max = 65536);
  ~Sockets();
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  stack::Stack& stack() { return stack_; }

  // A program that answers many sockets in one go: until it ends, calls leave their output to the
  // poll_output() that follows it, so that it leaves in one batch, and what is sent after what is read
  // carries its ACK. Only the end of a send or receive is meant: a send() larger than a record lets go of
  // full ones as ever.
  class OutputHeld {
   public:
    explicit OutputHeld(Sockets& sockets) : sockets_(sockets) { sockets_.hold_output(true); }
    ~OutputHeld() { sockets_.hold_output(false); }
    OutputHeld(const OutputHeld&) = delete;
    OutputHeld& operator=(const OutputHeld&) = delete;

   private:
    Sockets& sockets_;
  };

  // ---- the calls; arguments and results are those of the manual pages of section 2 ----
  Result<Descriptor> socket(int domain, int type, int protocol, Instant now);
  Result<int> bind(Descriptor fd, const sockaddr* address, socklen_t length, Instant now);
  Result<int> listen(Descriptor fd, int backlog, Instant now);
  Result<Descriptor> accept4(Descriptor fd, sockaddr* address, socklen_t* length, int flags, Instant now);
  Result<int> connect(Descriptor fd, const sockaddr* address, socklen_t length, Instant now);
  // With a loan a stream may point at the bytes until they are acknowledged, instead of copying them.
  Result<std::size_t> sendmsg(Descriptor fd, const msghdr* message, int flags, Instant now,
                              Loan* loan = nullptr);
  Result<std::size_t> recvmsg(Descriptor fd, msghdr* message, int flags, Instant now);
  Result<std::size_t> send(Descriptor fd, const void* data, std::size_t size, int flags, Instant now);
  Result<std::size_t> sendto(Descriptor fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                             socklen_t length, Instant now);
  Result<std::size_t> recv(Descriptor fd, void* data, std::size_t size, int flags, Instant now);
  Result<std::size_t> recvfrom(Descriptor fd, void* data, std::size_t size, int flags, sockaddr* from,
                               socklen_t* length, Instant now);
  Result<int> shutdown(Descriptor fd, int how, Instant now);
  // Closes this descriptor; the last one of a socket ends it. A lingering close (SO_LINGER) answers
  // EINPROGRESS while it must wait: the descriptor is gone, LingeringClose (blocking_call.h) waits for the
  // rest.
  Result<int> close(Descriptor fd, Instant now);
  Result<Descriptor> dup(Descriptor fd);
  // Closes what `to` stood for. dup2(2) differs when both are the same: it answers that number then, this
  // EINVAL.
  Result<Descriptor> dup3(Descriptor fd, Descriptor to, int flags, Instant now);
  Result<int> getsockname(Descriptor fd, sockaddr* address, socklen_t* length);
  Result<int> getpeername(Descriptor fd, sockaddr* address, socklen_t* length);
  Result<int> getsockopt(Descriptor fd, int level, int name, void* value, socklen_t* length, Instant now);
  Result<int> setsockopt(Descriptor fd, int level, int name, const void* value, socklen_t length,
                         Instant now);
  // FIONREAD/SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, FIONBIO …; `argument` as ioctl(2)'s third.
  Result<int> ioctl(Descriptor fd, unsigned long request, void* argument, Instant now);
  // F_GETFL, F_SETFL (O_NONBLOCK), F_GETFD, F_SETFD, F_DUPFD…
  Result<int> fcntl(Descriptor fd, int command, long argument);

  // Readiness now, as poll(2) would report it for `requested` (POLLERR, POLLHUP and POLLNVAL always count).
  short poll_events(Descriptor fd, short requested, Instant now);
  // Fills revents; returns how many are non-zero (poll(2) with timeout 0).
  int poll(std::span<pollfd> descriptors, Instant now);

  Result<Descriptor> epoll_create1(int flags);
  Result<int> epoll_ctl(Descriptor epfd, int operation, Descriptor fd, epoll_event* event, Instant now);
  // epoll_wait(2) with timeout 0.
  Result<int> epoll_wait(Descriptor epfd, std::span<epoll_event> events, Instant now);

  // ---- zero copy: sendmsg() with a loan, and of streams alone (others: EOPNOTSUPP) ----
  struct Lent {
    std::uint64_t name = 0;  // for give_back(); 0: there are no bytes
    Bytes bytes;             // valid until then
  };
  // recv() without the copy: the received frame that is first in line, whole. No bytes: the peer has closed.
  // ENOBUFS: too many are lent.
  Result<Lent> lend(Descriptor fd, Instant now);
  void give_back(std::uint64_t name);

  // ---- for those who wait ----
  // Another number for the file of `fd`, beyond those that programs get: calls that wait on it go on under
  // that one when `fd` is closed, as in Linux, where each holds the file. EMFILE: there are too many of them.
  Result<Descriptor> set_aside(Descriptor fd);
  bool is_aside(Descriptor fd) const;
  bool nonblocking(Descriptor fd) const;
  // SO_RCVTIMEO / SO_SNDTIMEO; Duration::zero() is "for ever".
  Duration receive_timeout(Descriptor fd) const;
  Duration send_timeout(Descriptor fd) const;
  // Moves what the stack touched into the epoll sets and reports it; call after every call into the stack
  // (the verbs and the calls above). The span is valid until the next call. A descriptor appears once for
  // each of its dup()s.
  std::span<const Woken> take_woken(Instant now);
  // Files whose events are told by signals at a time: such programs have few sockets (a select() would serve
  // them else).
  static constexpr int kSignalledMax = 16;
  // The file of `fd` among those, from 0 on; one that is none yet becomes one if `give`. -1: none, or there
  // are kSignalledMax.
  int signal_number(Descriptor fd, bool give);
  bool signals() const;  // there are such files
  struct Signalled {
    int number = -1;
    Descriptor descriptor = -1;  // one of the file's; -1 when it is no more
    std::uint8_t what = 0;       // kSignal*
  };
  // What happened to one of them up to the last take_woken(); number -1: nothing more.
  Signalled poll_signal();
  // EBADF, ENOTSOCK; 0 for a socket.
  int why_no_socket(Descriptor fd) const;
  // The pending error, told once (Linux's sock_error); and the other way: recvmmsg(2) gives back what it
  // could not tell.
  int take_error(Descriptor fd);
  void set_error(Descriptor fd, Errno error);
  // shutdown(SHUT_RD) was called: a blocking recv() of a datagram socket ends with 0 then, though a
  // non-blocking one says EAGAIN.
  bool receive_shut(Descriptor fd) const;
  // SO_RCVLOWAT, for recv() of a stream; 1 for others.
  std::size_t receive_low_water(Descriptor fd) const;
  // What a connect() under way on a stream came to: EALREADY while it goes on, 0 also when none was.
  Result<int> connect_result(Descriptor fd, Instant now);
  // connect() answered 0 and the SYN waits for the first data (TCP_FASTOPEN_CONNECT).
  bool syn_deferred(Descriptor fd) const;
  // A blocking Fast Open call waits for its handshake; until it is over, others on the socket answer
  // EALREADY.
  bool fast_open_call_waits(Descriptor fd) const;
  void note_fast_open_call(Descriptor fd, bool waits);
  bool is_stream(Descriptor fd) const;
  // Descriptors that are open.
  std::size_t size() const;
  // The close() that answered EINPROGRESS last; a name for the two below.
  std::uint64_t last_lingering() const;
  // Still waits for the peer. False once it acknowledged everything, or the linger time is over.
  bool lingering(std::uint64_t name, Instant now);
  Instant linger_deadline(std::uint64_t name) const;

  struct State;  // socket/state.h

 private:
  void hold_output(bool hold);
  stack::Stack& stack_;
  std::unique_ptr<State> state_;
};

}  // namespace tapir::socket
