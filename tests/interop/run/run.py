#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's programs, unmodified, under `tapir run` with the kernel as their peer: run.py TAPIR CASE. Exit 77 = skipped, with a
reason. run.py --list prints the cases."""

import sys

import calls
import clients
import harness
import ways
import servers

CASES = {name[5:]: function for module in (calls, clients, servers, ways) for name, function in vars(module).items() if name.startswith("case_")}

if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        sys.exit(0)
    harness.enter_namespace()
    harness.prepare_namespace()
    CASES[sys.argv[2]]()
