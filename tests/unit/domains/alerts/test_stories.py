"""Stories of attacks among everyday alerts: the same for a seed, readable, and with a truth that fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats import format_of, read_alert, read_alert_bytes
from model.stories.attacks import PACES_S, titles_of
from model.stories.network import chance_of, make_network
from model.stories.noise import noise_types
from model.stories.plans import own_plans
from model.stories.products import WRITERS
from model.stories.story import make_story, write_story

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
    formats = {format_of(record).name for seed in range(12) for record in make_story(seed, noise=60).records}
    assert formats >= {"suricata", "wazuh", "ecs", "ocsf", "cef_line", "guardduty", "asff", "seed"}
    assert len(WRITERS) == 9


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
