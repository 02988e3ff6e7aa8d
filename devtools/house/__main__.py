"""Count the files under `app/`, in this clone or another, and draw docs/house.svg."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from devtools.house.imports import DOMAINS, imports, modules
from devtools.house.picture import draw

HERE = Path(__file__).resolve().parents[2]
PICTURE = HERE / "docs" / "house.svg"
SMALL_LINES = 80  # a file below it seldom earns its place
FORMER_DOMAINS = "pipelines"  # the folder of the domains before there was `domains/`


def count(root: Path) -> dict[str, int]:
    """Return the size of the code under `app/` of a clone."""
    files = modules(root)
    lines = [len(path.read_text().splitlines()) for path in files.values()]
    importers: dict[str, set[str]] = defaultdict(set)
    for each in imports(files):
        importers[each.imported].add(each.importer)
    return {
        "files": len(files),
        "lines": sum(lines),
        f"files under {SMALL_LINES} lines": sum(each < SMALL_LINES for each in lines),
        "files with one importer": sum(len(each) == 1 for each in importers.values()),
    }


def trace(root: Path) -> dict[str, list[str]]:
    """Return the files in which code runs on each way, in a clone; see `ways.py`."""
    done = subprocess.run(  # noqa: S603 - this Python, on a file of ours
        [sys.executable, "-P", str(Path(__file__).with_name("ways.py"))],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"house: the ways cannot be traced in {root}:\n{done.stderr[-2000:]}")
    ways: dict[str, list[str]] = json.loads(done.stdout)
    return ways


def main() -> None:
    """Print the count; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m devtools.house", description=__doc__)
    parser.add_argument("--root", type=Path, default=HERE, help="the clone to count (default: this one)")
    parser.add_argument("--ways", action="store_true", help="count the files in which code runs on three ways, too")
    parser.add_argument("--files", action="store_true", help="with --ways: name them")
    parser.add_argument("--draw", action="store_true", help="write docs/house.svg, the floors and their imports")
    asked = parser.parse_args()
    root = asked.root.resolve()
    for what, number in count(root).items():
        print(f"{number:7,} {what}")
    for way, files in (trace(root) if asked.ways else {}).items():
        own = sum(f"/{DOMAINS}/" in each or f"/{FORMER_DOMAINS}/" in each for each in files)
        print(f"{len(files):7,} files in which code runs on the way of one {way}, {own} of them its domain's")
        if asked.files:
            print(*(f"          {each}" for each in files), sep="\n")
    if asked.draw:
        found = modules(HERE)
        PICTURE.write_text(draw(found, imports(found)))
        print(f"drawn: {PICTURE.relative_to(HERE)}")


if __name__ == "__main__":
    main()
