from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.registry import read_all_settings, settings_of_domains
from app.settings import Settings, read_settings


def test_an_empty_environment_is_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"OUTPUT_STREAM": " ", "TEST_RUN": ""}) == Settings()


def test_variables_are_typed() -> None:
    settings = read_settings(
        {
            "OUTPUT_STREAM": "out",
            "OUTPUT_STREAMS": "enriched: a, tickets:b",
            "PIPELINES": "rides:bike",
            "TEST_RUN": "True",
            "PARTIAL_RESPONSES": "false",
            "RESPONSE_RESULTS": "7",
            "ROUTER_HANDLERS": "a, b,",
        }
    )
    assert settings.router_handlers == ["a", "b"]
    assert settings.test_run
    assert not settings.partial_responses
    assert settings.response_results == 7
    assert settings.stream_for("default") == "out"
    assert settings.stream_for("tickets") == "b"
    assert settings.stream_for("nowhere") == ""
    assert settings.pipeline_for("rides") == "bike"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TEST_RUN", "maybe"),
        ("RESPONSE_RESULTS", "many"),
        ("RESPONSE_RESULTS", "-1"),
        ("OUTPUT_STREAMS", "just-a-name"),
        ("PIPELINES", "a:b,,c:d"),
        ("LOG_LEVEL", "LOUD"),
        ("AWS_LAMBDA_LOG_LEVEL", "LOUD"),
        ("FOREIGN_RECORDS", "drop"),
        ("TECHNIQUE_LEAST_CONFIDENCE", "sure"),
        ("TECHNIQUE_LEAST_CONFIDENCE", "nan"),
        ("TECHNIQUE_LEAST_CONFIDENCE", "1.5"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?i){name}") as refused:
        read_all_settings({name: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("own", "lambdas", "level"),
    [
        (None, None, "INFO"),
        ("CRITICAL", None, "CRITICAL"),
        ("debug", None, "DEBUG"),
        ("warn", None, "WARNING"),
        (None, "DEBUG", "DEBUG"),
        (None, "TRACE", "DEBUG"),
        (None, "WARN", "WARNING"),
        (None, "FATAL", "CRITICAL"),
        ("ERROR", "DEBUG", "ERROR"),
        ("DEBUG", "ERROR", "DEBUG"),
        ("", "ERROR", "ERROR"),
    ],
)
def test_the_log_level_is_ours_or_else_that_of_lambdas_logging_controls(
    own: str | None, lambdas: str | None, level: str
) -> None:
    given = {"LOG_LEVEL": own, "AWS_LAMBDA_LOG_LEVEL": lambdas}
    assert read_settings({name: text for name, text in given.items() if text is not None}).log_level == level


KINDS: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]


@given(
    st.dictionaries(
        st.sampled_from([field.name.upper() for kind in KINDS for field in msgspec.structs.fields(kind)]), st.text()
    )
)
def test_any_environment_is_read_or_refused_in_one_line(environ: dict[str, str]) -> None:
    try:
        assert isinstance(read_all_settings(environ), Settings)
    except SettingsError as refused:
        assert len(str(refused).splitlines()) == 1


def test_a_stream_can_have_a_pipeline_of_ones_own() -> None:
    settings = read_settings({"PIPELINES": "rides:bike,sensors:alarms.pipeline:Alarms"})
    assert settings.pipeline_for("sensors") == "alarms.pipeline:Alarms"
    assert settings.pipeline_names() == {"bike", "alarms.pipeline:Alarms"}


class AlarmSettings(msgspec.Struct, frozen=True):
    """The variables of somebody's own pipeline."""

    alarm_unit: Literal["celsius", "fahrenheit"]
    alarm_limit: Annotated[float, msgspec.Meta(ge=-50)] = 30
    alarm_limits: dict[str, str] = {}
    alarm_after: int | None = None
    alarm_mails: list[str] = []
    alarm_days: list[int] = []
    alarm_week: Annotated[list[int], msgspec.Meta(max_length=2)] = []
    alarm_levels: dict[str, float] = {}
    alarm_digits: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        """Refuse two values that do not go together."""
        if self.alarm_mails and self.alarm_after is None:
            raise ValueError("ALARM_MAILS is set: set ALARM_AFTER too")


class TestOwnVariables:
    def test_are_read_from_the_same_environment(self) -> None:
        settings = read_settings({"ALARM_UNIT": "celsius", "ALARM_LIMIT": "12.5", "ALARM_AFTER": "3"})
        assert settings.read(AlarmSettings) == AlarmSettings("celsius", 12.5, {}, 3)
        more = settings.with_variables(
            ALARM_DAYS="1,7",
            ALARM_LEVELS="a:1.5",
            ALARM_DIGITS="2",
            ALARM_LIMITS="cellar:4,roof:40",
            ALARM_MAILS="a@example.org, b@example.org",
        )
        assert more.read(AlarmSettings).alarm_limits == {"cellar": "4", "roof": "40"}
        assert more.read(AlarmSettings).alarm_days == [1, 7]
        assert more.read(AlarmSettings).alarm_levels == {"a": 1.5}
        assert more.read(AlarmSettings).alarm_digits == 2
        assert more.read(AlarmSettings).alarm_mails == ["a@example.org", "b@example.org"]

    @pytest.mark.parametrize(
        ("environ", "line"),
        [
            ({}, "ALARM_UNIT is not set, and has no default"),
            ({"ALARM_UNIT": "kelvin"}, "ALARM_UNIT is 'kelvin': set celsius or fahrenheit"),
            ({"ALARM_UNIT": "celsius", "ALARM_LIMIT": "-60"}, "ALARM_LIMIT is '-60': expected `float` >= -50.0"),
            ({"ALARM_UNIT": "celsius", "ALARM_LIMIT": "hot"}, "ALARM_LIMIT is 'hot': set a number"),
            ({"ALARM_UNIT": "celsius", "ALARM_DAYS": "1,x"}, "ALARM_DAYS has 'x': expected int, got str"),
            ({"ALARM_UNIT": "celsius", "ALARM_LEVELS": "a:1,b:x"}, "ALARM_LEVELS has 'b:x': expected float, got str"),
            ({"ALARM_UNIT": "celsius", "ALARM_WEEK": "1,2,3"}, "ALARM_WEEK is '1,2,3': expected array of length <= 2"),
            ({"ALARM_UNIT": "celsius", "ALARM_DIGITS": "3"}, "ALARM_DIGITS is '3': set 1 or 2"),
            ({"ALARM_UNIT": "celsius", "ALARM_MAILS": "a@b"}, "ALARM_MAILS is set: set ALARM_AFTER too"),
        ],
    )
    def test_are_refused_in_one_line_that_names_the_variable(self, environ: dict[str, str], line: str) -> None:
        with pytest.raises(SettingsError) as refused:
            read_settings(environ).read(AlarmSettings)
        assert str(refused.value) == line.replace("`", "")


def test_settings_show_no_variables_values() -> None:
    assert "hush" not in repr(read_settings({"AWS_SECRET_ACCESS_KEY": "hush"}))
