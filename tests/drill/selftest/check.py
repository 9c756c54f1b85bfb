#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that `tapir drill` is strict: every script of right/ passes, and every script of wrong/, which is one of them with one
expectation changed, fails at the line marked "// wrong".

usage: check.py PATH-OF-TAPIR
"""
import difflib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def run(tapir, folder):
    done = subprocess.run([tapir, "drill", "--json", str(folder)], capture_output=True, text=True)
    return done.returncode, {pathlib.Path(s["path"]).name: s for s in json.loads(done.stdout)["scripts"]}


def marked_line(path):
    lines = [n for n, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("// wrong")]
    return lines[0] if len(lines) == 1 else None


def check_wrong(path, outcome):
    line = marked_line(path)
    if line is None:
        yield "has no line, or several, marked '// wrong'"
        return
    right = HERE / "right" / (path.stem.split("-")[0] + ".pkt")
    text = path.read_text().replace("  // wrong", "").splitlines()
    blocks = [b for b in difflib.SequenceMatcher(None, right.read_text().splitlines(), text).get_opcodes() if b[0] != "equal"]
    if len(blocks) != 1:
        yield f"differs from {right.name} in {len(blocks)} places, not one"
    if outcome["verdict"] != "FAIL":
        yield f"is {outcome['verdict']}, must FAIL"
    elif outcome.get("line") != line:
        yield f"fails at line {outcome.get('line')}, must at {line}: {outcome.get('reason')}"


def main():
    tapir = sys.argv[1]
    problems = []
    code, outcomes = run(tapir, HERE / "right")
    if code != 0:
        problems.append(f"right/: exit code {code}, must be 0")
    for name, outcome in outcomes.items():
        if outcome["verdict"] != "PASS":
            problems.append(f"right/{name}:{outcome.get('line')} is {outcome['verdict']}: {outcome.get('reason')}")
    code, outcomes = run(tapir, HERE / "wrong")
    if code != 1:
        problems.append(f"wrong/: exit code {code}, must be 1")
    for path in sorted((HERE / "wrong").glob("*.pkt")):
        problems += [f"wrong/{path.name} {problem}" for problem in check_wrong(path, outcomes[path.name])]
    for problem in problems:
        print(problem)
    print(f"{len(outcomes)} wrong scripts, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
