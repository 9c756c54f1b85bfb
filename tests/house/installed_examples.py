#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the build into a temporary folder, then builds examples/ against nothing but that, shared and static, and
runs what ends by itself.  usage: installed_examples.py ROOT BUILD CXX CC

An example that serves until it is stopped says so with the words "runs until stopped" in its first comment; it is built
but not run. Every other one must exit with 0 within 30 s.
"""

import os
import subprocess
import sys
import tempfile


def run(*command, **options):
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True, **options)


def main(root, build, cxx, cc):
    with tempfile.TemporaryDirectory(prefix="tapir-installed-") as temporary:
        prefix, tree = os.path.join(temporary, "prefix"), os.path.join(temporary, "examples")
        run("cmake", "--install", build, "--prefix", prefix, stdout=subprocess.DEVNULL)
        run("cmake", "-S", os.path.join(root, "examples"), "-B", tree, "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={cxx}", f"-DCMAKE_C_COMPILER={cc}",
            stdout=subprocess.DEVNULL)
        run("cmake", "--build", tree, "--parallel", "2")

        command = os.path.join(prefix, "bin", "tapir")
        if os.path.exists(command):
            run(command, "--version", timeout=30)
        failed = ran = 0
        for source in sorted(os.listdir(os.path.join(root, "examples"))):
            stem, extension = os.path.splitext(source)
            if extension not in (".c", ".cc"):
                continue
            with open(os.path.join(root, "examples", source), encoding="utf-8") as file:
                if "runs until stopped" in file.read(2000):
                    continue
            if not os.path.exists(os.path.join(tree, "bin", stem)):
                print(f"{stem}: not built, what it needs is not there", flush=True)
                continue
            for name in (stem, stem + "_static"):
                ran += 1
                print("+", name, flush=True)
                try:
                    status = subprocess.run([os.path.join(tree, "bin", name)], timeout=30,
                                            stdin=subprocess.DEVNULL).returncode
                except subprocess.TimeoutExpired:
                    status = "no end within 30 s"
                if status != 0:
                    failed += 1
                    print(f"{name}: failed: {status}", flush=True)
        print(f"examples: {ran} run, {failed} failed")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
