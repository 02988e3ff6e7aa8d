"""Settings with which a process does not start have an error of the doctor's, and no others have one."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.doctor.finding import Severity
from app.doctor.settings import examine_settings
from app.doctor.setup import Setup
from app.errors import MillraceError
from app.registry import open_runtime
from app.settings import Settings
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline


class Enriching(EchoPipeline):
    name = "enriching"
    roles = ("enriched",)


class Sorting(CountingPipeline):
    name = "sorting"
    roles = ("enriched", "tickets", "default")


NAMES = [f"{each.__module__}:{each.__qualname__}" for each in (EchoPipeline, Enriching, CountingPipeline, Sorting)]
SOUND: dict[str, Any] = {
    "pipeline": NAMES[0],
    "output_stream": "results",
    "output_streams": {"enriched": "enriched", "tickets": "tickets"},
    "quarantine_stream": "aside",
    "state_table": "states",
}
pipelines = st.sampled_from([*NAMES, *NAMES, "nobody.knows:It"])
streams = st.sampled_from(["in", "enriched", "results", "aside"])
roles = st.sampled_from(["default", "enriched", "tickets"])
locations = st.sampled_from(["", "s3://elsewhere", "ftp://elsewhere"])
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "pipeline": pipelines,
    "pipelines": st.dictionaries(streams, pipelines, max_size=2),
    "output_stream": st.one_of(st.just(""), streams),
    "output_streams": st.dictionaries(roles, streams),
    "output_aggregation": st.lists(st.one_of(roles, st.just("unheard-of")), max_size=2),
    "quarantine_stream": st.one_of(st.just(""), streams),
    "quarantine_location": locations,
    "state_table": st.just(""),
    "state_location": locations,
}
change = st.one_of(*(st.tuples(st.just(name), values) for name, values in CHANGES.items()))
settings_of = st.lists(change, max_size=3).map(lambda changes: Settings(**{**SOUND, **dict(changes)}))


def starts(configured: Settings, source: str) -> bool:
    try:
        open_runtime(configured, measure=lambda *_: None).check_source(source)
    except MillraceError:
        return False
    return True


@settings(max_examples=300)
@given(configured=settings_of, source=streams)
def test_the_doctor_finds_an_error_where_nothing_starts_and_nowhere_else(configured: Settings, source: str) -> None:
    findings: list[Any] = list(examine_settings(Setup(configured, [source], "here", lambda **new: str(new))))
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert bool(errors) != starts(configured, source), errors
