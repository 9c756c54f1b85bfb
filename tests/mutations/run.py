#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The test of the tests: applies small wrong patches to src/, one at a time, and wants each caught by the script it names.

The working tree is never touched: a patched copy of the one file is compiled as the build compiled it, the command is linked
with that object in place of the right one, and `tapir drill` runs the script. The build must be up to date.

  run.py --build DIR [--sample N [--seed S]] [--jobs N] [NAME...]
  run.py --list

Exit status 0: every mutation was caught. 1: one survived. 2: the list does not fit the sources, or a tool failed.
"""
import argparse
import concurrent.futures
import pathlib
import random
import shlex
import subprocess
import sys
import tempfile

from mutations import MUTATIONS

SOURCE = pathlib.Path(__file__).resolve().parents[2]
# A mutated stack may loop; no script runs for longer than this.
DRILL_SECONDS = 60
COMPILE_SECONDS = 600


class Unusable(Exception):
    """A mutation that cannot be tried, as opposed to one that survived."""


class Build:
    """How the build makes the command: one line per object, and the link."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        listed = subprocess.run(["ninja", "-C", str(self.directory), "-t", "commands", "tapir_command"],
                                capture_output=True, text=True)
        if listed.returncode != 0:
            raise Unusable(f"{self.directory} is not a Ninja build of the command: {listed.stderr.strip()}")
        lines = [line for line in listed.stdout.splitlines() if line.strip()]
        # ": && g++ ... && :": what stands between is the link itself.
        self.link = shlex.split(lines[-1].split("&&")[1])
        self.compile = {}
        for line in lines[:-1]:
            words = shlex.split(line)
            if "-c" in words:
                self.compile[words[words.index("-c") + 1]] = words

    def command(self):
        return self.directory / self.link[self.link.index("-o") + 1]


def run(words, directory, seconds):
    return subprocess.run(words, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)


def mutated(mutation):
    text = (SOURCE / "src" / mutation.file).read_text()
    if text.count(mutation.old) != 1:
        raise Unusable(f"src/{mutation.file} has {text.count(mutation.old)} places that read: {mutation.old}")
    return text.replace(mutation.old, mutation.new)


def build_mutant(build, mutation, scratch):
    """The command with the mutation in it."""
    source = scratch / pathlib.Path(mutation.file).name
    source.write_text(mutated(mutation))
    original = str(SOURCE / "src" / mutation.file)
    if original not in build.compile:
        raise Unusable(f"the build does not compile {original}")
    words = list(build.compile[original])
    made = words[words.index("-o") + 1]
    words[words.index("-o") + 1] = str(scratch / "mutant.o")
    words[words.index("-c") + 1] = str(source)
    if "-MF" in words:
        words[words.index("-MF") + 1] = str(scratch / "mutant.d")
    # What a mutation leaves unused is no matter here.
    words = [word for word in words if word != "-Werror"] + ["-w"]
    compiled = run(words, build.directory, COMPILE_SECONDS)
    if compiled.returncode != 0:
        raise Unusable(f"the mutation does not compile:\n{compiled.stdout}")
    link = [str(scratch / "mutant.o") if word == made else word for word in build.link]
    if str(scratch / "mutant.o") not in link:
        raise Unusable(f"the command is not linked with {made}")
    link[link.index("-o") + 1] = str(scratch / "tapir")
    linked = run(link, build.directory, COMPILE_SECONDS)
    if linked.returncode != 0:
        raise Unusable(f"the mutation does not link:\n{linked.stdout}")
    return scratch / "tapir"


def drill(command, test):
    """True when the script passes."""
    script = SOURCE / "tests" / "drill" / test
    if not script.exists():
        raise Unusable(f"there is no {script}")
    try:
        done = run([str(command), "drill", str(script)], SOURCE, DRILL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode == 0 and "1 passed" not in done.stdout:
        raise Unusable(f"{test} did not run:\n{done.stdout}")
    return done.returncode == 0


def try_one(build, mutation):
    if not drill(build.command(), mutation.test):
        raise Unusable(f"{mutation.test} fails without the mutation")
    with tempfile.TemporaryDirectory(prefix="tapir-mutation-") as scratch:
        return not drill(build_mutant(build, mutation, pathlib.Path(scratch)), mutation.test)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only mutations whose name contains one of these")
    parser.add_argument("--build", help="a build directory with an up-to-date command")
    parser.add_argument("--sample", type=int, help="so many at random instead of all")
    parser.add_argument("--seed", type=int, help="of the sample; by default a new one, which is printed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="only check that each still fits the sources")
    options = parser.parse_args()

    # Every entry is checked against the sources, also those a sample leaves out.
    problems = 0
    for mutation in MUTATIONS:
        try:
            mutated(mutation)
        except Unusable as problem:
            print(f"STALE     {mutation.name}: {problem}")
            problems += 1
    chosen = [m for m in MUTATIONS if not options.names or any(name in m.name for name in options.names)]
    if options.list:
        for mutation in chosen:
            print(f"{mutation.file}: {mutation.name} ({mutation.test})")
        return 2 if problems else 0
    if options.sample is not None:
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        chosen = random.Random(seed).sample(chosen, min(options.sample, len(chosen)))

    if not options.build:
        parser.error("--build is needed")
    survived = 0
    build = Build(options.build)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutation, result in [(m, pool.submit(try_one, build, m)) for m in chosen]:
            try:
                caught = result.result()
            except (Unusable, subprocess.TimeoutExpired) as problem:
                print(f"UNUSABLE  {mutation.name}: {problem}")
                problems += 1
                continue
            survived += not caught
            print(f"{'caught  ' if caught else 'SURVIVED'}  {mutation.name} ({mutation.test})", flush=True)
    print(f"{len(chosen)} tried, {survived} survived, {problems} unusable")
    return 2 if problems else 1 if survived else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unusable as problem:
        sys.exit(f"run.py: {problem}")
