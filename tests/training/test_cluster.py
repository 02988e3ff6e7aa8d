from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from app.domains.alerts.clusters.affinity import Affinity, AlertType, learned_bytes
from app.domains.alerts.clusters.clusters import ClusterConfig
from app.errors import LocationError, SettingsError
from model.cluster.data import NO_ATTACK, Columns, combine, read_runs, read_scenario, units_of
from model.cluster.evaluate import engine_clusters, evaluate, gap_clusters, print_report
from model.cluster.fit import count_together, fit
from model.cluster.measures import agreement, area, instance_rates, mean_rates, published_area
from model.cluster.train import id_of, train

DATA = Path(__file__).parents[3] / "shared" / "data" / "alerts"
MIDNIGHT = int(datetime.fromisoformat("2022-01-10T00:00:00+00:00").timestamp())
TYPES = [
    ("scan", "1", "web", "S"),
    ("error", "1", "web", "E"),
    ("update", "2", "mail", "U"),
    ("login", "1", "web", "L"),
]


@pytest.fixture(scope="module")
def scenario() -> Columns:
    """Two days: an update every minute, a scan of a minute in which errors come too, and logins."""
    rows = [(MIDNIGHT + 3_600 + 60 * n, 2, NO_ATTACK) for n in range(24 * 60 + 100)]
    rows += [(MIDNIGHT + 40_000 + n // 3, n % 3 % 2, 0) for n in range(180)]
    rows += [(MIDNIGHT + 50_000 + 2 * n, 3, 1) for n in range(10)]
    time, kind, attack = np.array(sorted(rows)).T
    return Columns(time, kind, attack, TYPES, ["dirb", "change_user"])


@pytest.fixture(scope="module")
def run(scenario: Columns) -> Columns:
    days: list[dict[str, Any]] = [
        {"noise": ["x-0"], "attacks": [["x-dirb", "12:00:00"], ["x-change_user", "12:00:20"]]},
        {"noise": ["x-1"], "attacks": []},
    ]
    return combine(scenario, days, datetime.fromisoformat("2025-02-10T00:00:00+01:00"))


@pytest.fixture(scope="module")
def affinity(scenario: Columns) -> Affinity:
    return Affinity.read(learned_bytes(*fit([scenario])))


def test_what_shares_seconds_is_alike(affinity: Affinity) -> None:
    scan, error, update = (AlertType(name) for name in ("scan", "error", "update"))
    assert affinity.between(scan, error) > 0.8
    assert affinity.between(scan, update) < 0.5


def test_seconds_are_counted_once_a_type() -> None:
    together = count_together(np.array([5, 5, 5, 6, 7, 7]), np.array([0, 0, 1, 0, 1, 1]), 2)
    assert together.tolist() == [[2, 1], [1, 2]]


def test_a_run_has_its_days_of_noise_and_its_attacks_at_their_time(run: Columns) -> None:
    start = int(datetime.fromisoformat("2025-02-10T00:00:00+01:00").timestamp())
    assert run.attacks == ["dirb", "change_user"]
    assert run.time[run.attack == 0][0] == start + 12 * 3_600
    assert run.time[run.attack == 1][0] == start + 12 * 3_600 + 20
    noise = run.time[run.attack == NO_ATTACK]
    assert (noise[0], len(noise)) == (start + 3_600, 24 * 60 + 100)
    assert (np.diff(run.time) >= 0).all()


def test_units_give_the_clusters_of_all_their_alerts(run: Columns, affinity: Affinity) -> None:
    units = units_of(run)
    assert len(units) < len(run)
    assert units.weight.sum() == len(run)
    key = {(time, kind): place for place, (time, kind) in enumerate(zip(units.time, units.type, strict=True))}
    for config in (ClusterConfig(), ClusterConfig(delta_s=3, theta_s=2, merge=1), ClusterConfig(delta_s=70, theta_s=0)):
        of_units, _ = engine_clusters(units, affinity, config)
        of_alerts, _ = engine_clusters(run, affinity, config)
        places = [key[each] for each in zip(run.time, run.type, strict=True)]
        assert (of_units[places] == of_alerts).all()


def test_rates_are_those_of_the_pairs(run: Columns) -> None:
    units = units_of(run)
    clusters = gap_clusters(units, 0.5) % 7
    key = {(time, kind): place for place, (time, kind) in enumerate(zip(units.time, units.type, strict=True))}
    of_alert = clusters[[key[each] for each in zip(run.time, run.type, strict=True)]]
    for number, (_, rates) in enumerate(instance_rates(units, clusters)):
        inside, others = run.attack == number, (run.attack != number) & (run.attack != NO_ATTACK)
        same = of_alert[inside][:, None] == of_alert[inside]
        count = inside.sum()
        assert rates.tpr == pytest.approx((same.sum() - count) / (count * (count - 1)))
        assert rates.tpr_self == pytest.approx(same.mean())
        assert rates.tnr == pytest.approx((of_alert[inside][:, None] != of_alert[others]).mean())
        assert rates.tnr_noise == pytest.approx((of_alert[inside][:, None] != of_alert[~inside]).mean())


def test_labels_weigh_alike_however_many_attacks_they_have(run: Columns) -> None:
    units = units_of(run)
    [(_, one), (_, other)] = instance_rates(units, gap_clusters(units, 0.5))
    rates, by_label = mean_rates([("a", one), ("a", one), ("b", other)])
    assert rates.tpr == pytest.approx((one.tpr + other.tpr) / 2)
    assert set(by_label) == {"a", "b"}


def test_the_parts_of_dnsteal_are_one_label(run: Columns) -> None:
    units = units_of(run)
    [(_, one), (_, other)] = instance_rates(units, gap_clusters(units, 0.5))
    rates, by_label = mean_rates(
        [("dnsteal_start", one), ("dnsteal_active", other), ("dnsteal_active", other), ("dirb", other)]
    )
    assert set(by_label) == {"dnsteal", "dirb"}
    assert by_label["dnsteal"].tpr == pytest.approx((one.tpr + other.tpr) / 2)
    assert rates.tpr == pytest.approx((by_label["dnsteal"].tpr + other.tpr) / 2)


def test_the_area_is_under_the_front_alone() -> None:
    assert area([]) == pytest.approx(0.5)
    assert area([(1.0, 1.0)]) == pytest.approx(1.0)
    assert area([(0.8, 0.6), (0.5, 0.5)]) == pytest.approx(area([(0.8, 0.6)]))


def test_the_published_area_is_of_what_the_points_dominate() -> None:
    assert published_area([]) == 0
    assert published_area([(1.0, 1.0)]) == 1
    assert published_area([(0.8, 0.6), (0.5, 0.5)]) == pytest.approx(0.8 * 0.6)
    assert published_area([(0.8, 0.6), (0.5, 0.9)]) == pytest.approx(0.5 * 0.9 + 0.3 * 0.6)


def test_clusters_that_are_the_attacks_agree_with_them(run: Columns) -> None:
    units = units_of(run)
    right = np.where(units.inside[0] > 0, 1, np.where(units.inside[1] > 0, 2, 3))
    found = agreement([units], [right])
    assert (found.ari, found.pair_f1, found.v_measure) == pytest.approx((1, 1, 1))
    wrong = agreement([units], [np.ones(len(units), np.int64)])
    assert wrong.ari == pytest.approx(0)
    assert wrong.pair_recall == 1


def test_a_table_is_read_in_order_of_time(tmp_path: Path) -> None:
    text = "time,name,ip,host,short,time_label,event_label\n7,b,1,h,B,x,dirb\n5,a,1,h,A,x,-\n"
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(text.encode()))
    read = read_scenario(tmp_path / "s.csv.gz")
    assert read.time.tolist() == [5, 7]
    assert [read.types[kind][0] for kind in read.type] == ["a", "b"]
    assert (read.attack.tolist(), read.attacks) == ([NO_ATTACK, 0], ["dirb"])


def test_without_data_training_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--data"):
        train(None)
    with pytest.raises(LocationError, match="ait_ads_shaw"):
        train(tmp_path)


def test_dnsteal_is_cut_by_alert_type_and_its_queries_are_noise(tmp_path: Path) -> None:
    lines = ["time,name,ip,host,short,time_label,event_label"]
    shorts = ("A-Dns-Val1", "S-Dns-Qry3", "A-Dns-Frq", "A-Dns-Frq", "A-Aud-Com4")
    lines += [f"{time},n{short},1,h,{short},x,dnsteal" for time, short in enumerate(shorts)]
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    read = read_scenario(tmp_path / "s.csv.gz")
    assert read.attacks == ["dnsteal_start", "dnsteal_active", "dnsteal_end"]
    assert read.attack.tolist() == [0, NO_ATTACK, 1, 1, 2]
    attacks = [["s-dnsteal_active", "01:00:00"], ["s-dnsteal_active", "02:00:00"]]
    run = combine(read, [{"noise": [], "attacks": attacks}], datetime.fromisoformat("2025-02-10T00:00:00+01:00"))
    assert run.attack.tolist() == [0, 1], "each is an attack of one alert"


PUBLISHED_NOISE = {
    "harrison": (39_634, 34_904, 34_331, 36_119, 24_081),
    "santos": (39_915, 40_661, 22_918, 16_118),
    "shaw": (8_663, 11_269, 9_554, 9_454, 9_854, 15_927),
}
"""Alerts of noise by day, as AIT-ADS-A's description has them."""


@pytest.mark.skipif(not DATA.is_dir(), reason="AIT-ADS is not there")
@pytest.mark.parametrize("name", PUBLISHED_NOISE)
def test_days_of_noise_are_those_that_are_published(name: str) -> None:
    scenario = read_scenario(DATA / f"ait_ads_{name}.csv.gz")
    start = datetime.fromisoformat("2025-02-10T00:00:00+01:00")
    days = range(len(PUBLISHED_NOISE[name]))
    runs = [combine(scenario, [{"noise": [f"{name}-{day}"], "attacks": []}], start) for day in days]
    assert tuple(map(len, runs)) == PUBLISHED_NOISE[name]
    assert sum(map(len, runs)) == (scenario.attack == NO_ATTACK).sum()


@pytest.mark.skipif(not DATA.is_dir(), reason="AIT-ADS is not there")
def test_attacks_are_as_large_as_published() -> None:
    for (name, run), dirb, wpscan in zip(read_runs(DATA, "val"), (415_108, 4_522), (9_676, 6_557), strict=True):
        alerts = {label: int((run.attack == number).sum()) for number, label in enumerate(run.attacks)}
        assert (alerts["dirb"], alerts["wpscan"], alerts["dnsteal_end"]) == (dirb, wpscan, 2), name


def test_a_report_can_be_printed(
    tmp_path: Path, scenario: Columns, affinity: Affinity, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["time,name,ip,host,short,time_label,event_label"]
    labels = [*scenario.attacks, "-"]
    for time, kind, attack in zip(scenario.time, scenario.type, scenario.attack, strict=True):
        lines.append(",".join((str(time), *TYPES[kind], "x", labels[attack])))
    (tmp_path / "ait_ads_x.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    day = '{"noise": ["x-0"], "attacks": [["x-dirb", "12:00:00"]]}'
    layout = '{"start_time": "2025-02-10T00:00:00+01:00", "val": [[' + day + "]]}"
    (tmp_path / "combined_attacks.json").write_text(layout)
    told: list[str] = []
    report = evaluate(tmp_path, affinity, grid=[ClusterConfig()] * 10, log=told.append)
    assert [line for line in told if "min left" in line] == [
        "5 of 10 settings, about 0 min left",
        "10 of 10 settings, about 0 min left",
    ]
    print_report(report)
    said = capsys.readouterr().out
    assert "fewer groups than alerts" in said
    assert report.metrics()["val_tpr"] == pytest.approx(report.rates.tpr, abs=1e-4)
    assert report.alerts == 180 + 23 * 60


def test_a_bundle_has_the_id_of_what_was_learned() -> None:
    learned = {"a": b"1", "b": b"2"}
    assert id_of(learned) == id_of(dict(reversed(learned.items())))
    assert len({id_of(learned), id_of({"a": b"2", "b": b"1"}), id_of({"a": b"1"})}) == 3


def test_help_needs_no_training_packages() -> None:
    import typer  # noqa: PLC0415

    app = typer.Typer()
    app.command()(train)
    assert "without their labels" in CliRunner().invoke(app, ["--help"]).output
