"""Names of the objects of a run, and the step that an object starts.

A run is one tenant's part of one file: the same file put again under the same name is the same run, so an event that
is delivered again finds everything done.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

INPUT, OUTPUT, SKIPPED, STATE = "input/", "output/", "skipped_events/", "state/"
INTERMEDIATE = "scratch/intermediate/"

_STEM_CHARACTERS = 40  # of the file's own name: enough to recognise it in a list of runs
_TENANT_CHARACTERS = 40
_DIGEST_CHARACTERS = 16  # 64 bits: two of a billion runs share a name with a chance of 3 %
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_DIGESTED = re.compile(rf"-[0-9a-f]{{{_DIGEST_CHARACTERS}}}$")


class Step(NamedTuple):
    """A step, and how the name of an object that starts it begins and ends."""

    name: str
    prefix: str
    suffix: str = ""


class Arrival(NamedTuple):
    """An object that starts a step: the prefix before all names of its files, its name below it, and the step."""

    root: str
    name: str
    step: str


class Layout:
    """The steps of one kind of file."""

    def __init__(self, *steps: Step) -> None:
        """Take the steps; the first one that fits an object's name is started."""
        self.steps = {step.name: step for step in steps}
        tops = sorted({step.prefix.partition("/")[0] for step in steps})
        self._top = re.compile(rf"(^|/)(?=(?:{'|'.join(map(re.escape, tops))})/)")

    def arrival(self, key: str) -> Arrival | None:
        """Return which step an object starts, or None.

        A folder in the prefix or below may itself be called `input`: the first split that gives a step is taken, so
        that a key has one reading only.
        """
        if key.endswith("/"):  # a folder as consoles make them
            return None
        for found in self._top.finditer(key):
            name = key[found.end(1) :]
            for step, begin, end in self.steps.values():
                if name.startswith(begin) and name.endswith(end) and len(name) > len(begin) + len(end) - bool(end):
                    return Arrival(key[: found.end(1)].rstrip("/"), name, step)
        return None

    def unit(self, name: str, step: str) -> str:
        """Return the chunk or the run of an object that starts a step."""
        return name.removeprefix(self.steps[step].prefix).partition("/")[0]


def file_run(name: str, digest: str) -> str:
    """Return the run of those records of a file that name no tenant.

    Args:
        name: The input object's name.
        digest: SHA-256 of its bytes, in hexadecimal digits.
    """
    stem = _UNSAFE.sub("-", name.rpartition("/")[2].partition(".")[0])[:_STEM_CHARACTERS].strip("-") or "file"
    return f"{stem}-{_short(f'{digest} {name}')}"


def tenant_run(run: str, tenant: str) -> str:
    """Return the run of a file's records of one named tenant."""
    return f"{run}--{tenant_slug(tenant)}"


def tenant_slug(tenant: str) -> str:
    """Return a tenant as part of a name: itself where it is short and plain, otherwise with a digest.

    A plain one that ends as such a digest does gets its own, so that nobody can take the name of another.
    """
    plain = _UNSAFE.sub("-", tenant)[:_TENANT_CHARACTERS]
    return plain if plain == tenant and not _DIGESTED.search(plain) else f"{plain}-{_short(tenant)}"


def manifest_name(run: str) -> str:
    """Return the name of the list of a run's results; where it is, the run is complete."""
    return f"{OUTPUT}{run}/manifest.json"


def error_name(run: str) -> str:
    """Return the name of the reason why nothing of a file was taken."""
    return f"{OUTPUT}{run}/error.json"


def skipped_name(run: str) -> str:
    """Return the name of a file's elements that could not be read."""
    return f"{SKIPPED}{run}/input.json"


def state_name(tenant: str, version: int, chunk: str) -> str:
    """Return the name of a tenant's state after a chunk."""
    return f"{STATE}{tenant_slug(tenant)}/{version:012d}-{chunk}"


def plan_name(run: str) -> str:
    """Return the name of a run's plan."""
    return f"{INTERMEDIATE}{run}/plan.json"


def file_plan_name(run: str) -> str:
    """Return the name of the list of a file's runs."""
    return f"{INTERMEDIATE}{run}/file.json"


def chunk_id(run: str, index: int) -> str:
    """Return the id of a chunk of a run, counted from 0."""
    return f"{run}.{index:05d}"


def split_chunk_id(chunk: str) -> tuple[str, int]:
    """Return a chunk's run and its index.

    Raises:
        ValueError: It is no chunk's id.
    """
    run, _, index = chunk.rpartition(".")
    if not run:
        raise ValueError(chunk)
    return run, int(index)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
