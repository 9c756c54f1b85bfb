#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Refuses an #include that src/rooms.txt does not allow.  usage: include_rule.py ROOT

- A file of src/<room>/ includes its own room, the rooms its line names, headers of the system, and, in the rooms that
  implement or use the public API, tapir/.
- include/tapir/ includes nothing of src/.
- Includes are written from src/ on ("wire/arp.h"), so that the room can be read off; "../" is refused.
- Every folder of src/ is a room of the table, the table has no cycle and names no unknown room.
"""

import os
import re
import sys

from source_text import code_only, read, read_rooms, source_files

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
SEES_PUBLIC_HEADERS = {"api", "cli", "plugin", "preload"}


def check_table(rooms):
    problems = []
    for room, includes in rooms.items():
        for other in sorted(includes - rooms.keys()):
            problems.append(f"src/rooms.txt: {room} names {other}, which is not a room")
    # A room whose includes are all done is done; what never gets done stands in a cycle.
    waiting = dict(rooms)
    while done := [room for room, includes in waiting.items() if not includes & waiting.keys()]:
        for room in done:
            del waiting[room]
    if waiting:
        problems.append("src/rooms.txt: a cycle among " + " ".join(waiting))
    return problems


def includes_of(path):
    """(line number, quoted with "" or <>, name) of each #include."""
    text = code_only(read(path), keep_strings=True)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def check(root):
    rooms = read_rooms(root)
    problems = check_table(rooms)
    src = os.path.join(root, "src")
    for name in sorted(os.listdir(src)):
        folder = os.path.join(src, name)
        if os.path.isdir(folder) and name not in rooms and source_files(folder):
            problems.append(f"src/{name}: not a room of src/rooms.txt")
    for path in source_files(src):
        shown = os.path.relpath(path, root)
        room = os.path.relpath(path, src).split(os.sep)[0]
        if room.endswith((".h", ".cc")):
            problems.append(f"{shown}: is in no room")
            continue
        for line, quote, name in includes_of(path):
            where = f"{shown}:{line}"
            target = name.split("/")[0]
            if ".." in name.split("/"):
                problems.append(f'{where}: "{name}": write includes from src/ on')
            elif target == "tapir":
                if room not in SEES_PUBLIC_HEADERS:
                    problems.append(f'{where}: {room}/ may not include the public header "{name}"')
            elif target in rooms and "/" in name and os.path.exists(os.path.join(src, name)):
                if target != room and target not in rooms.get(room, ()):
                    problems.append(f'{where}: {room}/ may not include {target}/ ("{name}")')
            elif quote == '"':
                problems.append(f'{where}: "{name}" is no header of src/; write includes from src/ on')
    for path in source_files(os.path.join(root, "include")):
        for line, quote, name in includes_of(path):
            target = name.split("/")[0]
            if target != "tapir" and (quote == '"' or target in rooms and os.path.exists(os.path.join(src, name))):
                problems.append(f'{os.path.relpath(path, root)}:{line}: a public header includes "{name}"')
    return problems


if __name__ == "__main__":
    found = check(sys.argv[1])
    for problem in found:
        print(problem)
    print(f"include rule: {len(found)} violations")
    sys.exit(1 if found else 0)
