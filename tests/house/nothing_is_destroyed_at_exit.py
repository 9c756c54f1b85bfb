#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No library of ours has objects that are destroyed when the program ends (C++ [basic.start.term]).

A stack works until the process is gone: its service thread runs while exit(3) destroys what is static, and under `tapir run` what was
written is sent after that, from a destructor of the library. So what is static is never destroyed.

usage: nothing_is_destroyed_at_exit.py LIBRARY...
"""

import subprocess
import sys


def registers_destructors(library):
    symbols = subprocess.run(["nm", "--undefined-only", library], check=True, capture_output=True, text=True).stdout
    return any(line.split()[-1].split("@")[0] == "__cxa_atexit" for line in symbols.splitlines() if line.strip())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = [library for library in sys.argv[1:] if registers_destructors(library)]
    for each in found:
        print(f"{each}: has static objects with destructors (objdump -dC shows which functions call __cxa_atexit)")
    sys.exit(1 if found else 0)
