"""Histories from seeds: all invariants hold, the same seed is the same run, and a broken spine is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.stream.testing.checker import check, check_all, shrink
from app.stream.testing.history import make_history
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable

SEEDS = range(150)


def test_no_history_breaks_an_invariant() -> None:
    assert check_all(SEEDS).failures == {}


def test_a_seed_is_one_run() -> None:
    first, again = check(make_history(11), tells=True), check(make_history(11), tells=True)
    assert first.trace == again.trace
    assert first.digest == again.digest != check(make_history(12), tells=True).digest


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_one_run_whatever_the_order_of_sets(hash_seed: str) -> None:
    code = (
        "from app.stream.testing.checker import check\n"
        "from app.stream.testing.history import make_history\n"
        "print(*[check(make_history(seed), tells=True).digest for seed in range(20)])"
    )
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[4])}
    found = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True)
    assert found.stdout.split() == [check(make_history(seed), tells=True).digest for seed in range(20)]


def test_a_spine_that_acknowledges_too_early_is_found_and_its_history_made_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def accepted_at_once(self: Tracker, rows: Iterable[int]) -> None:
        del self, rows

    monkeypatch.setattr(Tracker, "expect", accepted_at_once)
    monkeypatch.setattr(Tracker, "accepted", accepted_at_once)
    found = check_all(SEEDS).failures
    assert found
    history = make_history(min(found))
    small = shrink(history)
    assert check(small).violations
    assert len(small.records) <= len(history.records)
