#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The test of the tests: applies small wrong patches to src/, one at a time, and wants each caught by the scripts it names.

The patches stand in tests/drill/mutations, a TOML file per topic, a [[mutation]] each:
  name     what is wrong then
  file     under src/, a .cc file
  old      text that stands there exactly once
  new      what replaces it
  scripts  under tests/drill/: each of them must fail

The working tree is never touched: a patched copy of the one file is compiled as the build compiled it, the command is linked
with that object in place of the right one, and `tapir drill` runs the scripts. The build must be up to date.

  run.py --build DIR [--sample N [--seed S]] [--jobs N] [NAME...]     all, or a sample, or those whose name or file contains NAME
  run.py --build DIR --survey [--jobs N] [NAME...]                    every script under every mutation: which fail no one's
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
import tomllib
from typing import NamedTuple

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = SOURCE / "tests" / "drill"
# A mutated stack may loop; no script runs for longer than this.
DRILL_SECONDS = 60
COMPILE_SECONDS = 600


class Unusable(Exception):
    """A mutation that cannot be tried, as opposed to one that survived."""


class Mutation(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    scripts: list


def every_mutation():
    return [Mutation(**entry) for path in sorted((SCRIPTS / "mutations").glob("*.toml")) for entry in tomllib.loads(path.read_text())["mutation"]]


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

    def source_with(self, original, changed):
        """The source that is compiled with `original` in it, and its text with `changed` in that one's place."""
        if original in self.compile:
            return original, pathlib.Path(changed).read_text()
        # A room that is compiled as one: a file of #includes.
        for made in self.compile:
            text = pathlib.Path(made).read_text() if "/Unity/" in made else ""
            if f'#include "{original}"' in text:
                return made, text.replace(f'#include "{original}"', f'#include "{changed}"')
        raise Unusable(f"the build does not compile {original}")

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
    changed = scratch / pathlib.Path(mutation.file).name
    changed.write_text(mutated(mutation))
    original, text = build.source_with(str(SOURCE / "src" / mutation.file), str(changed))
    source = scratch / "mutant.cc"
    source.write_text(text)
    words = list(build.compile[original])
    made = words[words.index("-o") + 1]
    words[words.index("-o") + 1] = str(scratch / "mutant.o")
    words[words.index("-c") + 1] = str(source)
    if "-MF" in words:
        words[words.index("-MF") + 1] = str(scratch / "mutant.d")
    # What a mutation leaves unused is no matter here, nor how fast it runs.
    words = [word for word in words if word not in ("-Werror", "-g")] + ["-w", "-O0"]
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


def passes(command, test):
    script = SCRIPTS / test
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
    """The scripts that did not fail."""
    for test in mutation.scripts:
        if not passes(build.command(), test):
            raise Unusable(f"{test} fails without the mutation")
    with tempfile.TemporaryDirectory(prefix="tapir-mutation-") as scratch:
        mutant = build_mutant(build, mutation, pathlib.Path(scratch))
        return [test for test in mutation.scripts if passes(mutant, test)]


def all_scripts():
    return sorted(str(path.relative_to(SCRIPTS)) for path in SCRIPTS.glob("*/*.pkt"))


def survey_one(build, mutation, tests):
    """Every script that fails, whether named or not."""
    with tempfile.TemporaryDirectory(prefix="tapir-mutation-") as scratch:
        mutant = build_mutant(build, mutation, pathlib.Path(scratch))
        try:
            done = run([str(mutant), "drill", *(str(SCRIPTS / test) for test in tests)], SOURCE, DRILL_SECONDS)
        except subprocess.TimeoutExpired:
            return [test for test in mutation.scripts if not passes(mutant, test)]
        if " passed, " not in done.stdout:  # it died on the way
            return [test for test in mutation.scripts if not passes(mutant, test)]
        failed = [line.split()[1].rsplit(":", 1)[0] for line in done.stdout.splitlines() if line.startswith("FAIL ")]
        return [str(pathlib.Path(path).relative_to(SCRIPTS)) for path in failed]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only mutations whose name or file contains one of these")
    parser.add_argument("--build", help="a build directory with an up-to-date command")
    parser.add_argument("--sample", type=int, help="so many at random instead of all")
    parser.add_argument("--seed", type=int, help="of the sample; by default a new one, which is printed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--survey", action="store_true", help="run every script under every mutation")
    parser.add_argument("--list", action="store_true", help="only check that each still fits the sources")
    options = parser.parse_args()

    # Every entry is checked against the sources, also those a sample leaves out.
    problems = 0
    mutations = every_mutation()
    for mutation in mutations:
        try:
            mutated(mutation)
            for test in mutation.scripts:
                if not (SCRIPTS / test).exists():
                    raise Unusable(f"there is no {test}")
        except Unusable as problem:
            print(f"STALE     {mutation.name}: {problem}")
            problems += 1
    chosen = [m for m in mutations if not options.names or any(name in m.name or name in m.file for name in options.names)]
    if options.list:
        for mutation in chosen:
            print(f"{mutation.file}: {mutation.name} ({', '.join(mutation.scripts)})")
        proven = {test for mutation in mutations for test in mutation.scripts}
        print(f"{len(chosen)} mutations; {len(proven)} of {len(all_scripts())} scripts have one")
        return 2 if problems else 0
    if options.sample is not None:
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}", flush=True)
        chosen = random.Random(seed).sample(chosen, min(options.sample, len(chosen)))

    if not options.build:
        parser.error("--build is needed")
    survived = 0
    build = Build(options.build)
    tests = all_scripts()
    unproven = set(tests)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tried = [(m, pool.submit(survey_one, build, m, tests) if options.survey else pool.submit(try_one, build, m)) for m in chosen]
        for mutation, result in tried:
            try:
                found = result.result()
            except (Unusable, subprocess.TimeoutExpired) as problem:
                print(f"UNUSABLE  {mutation.name}: {problem}", flush=True)
                problems += 1
                continue
            passed = [test for test in mutation.scripts if test not in found] if options.survey else found
            survived += bool(passed)
            print(f"{'SURVIVED' if passed else 'caught  '}  {mutation.name} ({', '.join(passed or mutation.scripts)})", flush=True)
            if options.survey:
                unproven -= set(found)
                print("".join(f"            {test}\n" for test in found), end="", flush=True)
    print(f"{len(chosen)} tried, {survived} survived, {problems} unusable")
    if options.survey:
        print(f"{len(unproven)} of {len(tests)} scripts fail for none:")
        print("".join(f"  {test}\n" for test in sorted(unproven)), end="")
    return 2 if problems else 1 if survived else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unusable as problem:
        sys.exit(f"run.py: {problem}")
