#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation of each kind in a small tree and asks the checks to refuse it, and to pass the tree without."""

import os
import sys
import tempfile
import unittest

import include_rule
import no_clocks_below_runtime
import no_conflict_markers
import no_machine_paths

TABLE = "base:\nwire: base\ntcp: base wire\napi: base tcp\n"
CLEAN = {
    "src/rooms.txt": TABLE,
    "src/base/bytes.h": "#pragma once\n#include <cstdint>\n",
    "src/wire/arp.h": '#include "base/bytes.h"\n#include "wire/arp.h"\n',
    "src/tcp/rtt.cc": '#include "wire/arp.h"\n// #include "api/stack.h" is not for tcp/\nint f() { return 1\'000; }\n',
    "src/api/stack.h": '#include "tapir/stack.hpp"\n#include "tcp/rtt.h"\n',
    "src/tcp/rtt.h": "/* double, std::mutex and steady_clock in a comment */\nconst char* const kName = \"double\";\n",
    "include/tapir/stack.hpp": '#include <vector>\n#include "tapir/socket.hpp"\n',
}


def problems(check, **planted):
    """What check says of the clean tree with planted = {path with __ for / and _dot_ for .: text} added."""
    with tempfile.TemporaryDirectory() as root:
        files = dict(CLEAN)
        files.update({name.replace("__", "/").replace("_dot_", "."): text for name, text in planted.items()})
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return check(root)


class IncludeRule(unittest.TestCase):
    def refuses(self, word, **planted):
        found = problems(include_rule.check, **planted)
        self.assertEqual(len(found), 1, found)
        self.assertIn(word, found[0])

    def test_passes_the_clean_tree(self):
        self.assertEqual(problems(include_rule.check), [])

    def test_upward_include(self):
        self.refuses("wire/ may not include tcp/", src__wire__udp_dot_h='#include "tcp/rtt.h"\n')

    def test_upward_include_in_angle_brackets(self):
        self.refuses("wire/ may not include tcp/", src__wire__udp_dot_h="#  include <tcp/rtt.h>\n")

    def test_include_in_a_subfolder_counts_for_the_room(self):
        self.refuses("wire/ may not include tcp/", src__wire__deep__udp_dot_cc='#include "tcp/rtt.h"\n')

    def test_public_header_below_api(self):
        self.refuses("tcp/ may not include the public header", src__tcp__a_dot_h='#include "tapir/stack.hpp"\n')

    def test_relative_include(self):
        self.refuses("from src/ on", src__tcp__a_dot_h='#include "../wire/arp.h"\n')

    def test_include_without_its_room(self):
        self.refuses("from src/ on", src__tcp__a_dot_h='#include "rtt.h"\n')

    def test_public_header_of_src(self):
        self.refuses("a public header includes", include__tapir__a_dot_hpp='#include "tcp/rtt.h"\n')
        self.refuses("a public header includes", include__tapir__a_dot_hpp="#include <tcp/rtt.h>\n")

    def test_unknown_room(self):
        self.refuses("not a room", src__misc__a_dot_h="\n")

    def test_file_in_no_room(self):
        self.refuses("in no room", src__a_dot_h="\n")

    def test_cycle_in_the_table(self):
        self.refuses("a cycle", src__rooms_dot_txt=TABLE.replace("base:\n", "base: api\n"))

    def test_unknown_name_in_the_table(self):
        self.refuses("which is not a room", src__rooms_dot_txt=TABLE.replace("base:\n", "base: util\n"))


class SansIo(unittest.TestCase):
    def test_passes_the_clean_tree(self):
        self.assertEqual(problems(no_clocks_below_runtime.check), [])

    def test_each_kind(self):
        for code in ["auto t = std::chrono::steady_clock::now();", "::clock_gettime(CLOCK_MONOTONIC, &ts);",
                     "auto t = time(nullptr);", "std::random_device entropy;", "std::mutex lock;", "std::thread worker;",
                     "double rate = 0;", "float rate = 0;", "std::unordered_map<int, int> m;", "::read(fd, p, n);",
                     "#include <unistd.h>", "pthread_mutex_t lock;", "std::uniform_int_distribution<int> d;"]:
            found = problems(no_clocks_below_runtime.check, src__tcp__a_dot_cc=f"// first line\n{code}\n")
            self.assertTrue(found, code)
            self.assertIn("src/tcp/a.cc:2:", found[0])

    def test_rooms_above_may(self):
        self.assertEqual(problems(no_clocks_below_runtime.check, src__runtime__a_dot_cc="std::mutex lock;\n"), [])
        self.assertEqual(problems(no_clocks_below_runtime.check, src__drivers__a_dot_cc="::read(fd, p, n);\n"), [])

    def test_member_functions_of_the_same_name_are_fine(self):
        for code in ["socket.read(p, n);", "Stream::read(p, n);", "auto t = record.time();", "co.close();"]:
            self.assertEqual(problems(no_clocks_below_runtime.check, src__tcp__a_dot_cc=code + "\n"), [], code)


class MachinePaths(unittest.TestCase):
    def test_passes_the_clean_tree(self):
        self.assertEqual(problems(no_machine_paths.check), [])

    def test_each_kind(self):
        for path in ["/wor" + "k/main/x", "/hom" + "e/someone/x", "/roo" + "t/x", "../sha" + "red/x"]:
            found = problems(no_machine_paths.check, docs__a_dot_md=f"see {path}\n")
            self.assertEqual(len(found), 1, path)

    def test_urls_and_longer_words_are_fine(self):
        self.assertEqual(problems(no_machine_paths.check, docs__a_dot_md="https://example.org/hom" + "e/ net" + "/wor"
                                  + "k/\n"), [])


class ConflictMarkers(unittest.TestCase):
    OURS, THEIRS, BETWEEN = "<" * 7 + " HEAD", ">" * 7 + " theirs", "=" * 7

    def found(self, *lines):
        return problems(no_conflict_markers.check, docs__a_dot_md="\n".join(lines) + "\n")

    def test_passes_the_clean_tree(self):
        self.assertEqual(problems(no_conflict_markers.check), [])

    def test_a_conflict(self):
        found = self.found("one", self.OURS, "a", self.BETWEEN, "b", self.THEIRS, "two")
        self.assertEqual([line.split(":")[1] for line in found], ["2", "4", "6"])

    def test_one_marker_left_behind(self):
        self.assertEqual(len(self.found("one", self.THEIRS)), 1)
        self.assertEqual(len(self.found(self.OURS, "one")), 1)

    def test_an_underline_and_shifts_are_fine(self):
        self.assertEqual(self.found("Heading", self.BETWEEN, "a " + self.OURS, "x" + self.THEIRS, "<" * 8, "=" * 8), [])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
