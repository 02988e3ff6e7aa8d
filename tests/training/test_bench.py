from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.api_requests import BAD, MANY, ONE
from benchmarks.contract import API_CANDIDATES, API_MILLRACE, API_MODEL, API_POWERTOOLS, CANDIDATES, FLOOR, MILLRACE
from benchmarks.floor.build import build

pytest.importorskip("aws_lambda_powertools", reason="the peers: install requirements/benchmarks.txt")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MODELS, PARTS, RECORDS = {"linear", "boosted trees"}, {"cpu", "acknowledged"}, {"100", "1,000", "6 MB"}
NAMES = {candidate.name for candidate in CANDIDATES}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick run finds: one pass of each candidate."""
    file = tmp_path_factory.mktemp("bench") / "found.json"
    parts = ["cpu", "acknowledged", "start", "put-records", "api"]  # the alerts have a test of their own
    command = [sys.executable, "-m", "benchmarks", *parts, "--quick", "--json", str(file)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    shown: dict[str, Any] = json.loads(file.read_bytes())
    return shown


def test_every_candidate_has_a_row_for_every_model_event_and_network(found: dict[str, Any]) -> None:
    rows = {(row["part"], row["model"], row["event"], row["candidate"]) for row in found["figures"]}
    expected = {(part, kind, event, name) for part in PARTS for kind in MODELS for event in RECORDS for name in NAMES}
    assert expected == {row for row in rows if row[3] != FLOOR}


def test_predictions_were_compared_before_anything_was_timed(found: dict[str, Any]) -> None:
    rows = [row for row in found["figures"] if row["part"] == "cpu" and row["candidate"] in NAMES]
    assert found["agreed"] == sum(row["measured_records"] for row in rows)


def test_what_was_scaled_says_so(found: dict[str, Any]) -> None:
    scaled = {row["candidate"] for row in found["figures"] if row["measured_records"] < row["records"]}
    assert scaled == {"seed", "seed_pyfunc"}


def test_the_floor_stands_in_the_table_or_says_what_is_missing(found: dict[str, Any], tmp_path: Path) -> None:
    rows = [row for row in found["figures"] if row["candidate"] == FLOOR]
    program, missing = build(tmp_path)
    assert found["floor"] == missing
    assert {row["event"] for row in rows} == (RECORDS if program else set())
    assert all(row["times_floor"] == 1 for row in rows)


def test_ratios_are_those_of_the_times(found: dict[str, Any]) -> None:
    times = {(row["part"], row["model"], row["event"], row["candidate"]): row for row in found["figures"]}
    for (part, kind, event, name), row in times.items():
        clock = "cpu_ms" if part == "cpu" else "wall_ms"
        powertools = times[part, kind, event, "powertools"]
        assert row["vs_powertools"] == pytest.approx(powertools[clock] / row[clock]), name


def test_starts_tell_memory_and_time_of_each_process(found: dict[str, Any]) -> None:
    starts = {(row["model"], row["candidate"]): row for row in found["starts"]}
    assert {kind for kind, _ in starts} == MODELS
    for row in starts.values():
        assert 0 < row["ready_mb"] <= row["peak_mb"]
        assert row["init_ms"] > 0
    for kind in MODELS:  # no scikit-learn, MLflow or pandas: that is no matter of the clock
        assert starts[kind, MILLRACE]["ready_mb"] < starts[kind, "by_hand"]["ready_mb"]


def test_each_aim_stands_beside_what_was_found(found: dict[str, Any]) -> None:
    assert len(found["aims"]) == 4 + 3 * len(MODELS)
    assert all(aim["found"] for aim in found["aims"])


def test_every_candidate_of_the_api_has_a_row_for_every_request_with_the_model_and_without(
    found: dict[str, Any],
) -> None:
    rows = {(row["workload"], row["stubbed"], row["candidate"]): row for row in found["api"]["figures"]}
    names = {candidate.name for candidate in API_CANDIDATES}
    assert rows.keys() == {(each, stub, name) for each in (ONE, MANY, BAD) for stub in (False, True) for name in names}
    for (workload, stubbed, _), row in rows.items():
        assert row["status"] in ({400, 422} if workload == BAD else {200})
        powertools = rows[workload, stubbed, API_POWERTOOLS]
        assert row["vs_powertools"] == pytest.approx(powertools["cpu_us"] / row["cpu_us"])


def test_all_answers_of_the_api_were_compared_with_the_model_and_without(found: dict[str, Any]) -> None:
    assert found["api"]["agreed"] == 2 * (1 + 100) * len(API_CANDIDATES)


def test_the_api_starts_without_pydantic_and_tells_what_it_holds(found: dict[str, Any]) -> None:
    starts = {row["candidate"]: row for row in found["api"]["starts"]}
    assert starts.keys() == {API_MODEL, *(candidate.name for candidate in API_CANDIDATES)}
    assert starts[API_MODEL]["modules"] < starts[API_MILLRACE]["modules"] < starts[API_POWERTOOLS]["modules"]
    assert all(row["ready_mb"] > 0 for row in starts.values())
    assert all((row["first_ms"] is None) == (name == API_MODEL) for name, row in starts.items())
