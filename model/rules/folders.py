"""Read the rules in folders: each file once, none that could hold the reading up, and nothing that raises."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.errors import LocationError
from app.text import one_line
from model.rules.file import LARGEST_FILE_BYTES, decode, read_text
from model.rules.rule import Fault, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST_FILES = 500_000
MOST_RULES = 250_000  # of which a catalogue has about 40 MB; the largest public collections have some 50,000
LICENCES = ("LICENSE", "LICENCE", "COPYING")
"""Names that a licence's file begins with."""
NO_RULES = (".md", ".rst", ".html", ".py", ".js", ".ps1", ".sh")
"""Endings of documents and programs, which may quote rules."""
ARCHIVES = (".gz", ".tgz", ".tar", ".zip", ".bz2", ".xz", ".zst", ".7z", ".spl")
_LONGEST_LINE = 600  # characters of a line about a file
_LICENCE_BYTES = 4096  # of a licence's file that are read for its first line


class Unreadable(msgspec.Struct, frozen=True):
    """What could not be read, and where it is."""

    path: str
    line: int
    kind: str
    reason: str

    def __str__(self) -> str:
        """Return it as one line."""
        place = f"{self.path}:{self.line}" if self.line else self.path
        return one_line(f"{place}: {self.reason}", _LONGEST_LINE)


class Rules(msgspec.Struct):
    """The rules of some folders.

    Attributes:
        rules: The rules that were read.
        unreadable: What could not be read.
        files: The number of files with rules.
        others: The number of files without.
        licences: Licences by kind of rule and name, with the number of rules of each.
    """

    rules: list[Rule] = []
    unreadable: list[Unreadable] = []
    files: int = 0
    others: int = 0
    licences: dict[str, Counter[str]] = {}


def read_folders(folders: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> Rules:
    """Return the rules of all files in some folders, and what could not be read.

    Args:
        folders: Folders, or single files.
        progress: Called with the number of files and of rules so far, once a file.

    Raises:
        LocationError: A folder is not there.
    """
    found = Rules()
    for path, licence in _files(folders, found):
        before = len(found.rules) + len(found.unreadable)
        for each in _read_file(path):
            if isinstance(each, Fault):
                found.unreadable.append(Unreadable(str(path), each.line, each.kind, each.reason))
                continue
            found.rules.append(each)
            of_kind = found.licences.setdefault(each.kind, Counter())
            of_kind[each.licence or licence or "none named"] += 1
        has_rules = len(found.rules) + len(found.unreadable) > before
        found.files += has_rules
        found.others += not has_rules
        if progress is not None:
            progress(found.files + found.others, len(found.rules))
        if len(found.rules) >= MOST_RULES or found.files + found.others >= MOST_FILES:
            reason = f"reading ended after {len(found.rules):,} rules in {found.files + found.others:,} files"
            found.unreadable.append(Unreadable(str(path), 0, "", reason))
            break
    return found


def _read_file(path: Path) -> Iterator[Rule | Fault]:
    """Yield the rules of a file."""
    if path.suffix.lower() in NO_RULES:
        return
    if path.suffix.lower() in ARCHIVES:
        yield Fault("an archive: unpack it")
        return
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return  # a pipe or a device, which might never end
        if status.st_size > LARGEST_FILE_BYTES:
            yield Fault(f"{status.st_size:,} bytes, of which {LARGEST_FILE_BYTES:,} are read: split the file")
            return
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE_BYTES)
    except OSError as error:
        yield Fault(f"cannot be read: {error.strerror}")
        return
    text = decode(data)
    if text is not None:
        yield from read_text(text)


def _files(folders: Sequence[Path], found: Rules) -> Iterator[tuple[Path, str]]:
    """Yield each file once, in a fixed order, with the first line of the nearest licence within the folder."""
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        found.unreadable.append(Unreadable(str(error.filename), 0, "", f"cannot be read: {error.strerror}"))

    for folder in folders:
        if not folder.exists():
            raise LocationError(f"{folder}: there is no such folder of rules")
        if folder.is_file():
            yield folder, ""
            continue
        licences: dict[str, str] = {}
        for here, names, files in os.walk(folder, followlinks=True, onerror=unreadable):
            real = os.path.realpath(here)
            if real in seen:
                names.clear()  # a link to a folder that was read: of a loop, too
                continue
            seen.add(real)
            names[:] = sorted(name for name in names if not name.startswith("."))
            for name in [name for name in names if not _is_within(Path(here) / name, folder)]:
                names.remove(name)
                reason = "a link out of the folder, which is not followed: give it with --rules"
                found.unreadable.append(Unreadable(str(Path(here) / name), 0, "", reason))
            licence = licences[here] = _licence(here, files) or licences.get(str(Path(here).parent), "")
            for name in sorted(files):
                target = os.path.realpath(path := Path(here) / name)
                if not name.startswith(".") and not name.upper().startswith(LICENCES) and target not in seen:
                    seen.add(target)
                    yield path, licence


def _is_within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _licence(folder: str, files: list[str]) -> str:
    """Return the first line of a folder's licence; empty if it has none."""
    for name in sorted(files):
        path = Path(folder) / name
        if name.upper().startswith(LICENCES) and path.is_file():
            try:
                with path.open("rb") as file:
                    text = file.read(_LICENCE_BYTES).decode("utf-8", "replace")
            except OSError:
                continue
            return next((one_line(line.strip("# \t"), 80) for line in text.splitlines() if line.strip("# \t")), "")
    return ""
