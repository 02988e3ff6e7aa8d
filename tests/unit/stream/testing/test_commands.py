"""`millrace test`: what is run, what a failing history looks like, and that the same seed is one run anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from app.cli.tree import command_tree
from app.stream.testing.checker import Report, check
from app.stream.testing.history import make_history
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[4]
DIGESTS = """
from app.stream.testing.checker import check
from app.stream.testing.history import make_history
print(*[check(make_history(seed), traced=True).digest for seed in range(40)])
"""


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command_tree(), ["test", *arguments])
    return done.exit_code, done.output


def test_run_names_each_fault_that_was_met_and_no_failure() -> None:
    code, shown = run("run", "--histories", "60", "--seed", "3")
    assert code == 0
    assert "60 histories" in shown
    assert "some entries throttled" in shown
    assert "0 failed" in shown


def test_run_may_be_given_a_time_instead_of_a_number() -> None:
    code, shown = run("run", "--hours", "0.0001")
    assert code == 0
    assert "histories" in shown


def test_a_fault_that_is_met_too_rarely_is_named() -> None:
    assert Report(histories=5000).too_rare()[0] == ("put", "some entries throttled")
    assert not Report(histories=500).too_rare()


def test_replay_shows_each_step_and_the_digest() -> None:
    code, shown = run("replay", "5")
    assert code == 0
    assert "settings  seed=5" in shown
    assert "put [0]" in shown
    assert f"digest    {check(make_history(5), traced=True).digest}" in shown


def test_replay_shows_a_small_history_that_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: Tracker, rows: Iterable[int]) -> None:
        del self, rows

    monkeypatch.setattr(Tracker, "expect", nothing)
    monkeypatch.setattr(Tracker, "accepted", nothing)
    unsafe = "the checkpoint never passes an unsafe record"
    histories = [make_history(seed) for seed in range(100)]
    alone = [each for each in histories if not any(record.aggregate for record in each.records)]
    seed = next(each.seed for each in alone if unsafe in {found.invariant for found in check(each).violations})
    code, shown = run("replay", str(seed))
    assert code == 1
    assert f"BROKEN    {unsafe}" in shown
    assert shown.count("\nrecord ") <= 3
    assert run("replay", str(seed), "--whole")[1].count("\nrecord ") == len(make_history(seed).records)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_one_run_whatever_the_order_of_sets(hash_seed: str) -> None:
    assert digests(sys.executable, hash_seed) == digests(sys.executable, "0")


def test_a_seed_is_one_run_in_another_python() -> None:
    """`OTHER_PYTHON` is a Python 3.13 that has the packages of requirements/runtime.txt."""
    other = os.environ.get("OTHER_PYTHON")
    if not other:
        pytest.skip("OTHER_PYTHON names no Python of another version with the packages of requirements/runtime.txt")
    assert digests(other, "0") == digests(sys.executable, "0")


def digests(python: str, hash_seed: str) -> list[str]:
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [python, "-c", DIGESTS], env=environ, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
