"""The clusterer of the stream behind the seam: how a file is cut does not show, also where clusters are closed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from app.domains.alerts.clusters.affinity import Affinity
from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.domains.alerts.files import clustering
from app.domains.alerts.files.driver import run_file
from app.domains.alerts.files.layout import JOB, run_clusters
from app.domains.alerts.files.protocol import RunClusters
from app.errors import UnreadableStateError
from app.jobs.head import load_head, state_key
from app.jobs.plan import need
from app.storage.objects import MemoryObjects
from tests.unit.domains.alerts.files.files_for_tests import SmallModels, alert, put_input, small_context

if TYPE_CHECKING:
    from collections.abc import Mapping

AFFINITY = Affinity([], np.zeros((0, 0)), [])


class Models(SmallModels):
    """The clusterer of the stream, and stand-ins for the others."""

    def clusters(self, dump: bytes | None, config: Mapping[str, Any]) -> Clusters:
        cut = ClusterConfig.from_request(config)
        return Clusters(AFFINITY, cut) if dump is None else Clusters.load(dump, AFFINITY, cut)


def some_alerts(seed: int, count: int = 120) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    time, alerts = 1_000_000.0, []
    for number in range(count):
        time += random_.choice([0.2, 3.0, 9.0, 30.0, 400.0])
        host = f"h{random_.randrange(4)}"
        alerts.append(
            alert(number, host, host, random_.choice(["port scan", "new service"]))
            | {"time": time - random_.choice([0, 0, 15])}
        )
    return alerts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("config", [{}, {"expiry_s": 60.0}, {"most_clusters": 3}])
def test_how_a_file_is_cut_does_not_show(seed: int, config: dict[str, Any]) -> None:
    alerts = some_alerts(seed)
    found = []
    for chunk in (1, 7, 50, 1000):
        bucket = MemoryObjects()
        name = put_input(bucket, alerts, cluster_config=config)
        [run] = run_file(small_context(bucket, local=Models()), name, chunk).runs
        clusters = need(bucket, run_clusters(run), RunClusters).clusters
        assert sorted(each for row in clusters for each in row.ids) == list(range(len(alerts)))
        for row in clusters:  # what is told of a cluster is what its alerts say, also when it was closed meanwhile
            times = [alerts[each]["time"] for each in row.ids]
            assert (row.summary.alerts, row.summary.start_time, row.summary.end_time) == (
                len(row.ids),
                min(times),
                max(times),
            )
        found.append([(row.summary, row.ids) for row in clusters])
    assert len({len(each) for each in found}) == 1
    assert found[0] == found[1] == found[2] == found[3]


def test_a_state_of_another_version_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = MemoryObjects()
    context = small_context(bucket, local=Models())
    run_file(context, put_input(bucket, some_alerts(1), "input/1.json"))
    monkeypatch.setattr(clustering, "VERSION", 2)
    with pytest.raises(UnreadableStateError, match="no state that this version wrote"):
        run_file(context, put_input(bucket, some_alerts(2), "input/2.json"))


def test_the_clusters_that_are_kept_for_flows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "RECENT_BYTES", 3_000)
    bucket = MemoryObjects()
    context = small_context(bucket, local=Models())
    for number in range(4):
        run_file(
            context, put_input(bucket, some_alerts(number), f"input/{number}.json", cluster_config={"expiry_s": 30})
        )
    head = load_head(context.store, state_key(JOB, bucket.root, "default"))
    assert head.state is not None
    assert len(bucket.objects[head.state]) < 20_000
    runs = [each.split("/")[3] for each in bucket.names("scratch/output/cluster/")]
    assert all(json.loads(bucket.objects[run_clusters(run)])["clusters"] for run in runs)
