#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No committed file names a path of one developer's machine.  usage: no_machine_paths.py ROOT"""

import os
import re
import subprocess
import sys

# Put together from halves, so that this file passes its own test.
PATH = re.compile("(?<![\\w.])(?:/wor" + "k/|/hom" + "e/|/roo" + "t/|/tmp/tap" + "ir/)|\\.\\./sha" + "red")


def committed_files(root):
    """What git tracks or would track; every file where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "-C", root, "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            check=True, capture_output=True).stdout.decode().split("\0")
        return sorted({os.path.join(root, name) for name in listed if name})
    except (OSError, subprocess.CalledProcessError):
        return sorted(os.path.join(directory, name) for directory, _, names in os.walk(root) for name in names
                      if "/build" not in directory and "/.git" not in directory)


def committed_texts(root):
    """(name below the root, lines) of each of them that is text."""
    for path in committed_files(root):
        try:
            with open(path, encoding="utf-8") as file:
                yield os.path.relpath(path, root), file.read().split("\n")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def check(root):
    problems = []
    for name, lines in committed_texts(root):
        for number, line in enumerate(lines, 1):
            match = PATH.search(line)
            if match:
                problems.append(f"{name}:{number}: {match.group(0)}")
    return problems


if __name__ == "__main__":
    found = check(sys.argv[1])
    for problem in found:
        print(problem)
    print(f"machine paths: {len(found)} found")
    sys.exit(1 if found else 0)
