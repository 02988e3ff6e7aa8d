"""Every case that once broke a promise is kept, and a target notices when its promise is broken again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import LocationError
from devtools.fuzz.target import TARGETS, BrokenPromiseError, load, memory, ours_alone, seeds_of
from devtools.steps.machine import Machine
from devtools.steps.sources import Use

CASES = [(name, seed) for name in TARGETS for seed in seeds_of(name)]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("name", "seed"), CASES, ids=lambda each: each.name if isinstance(each, Path) else each)
def test_what_once_broke_a_promise_holds(name: str, seed: Path) -> None:
    load(name)(seed.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_a_promise_a_kept_case_and_takes_nothing(name: str) -> None:
    check = load(name)
    assert check.__doc__
    assert seeds_of(name)
    check(b"")


@pytest.mark.parametrize("module", ["__main__", "target"])
def test_nothing_of_the_app_is_imported_before_atheris_watches_imports(module: str) -> None:
    lines = (ROOT / f"devtools/fuzz/{module}.py").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("import app", "from app"))]


SLOW = re.compile(r"([a-]+)+!")
FAULTS: list[tuple[str, str, Any]] = [
    ("fold", "devtools.fuzz.text.fold", lambda text: f"{text}!"),
    ("patterns", "devtools.fuzz.patterns._MACHINES", [(Use("slow", SLOW, frozenset({"search"})), Machine(SLOW))]),
    ("renderers", "devtools.fuzz.text.one_line", lambda text: text),
    ("renderers", "devtools.fuzz.text.csv_cell", lambda text: text),
    ("renderers", "devtools.fuzz.text.json_text", lambda text: json.dumps(text, ensure_ascii=False)),
    ("http", "devtools.fuzz.http.Connection", H11Protocol),
    ("tenants", "devtools.fuzz.alerts.key_of", lambda _, part="": f"tenant{part}"),
    ("payloads", "devtools.fuzz.stream.decode_column", lambda payloads, _: list(payloads)),
]


@pytest.mark.parametrize(("name", "function", "faulty"), FAULTS, ids=lambda each: each if isinstance(each, str) else "")
def test_a_fault_that_is_put_back_is_found(name: str, function: str, faulty: Any, monkeypatch: Any) -> None:
    check = load(name)
    monkeypatch.setattr(function, faulty)
    with pytest.raises(BrokenPromiseError):
        any(map(check, [seed.read_bytes() for seed in seeds_of(name)]))


def test_memory_beyond_the_budget_is_found() -> None:
    with pytest.raises(BrokenPromiseError, match="bytes of memory for 10"), memory(1000, 10, 10):
        bytes(100_000)


def test_errors_of_others_and_errors_without_a_line_are_found() -> None:
    with pytest.raises(KeyError), ours_alone():
        raise KeyError("a fault of the program")
    with pytest.raises(BrokenPromiseError), ours_alone():
        raise LocationError("")
    with ours_alone(ValueError):
        raise LocationError("file: is not there; name another")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing"], "no target 'nothing'; there are fold, "),
        (["--replay", "no-such-file", "fold"], "no-such-file: cannot be read: No such file or directory"),
        (["--replay", __file__], "--replay takes one target"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(arguments: list[str], line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devtools.fuzz", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert line in done.stderr
