"""Histories from seeds: all invariants hold, the same seed is the same run, and a broken spine is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.stream.testing.checker import check, check_all, shrink
from app.stream.testing.history import History, Sent, make_history
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable


SEEDS = range(150)


def test_no_history_breaks_an_invariant() -> None:
    assert check_all(SEEDS).failures == {}


def test_a_seed_is_one_run() -> None:
    first, again = check(make_history(11), traced=True), check(make_history(11), traced=True)
    assert first.trace == again.trace
    assert first.digest == again.digest != check(make_history(12), traced=True).digest


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


def test_an_aggregate_with_records_at_fault_is_finished_in_time_by_a_slow_pipeline() -> None:
    records = [
        Sent(rid, 0.0, "input", "k", "raise" if rid % 3 == 1 else "ok", aggregate=1 if rid < 6 else None)
        for rid in range(60)
    ]
    assert check(History(1, records=records, batch_size=100, timeout_s=15.0, compute_s=0.25)).violations == []


@pytest.mark.slow
def test_thousands_of_histories_break_no_invariant_and_meet_every_fault() -> None:
    report = check_all(range(1_000_000, 1_000_000 + 12_000))  # two minutes of a processor
    assert report.failures == {}
    assert report.too_rare() == []
