from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domains.alerts.techniques.catalogue import shipped_catalogue
from app.domains.alerts.text import fold
from benchmarks.alerts_contract import (
    CLUSTER,
    DIFFERENT,
    FOLDED,
    KNOWN,
    LARGE,
    MIX,
    MODEL,
    MOSTLY_KNOWN,
    NEW,
    PAIRWISE,
    SCANNER,
    SHAPES,
    SKLEARN,
    SMALL,
    STAGES,
    STRANGE,
    TECHNIQUE,
    WORKLOADS,
    Sizes,
)
from benchmarks.alerts_made import made
from benchmarks.alerts_streaming import slope
from benchmarks.alerts_techniques import ROWS
from benchmarks.alerts_texts import texts

pytest.importorskip("sklearn", reason="the peers: install requirements/training.txt")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MOST = 3000


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run with few alerts finds: one pass of each candidate."""
    file = tmp_path_factory.mktemp("bench") / "found.json"
    command = [sys.executable, "-m", "benchmarks", "alerts", "--quick", "--most", str(MOST), "--json", str(file)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    shown: dict[str, Any] = json.loads(file.read_bytes())
    return shown


def test_every_candidate_has_a_row_for_every_kind_of_text_and_size_of_call(found: dict[str, Any]) -> None:
    rows = {(row["workload"], row["candidate"], row["batch"]): row for row in found["alerts"]["texts"]}
    assert rows.keys() == set(ROWS)
    assert {workload for workload, *_ in rows} == set(WORKLOADS)
    base = rows[NEW, SKLEARN, LARGE]
    for row in rows.values():
        assert row["vs_sklearn"] == pytest.approx(base["cpu_us"] / row["cpu_us"])


def test_what_tells_techniques_says_what_it_holds(found: dict[str, Any]) -> None:
    holders = {row["candidate"]: row for row in found["alerts"]["holders"]}
    assert holders.keys() == {TECHNIQUE, MODEL, SKLEARN}
    for row in holders.values():
        assert 0 < row["ready_mb"] <= row["peak_mb"]
        assert row["labels"] > 0
        assert row["features"] > 0
    assert holders[TECHNIQUE]["modules"] < holders[SKLEARN]["modules"]  # nothing of scikit-learn at run time


def test_the_pipeline_has_a_row_for_each_size_of_event_and_they_put_the_same(found: dict[str, Any]) -> None:
    rows = {row["per_event"]: row for row in found["alerts"]["pipeline"]}
    assert rows.keys() == {SMALL, LARGE}
    assert rows[SMALL]["outputs"] == rows[LARGE]["outputs"]
    assert rows[SMALL]["outputs"]["enriched"] == rows[SMALL]["alerts"] == MOST
    assert rows[SMALL]["state_bytes"] == rows[LARGE]["state_bytes"] > 0


def test_each_stage_of_the_pipeline_has_a_share_and_all_are_the_whole(found: dict[str, Any]) -> None:
    stages = {row["stage"]: row for row in found["alerts"]["stages"]}
    assert tuple(stages) == STAGES
    assert sum(row["share"] for row in stages.values()) == pytest.approx(1)
    assert all(row["cpu_us"] > 0 for name, row in stages.items() if name != STAGES[-1])


def test_growth_is_looked_at_on_the_way_of_every_shape(found: dict[str, Any]) -> None:
    growth = {row["shape"]: row for row in found["alerts"]["growth"]}
    assert tuple(growth) == SHAPES
    for row in growth.values():
        assert [point["alerts"] for point in row["points"]] == [MOST // 9, MOST // 3, MOST]
        assert all(one["cpu_s"] < other["cpu_s"] for one, other in itertools.pairwise(row["points"]))
        assert row["cpu_slope"] == pytest.approx(slope([(each["alerts"], each["cpu_s"]) for each in row["points"]]))


def test_the_pairwise_way_clusters_the_same_alerts(found: dict[str, Any]) -> None:
    pairs = {row["candidate"]: row for row in found["alerts"]["pairs"]}
    assert pairs.keys() == {CLUSTER, PAIRWISE}
    assert len({row["alerts"] for row in pairs.values()}) == 1
    assert pairs[PAIRWISE]["agreement"] == 1
    assert -1 <= pairs[CLUSTER]["agreement"] <= 1
    assert min(row["clusters"] for row in pairs.values()) > 1
    assert pairs[PAIRWISE]["times_pairwise"] == 1


def test_answers_and_outputs_were_compared_before_anything_was_timed(found: dict[str, Any]) -> None:
    assert found["alerts"]["agreed"] > MOST


def test_each_aim_of_the_alerts_stands_beside_what_was_found(found: dict[str, Any]) -> None:
    assert len(found["aims"]) == 3 + 2 * len(SHAPES)
    assert all(aim["found"] and aim["met"] in {True, False} for aim in found["aims"])


@pytest.mark.parametrize("workload", [NEW, STRANGE])
def test_new_texts_are_in_no_catalogue_and_none_comes_twice_even_in_another_pass(workload: str) -> None:
    taken = [fold(text) for seed in range(5) for text in texts(workload, 1000, seed)]
    assert len(set(taken)) == len(taken)
    assert not any(map(shipped_catalogue().by_title, taken))


def test_a_tenth_of_the_texts_is_new_where_nine_tenths_are_known() -> None:
    known = [shipped_catalogue().by_title(fold(text)) is not None for text in texts(MOSTLY_KNOWN, 5000, 1)]
    assert sum(known) / len(known) == pytest.approx(0.9, abs=0.02)
    assert all(shipped_catalogue().by_title(fold(text)) for text in texts(KNOWN, 1000, 1))


def test_texts_that_are_known_once_folded_are_all_different_before() -> None:
    taken = texts(FOLDED, 1000, 1)
    assert len(set(taken)) == len(taken)
    assert len({fold(text) for text in taken}) < len(taken)


@pytest.mark.parametrize("shape", SHAPES)
def test_alerts_come_in_order_of_time_and_are_the_same_each_time(shape: str) -> None:
    alerts = list(itertools.islice(made(shape), 5000))
    assert alerts == list(itertools.islice(made(shape), 5000))
    assert all(one.time <= other.time for one, other in itertools.pairwise(alerts))
    assert len({alert.id for alert in alerts}) == len(alerts)


def test_a_scanner_is_one_source_and_alerts_that_are_all_different_share_none() -> None:
    scanner, different = (list(itertools.islice(made(shape), 5000)) for shape in (SCANNER, DIFFERENT))
    assert len({alert.src for alert in scanner}) == 1
    assert len({alert.dst for alert in scanner}) == len(scanner)
    assert len({entity for alert in different for entity in (alert.src, alert.dst)}) == 2 * len(different)
    assert len({alert.src for alert in itertools.islice(made(MIX), 5000)}) > 1


def test_the_slope_is_the_exponent() -> None:
    assert slope([(10, 3), (100, 30), (1000, 300)]) == pytest.approx(1)
    assert slope([(10, 1), (100, 100), (1000, 10_000)]) == pytest.approx(2)
    assert slope([(10, 5), (1000, 5)]) == pytest.approx(0)


def test_fewer_alerts_leave_points_enough_for_a_slope() -> None:
    assert Sizes().up_to(100_000).growth == (10_000, 30_000, 100_000)
    assert Sizes().up_to(9000).growth == (1000, 3000, 9000)
    assert Sizes().up_to(9000).pipeline == 9000
