#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each feature of tapip, the teaching stack that tapir replaces, and each of its bugs is a test of tapir's: its number occurs in the
name of one.  usage: tapip_numbers.py ROOT

A test's name is a GoogleTest's, a case of tests/interop/, or a script's of tests/drill/. Features: TapipRowNN or TapipNN (rowNN- in scripts);
bugs: TapipBugNN (bugNN-)."""

import os
import re
import sys

ROWS = {
    1: "TAP driver", 2: "a NIC of its own on the TAP", 3: "loopback, all of 127/8", 4: "device layer with counters", 5: "packet buffers that are counted",
    6: "Ethernet demultiplexer", 7: "topology: in the host's stead, on a bridge", 8: "topology: beside the kernel", 9: "ARP cache", 10: "ARP requests, replies, cheating",
    11: "IP input checks", 12: "routing table", 13: "IP output", 14: "forwarding", 15: "fragments and reassembly", 16: "echo replies", 17: "ICMP errors sent",
    18: "ICMP types received", 19: "socket calls", 20: "blocking and waking", 21: "binding", 22: "UDP", 23: "sockets that share what comes", 24: "TCP's states",
    25: "opening, refusing, closing", 26: "tables and ports", 27: "backlog", 28: "receiving", 29: "sending", 30: "shell", 31: "help, clear, exit", 32: "debug",
    33: "arpcache, route, ifconfig, stat", 34: "ping", 35: "ping2", 36: "snc", 37: "build switches", 38: "unit tests and leak checks", 39: "recipes", 40: "pages"}

BUGS = {
    1: "zero window crashes", 2: "simultaneous open crashes", 3: "SYN in a synchronised state frees twice", 4: "a reset wakes nobody", 5: "FIN with data, or early",
    6: "FIN-WAIT-2 on any ACK", 7: "an ACK for every segment", 8: "sequence numbers compared plainly", 9: "a lost segment, or a full window, stalls for ever",
    10: "ISS is a counter", 11: "backlog not kept, accept is last in first out, half-open ones stay", 12: "TIME-WAIT list loses its tail",
    13: "close while opening does nothing, data after close leaks", 14: "connect changes the bound source", 15: "UDP connect and demultiplexing", 16: "calls of the wrong kind crash",
    17: "port unreachable reads past the packet", 18: "ICMP errors with TTL 0", 19: "fragmentation needed without MTU, offsets and ids of fragments", 20: "overlapping fragments",
    21: "200 packets end the process", 22: "RAW copies, ping -t, sizes", 23: "trimming loses the buffer", 24: "redirect codes, broadcast by guess, multicast forwarded",
    25: "ARP cache without eviction, queue without bound", 26: "shell's words unbounded", 27: "no locks", 28: "switches that do something else"}


def test_names(root):
    """Every name of a test, with the file it is in."""
    tests = os.path.join(root, "tests")
    for directory, _, names in os.walk(tests):
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith(".pkt"):
                yield name, path
            elif name.endswith((".cc", ".py", ".sh", "CMakeLists.txt")) and not path.endswith("tapip_numbers.py"):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
                for pattern in (r"\bTEST(?:_[FP])?\(\s*\w+,\s*(\w+)", r"^def (\w+)", r"add_test\(NAME (\S+)"):
                    for match in re.finditer(pattern, text, re.M):
                        yield match.group(1), path


def check(root):
    rows, bugs = {}, {}
    for name, path in test_names(root):
        for number in re.findall(r"(?:TapipRow|Tapip|tapip|\brow)(\d+)", name):
            rows.setdefault(int(number), []).append(path)
        for number in re.findall(r"(?:TapipBug|\bbug)(\d+)", name):
            bugs.setdefault(int(number), []).append(path)
    problems = ["feature %d of tapip (%s) is in the name of no test" % (n, what) for n, what in ROWS.items() if n not in rows]
    problems += ["bug %d of tapip (%s) is in the name of no test" % (n, what) for n, what in BUGS.items() if n not in bugs]
    problems += ["%s: tapip has no feature %d" % (paths[0], n) for n, paths in rows.items() if n not in ROWS]
    problems += ["%s: tapip has no bug %d" % (paths[0], n) for n, paths in bugs.items() if n not in BUGS]
    print("%d tests of %d features, %d of %d bugs" % (sum(map(len, rows.values())), len(rows), sum(map(len, bugs.values())), len(bugs)))
    return problems


if __name__ == "__main__":
    found = check(sys.argv[1])
    for problem in found:
        print(problem)
    sys.exit(1 if found else 0)
