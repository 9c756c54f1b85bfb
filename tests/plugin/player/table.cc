// SPDX-License-Identifier: Apache-2.0
#include "plugin/player/table.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

namespace tapir::player {

namespace {

std::string commands;  // the directory that lay_out_commands() made

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "drill_player: %s\n", why.c_str());
  remove_commands();
  ::_exit(2);
}

}  // namespace

void remove_commands() {
  std::error_code ignored;
  if (!commands.empty()) std::filesystem::remove_all(commands, ignored);
}

Table load_library(const char* path, const char* flags) {
  void* const library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) give_up(::dlerror());
  Table table;
  const auto init =
      reinterpret_cast<void (*)(const char*, void*)>(::dlsym(library, "packetdrill_interface_init"));
  if (init == nullptr) give_up(std::string(path) + " has no packetdrill_interface_init()");
  init(flags, table.entries.data());
  table.getsockopt =
      reinterpret_cast<int (*)(int, int, int, void*, socklen_t*)>(::dlsym(library, "getsockopt"));
  table.sendfile = reinterpret_cast<ssize_t (*)(int, int, off_t*, std::size_t)>(::dlsym(library, "sendfile"));
  table.system = reinterpret_cast<int (*)(const char*)>(::dlsym(library, "system"));
  return table;
}

// ---- the kernel ----

namespace {

int tun = -1;
int patience_ms = 2000;

void do_free(void*) {}
int do_socket(void*, int domain, int type, int protocol) { return ::socket(domain, type, protocol); }
int do_bind(void*, int fd, const sockaddr* address, socklen_t length) { return ::bind(fd, address, length); }
int do_listen(void*, int fd, int backlog) { return ::listen(fd, backlog); }
int do_accept(void*, int fd, sockaddr* address, socklen_t* length) { return ::accept(fd, address, length); }
int do_connect(void*, int fd, const sockaddr* address, socklen_t length) {
  return ::connect(fd, address, length);
}
ssize_t do_read(void*, int fd, void* data, std::size_t size) { return ::read(fd, data, size); }
ssize_t do_readv(void*, int fd, const iovec* pieces, int count) { return ::readv(fd, pieces, count); }
ssize_t do_recv(void*, int fd, void* data, std::size_t size, int flags) {
  return ::recv(fd, data, size, flags);
}
ssize_t do_recvfrom(void*, int fd, void* data, std::size_t size, int flags, sockaddr* from,
                    socklen_t* length) {
  return ::recvfrom(fd, data, size, flags, from, length);
}
ssize_t do_recvmsg(void*, int fd, msghdr* message, int flags) { return ::recvmsg(fd, message, flags); }
ssize_t do_write(void*, int fd, const void* data, std::size_t size) { return ::write(fd, data, size); }
ssize_t do_writev(void*, int fd, const iovec* pieces, int count) { return ::writev(fd, pieces, count); }
ssize_t do_send(void*, int fd, const void* data, std::size_t size, int flags) {
  return ::send(fd, data, size, flags);
}
ssize_t do_sendto(void*, int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                  socklen_t length) {
  return ::sendto(fd, data, size, flags, to, length);
}
ssize_t do_sendmsg(void*, int fd, const msghdr* message, int flags) { return ::sendmsg(fd, message, flags); }
int do_fcntl(void*, int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  const int argument = va_arg(list, int);
  va_end(list);
  return ::fcntl(fd, command, argument);
}
int do_ioctl(void*, int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  int* const argument = va_arg(list, int*);
  va_end(list);
  return ::ioctl(fd, request, argument);
}
int do_close(void*, int fd) { return ::close(fd); }
int do_shutdown(void*, int fd, int how) { return ::shutdown(fd, how); }
int do_getsockopt(void*, int fd, int level, int name, void* value, socklen_t* length) {
  return ::getsockopt(fd, level, name, value, length);
}
int do_setsockopt(void*, int fd, int level, int name, const void* value, socklen_t length) {
  return ::setsockopt(fd, level, name, value, length);
}
int do_poll(void*, pollfd* entries, nfds_t count, int timeout_ms) {
  return ::poll(entries, count, timeout_ms);
}
int do_netdev_send(void*, const void* packet, std::size_t size) {
  return ::write(tun, packet, size) == static_cast<ssize_t>(size) ? 0 : -1;
}
// Packets wait with the time at which they came, however late they are asked for.
struct Arrived {
  long long at;
  std::vector<std::uint8_t> bytes;
};
std::mutex arrived_mutex;
std::condition_variable arrived_changed;
std::deque<Arrived> arrived;

void read_device() {
  for (;;) {
    Arrived packet{0, std::vector<std::uint8_t>(65536)};
    const ssize_t got = ::read(tun, packet.bytes.data(), packet.bytes.size());
    if (got <= 0) return;
    timeval now{};
    ::gettimeofday(&now, nullptr);
    packet.at = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_usec;
    packet.bytes.resize(static_cast<std::size_t>(got));
    const std::scoped_lock lock(arrived_mutex);
    arrived.push_back(std::move(packet));
    arrived_changed.notify_one();
  }
}

int do_netdev_receive(void*, void* packet, std::size_t* size, long long* time_usecs) {
  std::unique_lock lock(arrived_mutex);
  const bool any =
      arrived_changed.wait_for(lock, std::chrono::milliseconds(patience_ms), [] { return !arrived.empty(); });
  if (!any) {
    *size = 0;
    return 0;
  }
  const Arrived first = std::move(arrived.front());
  arrived.pop_front();
  *size = std::min(*size, first.bytes.size());
  std::memcpy(packet, first.bytes.data(), *size);
  *time_usecs = first.at;
  return 0;
}
int do_usleep(void*, useconds_t usecs) { return ::usleep(usecs); }
int do_gettimeofday(void*, timeval* now, struct timezone*) { return ::gettimeofday(now, nullptr); }
int do_epoll_create(void*, int size) { return ::epoll_create(size); }
int do_epoll_ctl(void*, int epfd, int operation, int fd, epoll_event* event) {
  return ::epoll_ctl(epfd, operation, fd, event);
}
int do_epoll_wait(void*, int epfd, epoll_event* events, int most, int timeout_ms) {
  return ::epoll_wait(epfd, events, most, timeout_ms);
}
int do_pipe(void*, int descriptors[2]) { return ::pipe(descriptors); }
int do_splice(void*, int in, loff_t* in_offset, int out, loff_t* out_offset, std::size_t size,
              unsigned flags) {
  if (in_offset != nullptr && *in_offset == 0) in_offset = nullptr;
  if (out_offset != nullptr && *out_offset == 0) out_offset = nullptr;
  return static_cast<int>(::splice(in, in_offset, out, out_offset, size, flags));
}

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) give_up("this command failed: " + command);
}

void write_script(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  if (::chmod(path.c_str(), 0755) != 0) give_up("cannot write " + path);
}

// What scripts call by path, whatever their depth; until remove_commands().
void lay_out_commands() {
  char name[] = "/tmp/drill_player_XXXXXX";
  if (::mkdtemp(name) == nullptr) give_up("cannot make a directory in /tmp");
  const std::string root = name;
  commands = root;
  const std::string defaults =
      "#!/bin/sh\n"
      "for s in 'tcp_rmem=4096 540000 15728640' 'tcp_wmem=4096 262144 4194304' tcp_timestamps=1 "
      "tcp_syn_retries=5 tcp_synack_retries=5\\\n"
      "  tcp_frto=2 tcp_sack=1 tcp_dsack=1 tcp_fack=0 tcp_reordering=3 tcp_slow_start_after_idle=0 "
      "tcp_early_retrans=4\\\n"
      "  tcp_recovery=1 tcp_tso_win_divisor=3 tcp_ecn=0 tcp_ecn_option=2 tcp_pacing_ss_ratio=200 "
      "tcp_pacing_ca_ratio=120\\\n"
      "  tcp_notsent_lowat=4294967295 tcp_fastopen=0x70403 "
      "tcp_fastopen_key=a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4 tcp_syncookies=1; do\n"
      "  sysctl -q -e -w \"net.ipv4.$s\" 2>/dev/null\n"
      "done\nip tcp_metrics flush all >/dev/null 2>&1\ntc qdisc replace dev tun0 root pfifo\nexit 0\n";
  const std::string set =
      "#!/bin/sh\n"
      "for s in \"$@\"; do p=${s%%=*}; v=${s#*=}; printf '%s\\n' \"printf '%s\\\\n' '$(cat $p)' > $p\" >> "
      "/tmp/sysctl_restore_${PPID}.sh; printf '%s\\n' \"$v\" > $p; done\n"
      "chmod 755 /tmp/sysctl_restore_${PPID}.sh\n";
  std::string at = root;
  for (const char* level : {"", "/a", "/b", "/c"}) {
    at += level;
    if (*level != 0 && ::mkdir(at.c_str(), 0755) != 0) give_up("cannot make " + at);
    if (::mkdir((at + "/common").c_str(), 0755) != 0) give_up("cannot make " + at + "/common");
    write_script(at + "/common/defaults.sh", defaults);
    write_script(at + "/common/set_sysctls.py", set);
  }
  if (::chdir(at.c_str()) != 0) give_up("cannot enter " + at);
}

}  // namespace

Table enter_kernel(const KernelConfig& config) {
  if (::unshare(CLONE_NEWNET) != 0)
    give_up(std::string("no network namespace of one's own: ") + std::strerror(errno));
  tun = ::open("/dev/net/tun", O_RDWR);
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strcpy(request.ifr_name, "tun0");
  if (tun < 0 || ::ioctl(tun, TUNSETIFF, &request) != 0)
    give_up(std::string("no TUN device: ") + std::strerror(errno));
  lay_out_commands();
  shell("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1");
  shell("ip addr add " + config.local + " dev tun0 && ip link set tun0 mtu " + std::to_string(config.mtu) +
        " up && ip link set lo up");
  shell("ip route add default via " + config.gateway + " dev tun0 congctl " + config.congestion_control);
  std::thread(read_device).detach();
  Table table;
  table.entries = {nullptr,
                   reinterpret_cast<void*>(do_free),
                   reinterpret_cast<void*>(do_socket),
                   reinterpret_cast<void*>(do_bind),
                   reinterpret_cast<void*>(do_listen),
                   reinterpret_cast<void*>(do_accept),
                   reinterpret_cast<void*>(do_connect),
                   reinterpret_cast<void*>(do_read),
                   reinterpret_cast<void*>(do_readv),
                   reinterpret_cast<void*>(do_recv),
                   reinterpret_cast<void*>(do_recvfrom),
                   reinterpret_cast<void*>(do_recvmsg),
                   reinterpret_cast<void*>(do_write),
                   reinterpret_cast<void*>(do_writev),
                   reinterpret_cast<void*>(do_send),
                   reinterpret_cast<void*>(do_sendto),
                   reinterpret_cast<void*>(do_sendmsg),
                   reinterpret_cast<void*>(do_fcntl),
                   reinterpret_cast<void*>(do_ioctl),
                   reinterpret_cast<void*>(do_close),
                   reinterpret_cast<void*>(do_shutdown),
                   reinterpret_cast<void*>(do_getsockopt),
                   reinterpret_cast<void*>(do_setsockopt),
                   reinterpret_cast<void*>(do_poll),
                   reinterpret_cast<void*>(do_netdev_send),
                   reinterpret_cast<void*>(do_netdev_receive),
                   reinterpret_cast<void*>(do_usleep),
                   reinterpret_cast<void*>(do_gettimeofday),
                   reinterpret_cast<void*>(do_epoll_create),
                   reinterpret_cast<void*>(do_epoll_ctl),
                   reinterpret_cast<void*>(do_epoll_wait),
                   reinterpret_cast<void*>(do_pipe),
                   reinterpret_cast<void*>(do_splice)};
  table.getsockopt = [](int fd, int level, int name, void* value, socklen_t* length) {
    return ::getsockopt(fd, level, name, value, length);
  };
  table.sendfile = [](int out, int in, off_t* offset, std::size_t size) {
    return ::sendfile(out, in, offset, size);
  };
  table.system = [](const char* command) { return std::system(command); };
  table.set_patience = [](long long usecs) {
    patience_ms = static_cast<int>(std::max<long long>(usecs, 0) / 1000);
  };
  return table;
}

}  // namespace tapir::player
