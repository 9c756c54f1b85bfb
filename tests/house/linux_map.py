# SPDX-License-Identifier: Apache-2.0
"""Every symbol of tapir that docs/linux-map.md names is defined in the file that it names."""
import pathlib
import re
import sys

NAMED = re.compile(r"`([A-Za-z_]\w*(?:::[A-Za-z_]\w*)*)` \(`(src/[\w/.]+)`\)")
ROWS_LEAST = 40  # a page that lost its rows must not pass


def missing(root: pathlib.Path, page: str) -> list[str]:
    """One line per name that is not there."""
    problems = []
    names = NAMED.findall(page)
    if len(names) < ROWS_LEAST:
        problems.append(f"only {len(names)} names are to be found on the page, at least {ROWS_LEAST} were")
    for symbol, path in names:
        file = root / path
        if not file.is_file():
            problems.append(f"{path} is named for {symbol} and does not exist")
        elif not re.search(rf"^[^\s/#].*\b{re.escape(symbol)}\(", file.read_text(), re.MULTILINE):
            problems.append(f"{symbol} is not defined in {path}")
    return problems


def main(root: str) -> int:
    tree = pathlib.Path(root)
    page = (tree / "docs/linux-map.md").read_text()
    problems = missing(tree, page)
    # The check itself: a name that is nowhere must be found out.
    if not missing(tree, page + "\n| `x` | `Sockets::no_such_call` (`src/socket/sockets.cc`) | |"):
        problems.append("an invented name was not noticed")
    for problem in problems:
        print(f"docs/linux-map.md: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
