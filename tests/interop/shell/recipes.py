#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each recipe of a page as it stands there, in a network namespace of its own: recipes.py TAPIR PAGE. Exit 77 = skipped.

A recipe is a block that begins with ```sh recipe; "# expect REGEX" is about the output of the line before it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

RECIPES = 11


def blocks(page):
    """(title, lines) of each recipe."""
    title, lines = "", None
    for line in page.splitlines():
        if line.startswith("## "):
            title = line[3:]
        if lines is not None:
            if line == "```":
                yield title, lines
                lines = None
            else:
                lines.append(line)
        elif line == "```sh recipe":
            lines = []


def script_of(lines):
    """A script that runs the lines one by one, each with its output in a file of its own; and what is expected: (line, file, regex)."""
    script = ["set -e", "ip link set lo up", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    expected = []
    count = 0
    for line in lines:
        if line.startswith("# expect "):
            expected.append((command, "out.%d" % count, line[len("# expect "):]))
            continue
        count += 1
        command = line
        if line.rstrip().endswith("&") or line.startswith("kill "):
            script.append(line)
            if line.startswith("tapir up"):
                script.append('for try in $(seq 200); do tapir stat >/dev/null 2>&1 && break; sleep 0.1; done')
        else:
            # No subshell: jobs and their numbers must be the script's.
            script.append("{ %s\n} > out.%d 2>&1 || { echo 'failed: %s'; cat out.%d; exit 1; }" % (line, count, line.replace("'", "'\\''"), count))
    return "\n".join(script) + "\n", expected


def run(tapir, title, lines):
    script, expected = script_of(lines)
    with tempfile.TemporaryDirectory(prefix="tapir-recipe-") as folder:
        os.symlink(tapir, os.path.join(folder, "tapir"))
        how = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
        environment = {**os.environ, "PATH": folder + ":" + os.environ["PATH"], "TAPIR_CONTROL": os.path.join(folder, "control")}
        done = subprocess.run([*how, "bash", "-m", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        problems = [] if done.returncode == 0 else ["exit %d: %s%s" % (done.returncode, done.stdout[-1500:], done.stderr[-1500:])]
        for command, name, regex in expected:
            path = os.path.join(folder, name)
            output = open(path, encoding="utf-8", errors="replace").read() if os.path.exists(path) else "(did not run)"
            if not re.search(regex, output):
                problems.append("%s: /%s/ is not in:\n%s" % (command, regex, output))
    print("%s: %s" % ("ok" if not problems else "FAILED", title))
    for problem in problems:
        print("    " + problem.replace("\n", "\n    "))
    return not problems


def main():
    tapir, page = os.path.abspath(sys.argv[1]), open(sys.argv[2], encoding="utf-8").read()
    for needed in ("ip", "ping", "nc", "nsenter", "sysctl", "python3"):
        if not shutil.which(needed):
            print("skipped: there is no program '%s'" % needed)
            sys.exit(77)
    if subprocess.run(["unshare", "-n" if os.geteuid() == 0 else "-Urn", "true"], capture_output=True).returncode != 0 or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        print("skipped: no network namespace, or no /dev/net/tun, can be had here")
        sys.exit(77)
    found = list(blocks(page))
    if len(found) != RECIPES:
        print("%d recipes are on the page, not %d" % (len(found), RECIPES))
        sys.exit(1)
    results = [run(tapir, title, lines) for title, lines in found if len(sys.argv) < 4 or title.startswith(sys.argv[3] + ".")]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
