"""Stories of attacks among everyday alerts: the same for a seed, readable, and with a truth that fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from app.domains.alerts.alert import EnrichedAlert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats import format_of, read_alert, read_alert_bytes
from model.stories.attacks import PACES_S, titles_of
from model.stories.calibrate import Rows, chances, fit, reliability
from model.stories.engine import Found, Incident
from model.stories.evaluate import SetResult, table
from model.stories.network import chance_of, make_network
from model.stories.noise import noise_types
from model.stories.peers import host_and_day, risk_by_entity
from model.stories.picture import draw
from model.stories.plans import own_plans
from model.stories.score import score_set, score_story
from model.stories.story import Story, make_story, write_story

if TYPE_CHECKING:
    from pathlib import Path


def test_a_seed_has_one_story_and_another_seed_another() -> None:
    story = make_story(3, noise=50)
    assert make_story(3, noise=50) == story
    assert make_story(4, noise=50).records != story.records


@pytest.mark.parametrize("split", ["fit", "test"])
@pytest.mark.parametrize("pace", sorted(PACES_S))
def test_each_record_is_read_as_an_alert_of_its_time(pace: str, split: str) -> None:
    story = make_story(1, noise=100, pace=pace, split=split, attacks=2)
    assert len(story.labels) == len(story.records)
    assert [label.line for label in story.labels] == list(range(1, len(story.records) + 1))
    late = story.begin_s + story.span_s + 3_600
    for record in story.records:
        assert story.begin_s - 3_600 <= read_alert(record).time <= late


def test_ids_are_unique() -> None:
    ids = [read_alert(record).id for record in make_story(2, noise=1_000, days=5).records]
    assert len(set(ids)) >= 0.99 * len(ids)  # a scan's alerts of one instant may be one to Suricata


def test_all_products_take_part() -> None:
    formats = {format_of(record).name for seed in range(20) for record in make_story(seed, noise=60).records}
    products = {"suricata", "wazuh", "ecs", "ocsf", "cef_line", "guardduty", "asff", "seed"}
    assert formats == products | {"crowdstrike_event", "defender_graph", "sentinel_alert", "splunk"}


def test_the_truth_names_steps_that_have_alerts() -> None:
    story = make_story(5, noise=80, pace="days", attacks=2)
    assert len(story.attacks) == 2
    for truth in story.attacks:
        steps = {label.step for label in story.labels if label.attack == truth.id}
        assert steps == set(truth.techniques)
        assert all(first < second and {first, second} <= steps for first, second in truth.edges)
        assert set(truth.hosts) >= {label.host for label in story.labels if label.attack == truth.id}
        assert set(truth.techniques.values()) <= set(attack_table().techniques)
    hosts = [set(truth.hosts) for truth in story.attacks]
    assert hosts[0] != hosts[1]


def test_a_story_may_have_no_attack() -> None:
    story = make_story(1, noise=40, attacks=0, days=3)
    assert (len(story.records), story.attacks) == (40, [])
    assert not any(label.attack for label in story.labels)


def test_fitting_and_testing_have_nothing_in_common() -> None:
    assert not {each.title for each in noise_types("fit")} & {each.title for each in noise_types("test")}
    assert not {each.name for each in own_plans("fit")} & {each.name for each in own_plans("test")}
    for technique in attack_table().techniques:
        assert not set(titles_of(technique, "fit")) & set(titles_of(technique, "test"))


def test_no_two_machines_have_one_address_on_a_day() -> None:
    network = make_network(chance_of("addresses"), 200, days=4)
    for day in range(4):
        assert len({host.address(day) for host in network.hosts}) == len(network.hosts) >= 200
    assert any(len(set(host.addresses)) > 1 for host in network.hosts)


def test_a_file_has_a_record_a_line_and_its_truth_beside_it(tmp_path: Path) -> None:
    story = make_story(1, noise=30)
    truth = write_story(story, tmp_path / "story.jsonl")
    lines = (tmp_path / "story.jsonl").read_bytes().splitlines()
    assert [read_alert_bytes(line).id for line in lines] == [read_alert(record).id for record in story.records]
    assert len(msgspec.json.decode(truth.read_bytes())["labels"]) == len(lines)


def members(story: Story, attack: str) -> list[int]:
    return [at for at, label in enumerate(story.labels) if label.attack == attack]


def test_the_whole_attack_in_one_incident_is_the_best_score() -> None:
    story = make_story(1, noise=50)
    mine = members(story, "a1")
    later = next(at for at in mine if story.labels[at].step > story.labels[mine[0]].step)
    score = score_story(story, Found((Incident(tuple(mine), ((mine[0], later, 0.5),)),)))
    [attack] = score.attacks
    assert (attack.found, attack.foreign, attack.pieces, attack.right) == (1.0, 0.0, 1, 1.0)
    assert (score.incidents, score.false) == (1, 0)


def test_pieces_foreign_alerts_and_incidents_of_noise_lower_the_score() -> None:
    story = make_story(1, noise=50)
    mine, noise = members(story, "a1"), members(story, "")
    cut = len(mine) // 4
    found = Found((Incident((*mine[:-cut], *noise[:5])), Incident(tuple(mine[-cut:])), Incident(tuple(noise[5:8]))))
    score = score_story(story, found)
    [attack] = score.attacks
    assert attack.found == pytest.approx(1 - cut / len(mine))
    assert attack.foreign == pytest.approx(5 / (len(mine) - cut + 5))
    assert (attack.pieces, attack.right) == (2, None)
    assert (score.false, score.false_per_1000) == (1, 20.0)


def test_an_attack_that_no_incident_has_scores_nothing() -> None:
    [attack] = score_story(make_story(1, noise=50), Found(())).attacks
    assert (attack.found, attack.foreign, attack.pieces) == (0.0, 0.0, 0)


def test_plain_ways_find_the_machines_of_an_attack() -> None:
    story = make_story(1, noise=200, pace="days", days=20)
    alerts = [EnrichedAlert(read_alert(record), Techniques((), "unknown", 0.0)) for record in story.records]
    for peer in (risk_by_entity, host_and_day):
        found = peer(story, alerts)
        assert any(set(members(story, "a1")).intersection(each.alerts) for each in found.incidents)


def test_results_are_a_table_and_a_picture() -> None:
    story = make_story(1, noise=50)
    score = score_set([score_story(story, Found((Incident(tuple(members(story, "a1"))),)))])
    assert "| own | Millrace | 1.000 |" in table([SetResult("own", {"Millrace": score})])
    picture = draw([("own <&>", {"Millrace": score})])
    assert picture.startswith("<svg")
    assert "own &lt;&amp;&gt;" in picture


def test_fitted_probabilities_are_as_often_right_as_they_say() -> None:
    rng = np.random.default_rng(1)
    given = np.column_stack([np.ones(4_000), rng.uniform(0, 5, 4_000)])
    right = (rng.random(4_000) < chances(given, np.array([-3.0, 1.2]))).astype(float)
    weights = fit(Rows(given, right, right))
    assert weights == pytest.approx([-3.0, 1.2], abs=0.2)
    for said, share, _ in reliability(chances(given, weights), right):
        assert share == pytest.approx(said, abs=0.05)
