"""The controls' judge finds what it is to find, and Millrace holds under the faults in which other libraries do not."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmarks.controls import ours, plan
from benchmarks.controls.__main__ import APPLIES, run, table
from benchmarks.controls.plan import Trace, Verdict, judge

SEEDS = range(1, 4)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_a_record_that_is_neither_out_nor_reported_is_lost() -> None:
    assert judge(Trace([("a", 1), ("a", 2), ("b", 3)], [(1, False)], reported=[2])) == Verdict(records=3, lost=1)


def test_a_record_is_doubled_only_if_the_library_was_told_of_the_first() -> None:
    assert judge(Trace([("a", 1)], [(1, False), (1, True), (1, False)])) == Verdict(1, doubled=1, repeated=1)


def test_order_counts_per_key_and_of_first_deliveries() -> None:
    sent = [("a", 1), ("b", 2), ("a", 3), ("a", 4)]
    assert judge(Trace(sent, [(2, False), (3, False), (1, False), (4, False), (3, True)])).unordered == 1


def test_what_a_stopped_library_holds_back_is_not_lost() -> None:
    assert judge(Trace([("a", 1)], stuck=True)) == Verdict(1, stuck=1)


@pytest.mark.slow  # seconds a scenario
@pytest.mark.parametrize("scenario", APPLIES)
def test_millrace_loses_doubles_and_reorders_nothing(scenario: str) -> None:
    for seed in SEEDS:
        verdict = judge(ours.play(scenario, seed))
        broken = asdict(verdict) | {"records": 0, "repeated": 0}  # an answer that is lost repeats for everybody
        assert not any(broken.values()), (seed, verdict)


def test_the_runner_prints_a_row_a_scenario_without_the_libraries() -> None:
    rows = run(None, 1, [plan.THROTTLED, plan.MERGE])
    assert [row["scenario"] for row in rows] == [plan.THROTTLED, plan.MERGE]
    assert "| throttled | millrace | 60 | 0 | 0 | 0 | 0 | 0 |" in table(rows)


def test_each_scenario_is_explained() -> None:
    assert set(APPLIES) == set(plan.SCENARIOS)
