// SPDX-License-Identifier: Apache-2.0
// Bytes in and out.
#include "preload/data_calls.h"

#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <expected>
#include <memory>

#include "preload/file_windows.h"
#include "preload/libc.h"
#include "preload/process.h"

namespace tapir::preload {

// Linux raises SIGPIPE in the thread that writes, unless told not to.
ssize_t with_sigpipe(const socket::Result<long>& result, int flags) {
  if (!result && result.error() == socket::Errno{EPIPE} && (flags & MSG_NOSIGNAL) == 0) ::raise(SIGPIPE);
  return answer<ssize_t>(result);
}

ssize_t write_to(const Number& number, const void* data, std::size_t size) {
  return with_sigpipe(stack().send(number.descriptor, data, size), 0);
}

namespace {

// What a file is read in for sendfile(2). What a full socket does not take has been read in vain.
constexpr std::size_t kFilePiece = 64 << 10;

bool ours(const Number& number) { return number.is_socket(); }

msghdr message_of(const iovec* pieces, int count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = static_cast<std::size_t>(count);
  return message;
}

socket::Result<long> send_message(const Number& number, const msghdr* message, int flags) {
  if (message == nullptr) return socket::fail(EFAULT);
  return stack().sendmsg(number.descriptor, *message, flags);
}

}  // namespace

TAPIR_LIBC(ssize_t, read, int fd, void* data, std::size_t size) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().read(fd, data, size);
  if (!usable()) return -1;
  if (size == 0) return 0;
  return answer<ssize_t>(stack().recv(number.descriptor, data, size));
}

TAPIR_LIBC(ssize_t, recv, int fd, void* data, std::size_t size, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().recv(fd, data, size, flags);
  if (!usable()) return -1;
  return answer<ssize_t>(stack().recv(number.descriptor, data, size, flags));
}

TAPIR_LIBC(ssize_t, recvfrom, int fd, void* data, std::size_t size, int flags, sockaddr* from,
           socklen_t* length) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().recvfrom(fd, data, size, flags, from, length);
  if (!usable()) return -1;
  return answer<ssize_t>(stack().recvfrom(number.descriptor, data, size, flags, from, length));
}

TAPIR_LIBC(ssize_t, recvmsg, int fd, msghdr* message, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().recvmsg(fd, message, flags);
  if (!usable()) return -1;
  if (message == nullptr) return answer<ssize_t>(socket::Result<long>(socket::fail(EFAULT)));
  return answer<ssize_t>(stack().recvmsg(number.descriptor, *message, flags));
}

TAPIR_LIBC(ssize_t, readv, int fd, const iovec* pieces, int count) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().readv(fd, pieces, count);
  if (!usable()) return -1;
  if (count < 0 || count > IOV_MAX) return answer<ssize_t>(socket::Result<long>(socket::fail(EINVAL)));
  msghdr message = message_of(pieces, count);
  return answer<ssize_t>(stack().recvmsg(number.descriptor, message));
}

TAPIR_LIBC(ssize_t, write, int fd, const void* data, std::size_t size) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().write(fd, data, size);
  if (!usable()) return -1;
  return write_to(number, data, size);
}

TAPIR_LIBC(ssize_t, writev, int fd, const iovec* pieces, int count) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().writev(fd, pieces, count);
  if (!usable()) return -1;
  if (count < 0 || count > IOV_MAX) return answer<ssize_t>(socket::Result<long>(socket::fail(EINVAL)));
  return with_sigpipe(stack().sendmsg(number.descriptor, message_of(pieces, count)), 0);
}

namespace {

// What preadv2(2) and pwritev2(2) may ask of a socket (Linux: kiocb_set_rw_flags).
constexpr int kVectorFlags = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;

// A socket has no offsets: -1 is none. The flags of recvmsg(2) and sendmsg(2), or the error.
std::expected<int, int> message_flags(int count, off_t offset, int flags) {
  if (offset < -1) return std::unexpected(EINVAL);
  if (offset != -1) return std::unexpected(ESPIPE);
  if (count < 0 || count > IOV_MAX) return std::unexpected(EINVAL);
  if ((flags & ~kVectorFlags) != 0) return std::unexpected(EOPNOTSUPP);
  return (flags & RWF_NOWAIT) != 0 ? MSG_DONTWAIT : 0;
}

}  // namespace

TAPIR_LIBC(ssize_t, preadv2, int fd, const iovec* pieces, int count, off_t offset, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().preadv2(fd, pieces, count, offset, flags);
  if (!usable()) return -1;
  const auto how = message_flags(count, offset, flags);
  if (!how) return answer<ssize_t>(socket::Result<long>(socket::fail(how.error())));
  msghdr message = message_of(pieces, count);
  return answer<ssize_t>(stack().recvmsg(number.descriptor, message, *how));
}
TAPIR_LIBC(ssize_t, preadv64v2, int fd, const iovec* pieces, int count, off_t offset, int flags) {
  return tapir_libc_preadv2(fd, pieces, count, offset, flags);
}

TAPIR_LIBC(ssize_t, pwritev2, int fd, const iovec* pieces, int count, off_t offset, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().pwritev2(fd, pieces, count, offset, flags);
  if (!usable()) return -1;
  const auto how = message_flags(count, offset, flags);
  if (!how) return answer<ssize_t>(socket::Result<long>(socket::fail(how.error())));
  return with_sigpipe(stack().sendmsg(number.descriptor, message_of(pieces, count), *how), 0);
}
TAPIR_LIBC(ssize_t, pwritev64v2, int fd, const iovec* pieces, int count, off_t offset, int flags) {
  return tapir_libc_pwritev2(fd, pieces, count, offset, flags);
}

TAPIR_LIBC(int, sockatmark, int fd) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().sockatmark(fd);
  if (!usable()) return -1;
  int at_mark = 0;
  const auto asked = stack().ioctl(number.descriptor, SIOCATMARK, &at_mark);
  return asked ? at_mark : answer<int>(asked);
}

TAPIR_LIBC(ssize_t, send, int fd, const void* data, std::size_t size, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().send(fd, data, size, flags);
  if (!usable()) return -1;
  return with_sigpipe(stack().send(number.descriptor, data, size, flags), flags);
}

TAPIR_LIBC(ssize_t, sendto, int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
           socklen_t length) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().sendto(fd, data, size, flags, to, length);
  if (!usable()) return -1;
  return with_sigpipe(stack().sendto(number.descriptor, data, size, flags, to, length), flags);
}

TAPIR_LIBC(ssize_t, sendmsg, int fd, const msghdr* message, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) {
    warn_of_passed(message);
    return libc().sendmsg(fd, message, flags);
  }
  if (!usable()) return -1;
  return with_sigpipe(send_message(number, message, flags), flags);
}

TAPIR_LIBC(int, sendmmsg, int fd, mmsghdr* messages, unsigned count, int flags) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().sendmmsg(fd, messages, count, flags);
  if (!usable()) return -1;
  const auto sent = stack().sendmmsg(number.descriptor, messages, count, flags);
  if (!sent) return static_cast<int>(with_sigpipe(std::unexpected(sent.error()), flags));
  return *sent;
}

TAPIR_LIBC(int, recvmmsg, int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const Number number = number_of(fd);
  if (!ours(number)) return libc().recvmmsg(fd, messages, count, flags, timeout);
  if (!usable()) return -1;
  return answer<int>(stack().recvmmsg(number.descriptor, messages, count, flags, timeout));
}

// ---- from file to socket: sent from where it is, or read and sent in pieces ----

namespace {

// Whether a device reads what is sent, as the kernel reads a program's memory: what else touches bytes of a
// file that was cut short meanwhile dies of it. Not on loopback, nor when frames are written to a file.
bool goes_to_device(const Number& number) {
  if (settings()->pcap) return false;
  sockaddr_in peer{};
  socklen_t length = sizeof peer;
  if (!stack().getpeername(number.descriptor, reinterpret_cast<sockaddr*>(&peer), &length)) return false;
  const IpAddress address = IpAddress::v4(ntohl(peer.sin_addr.s_addr));
  const auto is_peer = [&](const IpPrefix& own) { return own.address == address; };
  return ntohl(peer.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET &&
         !std::ranges::any_of(settings()->addresses, is_peer);
}

ssize_t sendfile_to(const Number& number, int in, off_t* offset, std::size_t count) {
  static thread_local std::unique_ptr<char[]> buffer;
  if (offset != nullptr && *offset < 0) return answer<ssize_t>(socket::Result<long>(socket::fail(EINVAL)));
  const bool lends = count >= kLoanMin && goes_to_device(number);
  std::size_t total = 0;
  while (total < count) {
    const off_t position = offset != nullptr ? *offset : ::lseek(in, 0, SEEK_CUR);
    LentPiece lent;
    const bool is_lent = lends && lent.lend(in, position, count - total);
    const std::size_t wanted = is_lent ? lent.size() : std::min(count - total, kFilePiece);
    ssize_t got = static_cast<ssize_t>(wanted);
    if (!is_lent) {
      if (!buffer) buffer.reset(new char[kFilePiece]);
      got =
          position >= 0 ? ::pread(in, buffer.get(), wanted, position) : libc().read(in, buffer.get(), wanted);
    }
    if (got < 0 && total == 0) return -1;
    if (got <= 0) break;
    const bool more = static_cast<std::size_t>(got) == wanted && total + wanted < count;
    const int flags = more ? MSG_MORE : 0;
    const auto sent =
        is_lent ? stack().send_lent(number.descriptor, lent.data(), wanted, lent.loan(), flags)
                : stack().send(number.descriptor, buffer.get(), static_cast<std::size_t>(got), flags);
    if (!sent && total == 0) return with_sigpipe(sent, 0);
    if (!sent) break;
    total += static_cast<std::size_t>(*sent);
    if (offset != nullptr) {
      *offset += *sent;
    } else if (position >= 0) {
      ::lseek(in, *sent, SEEK_CUR);
    }
    if (*sent < got) break;
  }
  return static_cast<ssize_t>(total);
}

// Waits until `fd` of the kernel is ready for `events`.
void wait_for(int fd, short events) {
  pollfd one{fd, events, 0};
  (void)libc().poll(&one, 1, -1);
}

ssize_t splice_from(const Number& number, int pipe, std::size_t size, unsigned flags) {
  static thread_local std::unique_ptr<char[]> buffer;
  if (!buffer) buffer.reset(new char[kFilePiece]);
  int held = 0;
  const int capacity = libc().fcntl(pipe, F_GETPIPE_SZ, 0);
  if (capacity < 0 || libc().ioctl(pipe, FIONREAD, &held) < 0)
    return answer<ssize_t>(socket::Result<long>(socket::fail(EINVAL)));
  while (held >= capacity) {
    if ((flags & SPLICE_F_NONBLOCK) != 0) return answer<ssize_t>(socket::Result<long>(socket::fail(EAGAIN)));
    wait_for(pipe, POLLOUT);
    libc().ioctl(pipe, FIONREAD, &held);
  }
  const std::size_t wanted = std::min({size, kFilePiece, static_cast<std::size_t>(capacity - held)});
  const auto got = stack().recv(number.descriptor, buffer.get(), wanted,
                                (flags & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0);
  if (!got || *got == 0) return answer<ssize_t>(got);
  std::size_t written = 0;
  while (written < static_cast<std::size_t>(*got)) {
    const ssize_t once = libc().write(pipe, buffer.get() + written, static_cast<std::size_t>(*got) - written);
    if (once > 0) {
      written += static_cast<std::size_t>(once);
    } else if (once < 0 && errno != EAGAIN && errno != EINTR) {
      return -1;
    } else {
      wait_for(pipe, POLLOUT);
    }
  }
  return static_cast<ssize_t>(written);
}

// The pipe's bytes are looked at with tee(2) first: what the socket does not take stays there.
ssize_t splice_to(int pipe, const Number& number, std::size_t size, unsigned flags) {
  int looking[2];
  if (::pipe2(looking, O_CLOEXEC) != 0) return -1;
  const auto end = [&](ssize_t result) {
    const int error = errno;
    libc().close(looking[0]);
    libc().close(looking[1]);
    errno = error;
    return result;
  };
  std::array<char, 65536> bytes;
  const ssize_t seen = ::tee(pipe, looking[1], std::min(size, bytes.size()), flags & SPLICE_F_NONBLOCK);
  if (seen <= 0) return end(seen);
  const ssize_t got = libc().read(looking[0], bytes.data(), static_cast<std::size_t>(seen));
  if (got <= 0) return end(got);
  int send_flags = (flags & SPLICE_F_MORE) != 0 ? MSG_MORE : 0;
  if ((flags & SPLICE_F_NONBLOCK) != 0) send_flags |= MSG_DONTWAIT;
  const auto sent = stack().send(number.descriptor, bytes.data(), static_cast<std::size_t>(got), send_flags);
  if (!sent) return end(with_sigpipe(sent, 0));
  (void)!libc().read(pipe, bytes.data(), static_cast<std::size_t>(*sent));
  return end(static_cast<ssize_t>(*sent));
}

}  // namespace

TAPIR_LIBC(ssize_t, sendfile, int out, int in, off_t* offset, std::size_t count) {
  const Number number = number_of(out);
  if (!ours(number)) return libc().sendfile(out, in, offset, count);
  if (!usable()) return -1;
  if (ours(number_of(in)))
    return answer<ssize_t>(socket::Result<long>(socket::fail(offset != nullptr ? ESPIPE : EINVAL)));
  return sendfile_to(number, in, offset, count);
}
TAPIR_LIBC(ssize_t, sendfile64, int out, int in, off_t* offset, std::size_t count) {
  return tapir_libc_sendfile(out, in, offset, count);
}

TAPIR_LIBC(ssize_t, splice, int in, off64_t* in_offset, int out, off64_t* out_offset, std::size_t size,
           unsigned flags) {
  const Number from = number_of(in);
  const Number to = number_of(out);
  if (!ours(from) && !ours(to)) return libc().splice(in, in_offset, out, out_offset, size, flags);
  if (!usable()) return -1;
  if (in_offset != nullptr || out_offset != nullptr)
    return answer<ssize_t>(socket::Result<long>(socket::fail(ESPIPE)));
  if (ours(from) && ours(to)) return answer<ssize_t>(socket::Result<long>(socket::fail(EINVAL)));
  return ours(from) ? splice_from(from, out, size, flags) : splice_to(in, to, size, flags);
}

// ---- what -D_FORTIFY_SOURCE makes of them ----

TAPIR_LIBC(ssize_t, __read_chk, int fd, void* data, std::size_t size, std::size_t space) {
  if (size > space) libc().__chk_fail();
  return tapir_libc_read(fd, data, size);
}
TAPIR_LIBC(ssize_t, __recv_chk, int fd, void* data, std::size_t size, std::size_t space, int flags) {
  if (size > space) libc().__chk_fail();
  return tapir_libc_recv(fd, data, size, flags);
}
TAPIR_LIBC(ssize_t, __recvfrom_chk, int fd, void* data, std::size_t size, std::size_t space, int flags,
           sockaddr* from, socklen_t* length) {
  if (size > space) libc().__chk_fail();
  return tapir_libc_recvfrom(fd, data, size, flags, from, length);
}

}  // namespace tapir::preload
