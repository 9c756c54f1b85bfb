#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No committed file holds what git writes where a merge did not succeed.  usage: no_conflict_markers.py ROOT"""

import re
import sys

from no_machine_paths import committed_texts

# Ours (and the common ancestor's) begins, theirs ends; what stands between them may be a heading's underline elsewhere.
BEGIN = re.compile(r"(<{7}|\|{7})( |$)")
BETWEEN = re.compile(r"={7}$")
END = re.compile(r">{7}( |$)")


def check(root):
    problems = []
    for name, lines in committed_texts(root):
        inside = False
        for number, line in enumerate(lines, 1):
            begins, ends = BEGIN.match(line), END.match(line)
            if begins or ends or (inside and BETWEEN.match(line)):
                problems.append(f"{name}:{number}: {line[:40]}")
            inside = bool(begins) or (inside and not ends)
    return problems


if __name__ == "__main__":
    found = check(sys.argv[1])
    for problem in found:
        print(problem)
    print(f"conflict markers: {len(found)} found")
    sys.exit(1 if found else 0)
