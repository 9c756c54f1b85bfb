# SPDX-License-Identifier: Apache-2.0
"""What the checks of the house share: the table of rooms, the source files, and C++ text without comments."""

import os
import re


def read_rooms(root):
    """src/rooms.txt as {room: set of rooms it may include}."""
    rooms = {}
    with open(os.path.join(root, "src", "rooms.txt"), encoding="utf-8") as table:
        for line in table:
            line = line.split("#", 1)[0].strip()
            if line:
                room, _, includes = line.partition(":")
                rooms[room.strip()] = set(includes.split())
    return rooms


def source_files(folder):
    """Every C and C++ file below folder, sorted."""
    found = []
    for directory, folders, names in os.walk(folder):
        folders.sort()
        found += [os.path.join(directory, name) for name in sorted(names)
                  if name.endswith((".h", ".hpp", ".c", ".cc"))]
    return found


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/'              # comments
    r'|R"(?P<delimiter>[^()\\\s]*)\(.*?\)(?P=delimiter)"'  # raw strings
    r'|"(?:\\.|[^"\\\n])*"'            # strings
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'",  # characters, not digit separators
    re.DOTALL)


def code_only(text, keep_strings=False):
    """text with comments blanked (and strings, unless kept); line numbers stay."""
    def blank(match):
        token = match.group(0)
        if keep_strings and not token.startswith(("//", "/*")):
            return token
        return "\n" * token.count("\n") or " "
    return _TOKEN.sub(blank, text)
