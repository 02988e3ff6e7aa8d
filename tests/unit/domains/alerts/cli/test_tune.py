"""What other thresholds would give on one's own alerts, and how a threshold is set."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import msgspec
import pytest

from app.domains.alerts.cli.tune import DAY_S, TRIED, Tried, tried, variable_of
from app.domains.alerts.cli.work import Work, enrich
from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.formats import read_alert
from app.domains.alerts.settings import AlertSettings
from app.errors import SettingsError
from app.settings import read_settings
from model.stories.story import make_story, write_story
from tests.alerts_for_tests import resolver
from tests.commands_for_tests import run_command


@functools.cache
def outcomes(**variables: str) -> dict[str, list[Tried]]:
    """The outcome of each setting on ten days with an attack."""
    work = Work(read_settings(variables))
    alerts = [read_alert(record) for record in make_story(1, noise=300, days=10).records]
    assert len(list(work.observe(enrich(alerts, resolver())))) == len(alerts)
    found: dict[str, list[Tried]] = {}
    for each in tried(work, len(alerts), days=10):
        found.setdefault(each.setting, []).append(each)
    return found


def test_each_setting_has_its_values_with_one_that_is_present() -> None:
    found = outcomes()
    assert list(found) == [variable_of(field) for field in TRIED]
    for (field, values), rows in zip(TRIED.items(), found.values(), strict=True):
        assert [row.value for row in rows] == sorted(values)
        assert [row.value for row in rows if row.present] == [getattr(FlowConfig(), field)]
    present = {(row.incidents, row.alerts) for rows in found.values() for row in rows if row.present}
    assert len(present) == 1


def test_a_higher_threshold_has_no_more_incidents() -> None:
    for rows in outcomes().values():
        incidents = [row.incidents for row in rows]
        assert incidents == sorted(incidents, reverse=True)
        assert all(row.incidents_a_day == pytest.approx(row.incidents / 10, abs=0.01) for row in rows)
        assert all(row.largest <= row.alerts for row in rows)
    assert outcomes()["INCIDENT_RISK_THRESHOLD"][0].incidents > 0


def test_the_value_of_the_environment_is_the_present_one() -> None:
    rows = outcomes(INCIDENT_RISK_THRESHOLD="2.5")["INCIDENT_RISK_THRESHOLD"]
    assert [row.value for row in rows if row.present] == [2.5]
    assert 2.5 not in TRIED["risk_threshold"]


@pytest.mark.parametrize("field", TRIED)
def test_each_setting_has_a_variable_with_limits(field: str) -> None:
    value = TRIED[field][0]
    settings = read_settings({variable_of(field): str(value)}).read(AlertSettings)
    assert getattr(FlowConfig.from_settings(settings), field) == value
    with pytest.raises(SettingsError, match=variable_of(field)):
        read_settings({variable_of(field): "1000"}).read(AlertSettings)


@pytest.mark.parametrize("field", TRIED)
def test_a_variable_says_the_default_that_holds_where_it_is_unset(field: str) -> None:
    page = (Path(__file__).parents[5] / "docs" / "settings.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{variable_of(field)}`")]
    assert row.endswith(f"; unset, {getattr(FlowConfig(), field):g} |")


def test_in_a_pipe_each_outcome_is_a_line(tmp_path: Path) -> None:
    story = make_story(2, noise=100)
    write_story(story, tmp_path / "alerts.jsonl")
    done = run_command("millrace", ["alerts", "tune", str(tmp_path / "alerts.jsonl"), "--no-model"])
    assert done.returncode == 0, done.stderr
    lines = [msgspec.convert(json.loads(line), Tried) for line in done.stdout.splitlines()]
    assert [line.setting for line in lines if line.present] == [variable_of(field) for field in TRIED]
    assert story.span_s < DAY_S
    assert all(line.incidents_a_day == line.incidents for line in lines)
