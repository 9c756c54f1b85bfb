# SPDX-License-Identifier: Apache-2.0
"""The differences from Linux that tests/differential/ allows and the list in docs/sockets.md are the same."""
import pathlib
import re
import sys


def main(root: str) -> int:
    tree = pathlib.Path(root)
    code = (tree / "tests/differential/wanted.cc").read_text()
    allowed = set(re.findall(r'^    \{"([^"]+)",$', code, re.MULTILINE))
    page = (tree / "docs/sockets.md").read_text()
    table = page.split("## Where tapir differs on purpose", 1)[1].split("\nKnown,", 1)[0]
    rows = dict(re.findall(r"^\| (?!difference|---)([^|]+?) \| ([^|]*?) \|$", table, re.MULTILINE))
    problems = [f"allowed, but not in docs/sockets.md: {name}" for name in sorted(allowed - set(rows))]
    problems += [f"in docs/sockets.md, but not allowed: {name}" for name in sorted(set(rows) - allowed)]
    problems += [f"no reason is given for: {name}" for name, reason in sorted(rows.items()) if not reason]
    if not allowed:
        problems.append("no allowed difference was found in tests/differential/wanted.cc")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
