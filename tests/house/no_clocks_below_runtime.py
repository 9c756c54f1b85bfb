#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The core is sans-I/O: below runtime/ (and outside drivers/) nothing reads a clock, draws randomness, locks, starts a
thread, makes a system call, computes in floating point or depends on the order of a hash table.
usage: no_clocks_below_runtime.py ROOT
"""

import os
import re
import sys

from source_text import code_only, read, source_files

CORE = ["base", "inet", "wire", "frame", "ipc", "trace", "link", "ip", "udp", "raw", "tcp", "stack", "socket",
        "observe", "sim"]

FORBIDDEN = [(re.compile(pattern), why) for pattern, why in [
    (r"\b(?:steady|system|high_resolution|utc|file)_clock\b", "reads a clock"),
    (r"\b(?:clock_gettime|gettimeofday|clock_nanosleep|nanosleep|usleep|__rdtsc|rdtsc)\b", "reads a clock or sleeps"),
    (r"\bsleep_(?:for|until)\b", "sleeps"),
    (r"(?<![\w.>])(?:std::|::)?time\s*\(\s*(?:NULL|nullptr|0)\s*\)", "reads a clock"),
    (r"\bstd::(?:random_device|mt19937(?:_64)?|minstd_rand0?|default_random_engine|\w+_distribution|s?rand)\b",
     "randomness that is not the injected generator"),
    (r"\b(?:getrandom|getentropy)\b", "randomness that is not the injected generator"),
    (r"\bstd::(?:recursive_|shared_|timed_)*mutex\b|\bstd::(?:lock_guard|unique_lock|scoped_lock|condition_variable)\b"
     r"|\bpthread_\w+", "locks"),
    (r"\bstd::(?:j?thread|async|this_thread)\b|\bthread_local\b", "knows threads"),
    (r"\b(?:float|double)\b", "floating point"),
    (r"\bstd::unordered_\w+", "the order of a hash table"),
    (r"(?<![\w:])::(?:socket|bind|connect|accept4?|send|sendto|sendmsg|recv|recvfrom|recvmsg|read|write|open|close"
     r"|ioctl|poll|ppoll|select|epoll_\w+|mmap|munmap|fork|getpid|gettid|syscall)\s*\(", "a system call"),
    (r"\b(?:fopen|getenv|secure_getenv)\s*\(", "reaches outside the stack"),
    (r"#\s*include\s*<(?:unistd\.h|sys/syscall\.h|sys/ioctl\.h|sys/mman\.h|thread|mutex|shared_mutex"
     r"|condition_variable|random|future|fstream|filesystem|pthread\.h|time\.h|ctime|unordered_map|unordered_set)>",
     "a header the core has no use for"),
]]


def check(root):
    problems = []
    for room in CORE:
        for path in source_files(os.path.join(root, "src", room)):
            for number, line in enumerate(code_only(read(path)).split("\n"), 1):
                for pattern, why in FORBIDDEN:
                    match = pattern.search(line)
                    if match:
                        shown = os.path.relpath(path, root)
                        problems.append(f"{shown}:{number}: `{match.group(0).strip()}`: {why}")
    return problems


if __name__ == "__main__":
    found = check(sys.argv[1])
    for problem in found:
        print(problem)
    print(f"sans-I/O rule: {len(found)} violations")
    sys.exit(1 if found else 0)
