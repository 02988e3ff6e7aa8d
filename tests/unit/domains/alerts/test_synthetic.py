"""The invented alerts: the same for the same seed, readable, and with an attack that clusters and flows find."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import EnrichedAlert
from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats import read_alert
from app.domains.alerts.synthetic import ATTACK_EVERY_S, LABEL, SAMPLE_ALERTS, START_S, synthetic_alerts
from tests.alerts_for_tests import resolver, tenant_factory


@given(st.integers(), st.integers(1, 120))
def test_the_same_seed_makes_the_same_alerts_and_a_shorter_sample_is_its_beginning(seed: int, count: int) -> None:
    made = list(synthetic_alerts(count, seed))
    assert len(made) == count
    assert made == list(synthetic_alerts(count + 7, seed))[:count]
    assert made != list(synthetic_alerts(count, seed + 1))


def test_each_is_an_alert_in_the_order_of_time_with_an_id_of_its_own() -> None:
    read = [read_alert(each) for each in synthetic_alerts()]
    assert [alert.id for alert in read] == list(range(1, SAMPLE_ALERTS + 1))
    assert [alert.time for alert in read] == sorted(alert.time for alert in read)
    known = {technique for alert in read for technique in alert.tech}
    assert all(attack_table().current(technique) == technique for technique in known)


def test_most_of_the_background_says_nothing_of_techniques_and_has_no_label() -> None:
    made = list(synthetic_alerts())
    quiet = [each for each in made if "label" not in each]
    assert 0.2 < len(quiet) / len(made) < 0.5
    assert not any(each["tech"] for each in quiet)


def test_for_ever_means_an_attack_every_few_hours() -> None:
    times = [each["time"] for each in itertools.islice(synthetic_alerts(None), 2000) if each.get("label") == LABEL]
    begins = [one for before, one in itertools.pairwise([START_S - ATTACK_EVERY_S, *times]) if one - before > 3_000]
    gaps = [other - one for one, other in itertools.pairwise(begins)]
    assert len(gaps) > 2
    assert all(abs(gap - ATTACK_EVERY_S) < 5 for gap in gaps)


@pytest.mark.parametrize("seed", range(3))
def test_the_attack_is_one_flow_with_most_of_its_stages(seed: int) -> None:
    alerts = [read_alert(each) for each in synthetic_alerts(seed=seed)]
    tenant = tenant_factory().tenant()
    of_attack: set[int] = set()
    for alert, found in zip(alerts, resolver().resolve(alerts), strict=True):
        observed = tenant.observe(EnrichedAlert(alert, found))
        if alert.label:
            of_attack.add(observed.change.cluster_id)
    largest = max(tenant.flows.flows(), key=lambda flow: len({node.step.technique for node in flow.nodes}))
    assert len({node.step.technique for node in largest.nodes} - {""}) >= 8
    share = len(of_attack & set(largest.cluster_ids)) / len(largest.cluster_ids)
    assert share > 0.7  # the background hardly gets into it
