from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.settings import Settings, read_settings

README = Path(__file__).parents[2] / "README.md"


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
            "TECHNIQUE_LEAST_CONFIDENCE": "0.5",
        }
    )
    assert settings.technique_least_confidence == 0.5
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
        ("TECHNIQUE_LEAST_CONFIDENCE", "sure"),
        ("TECHNIQUE_LEAST_CONFIDENCE", "nan"),
        ("TECHNIQUE_LEAST_CONFIDENCE", "1.5"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?i){name}") as refused:
        read_settings({name: value})
    assert "\n" not in str(refused.value)


@given(st.dictionaries(st.sampled_from([field.name.upper() for field in msgspec.structs.fields(Settings)]), st.text()))
def test_any_environment_is_read_or_refused_in_one_line(environ: dict[str, str]) -> None:
    try:
        assert isinstance(read_settings(environ), Settings)
    except SettingsError as refused:
        assert len(str(refused).splitlines()) == 1


def test_the_readme_has_every_variable_as_its_description_says() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| [^|]* \| (.*) \|$", README.read_text(), flags=re.MULTILINE))
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        described = [meta.description for meta in hints[field.name].__metadata__ if meta.description]
        assert rows[field.name.upper()] == described[0]
