"""A process whose results come back to it as records does not start; a chain of pipelines does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.registry import open_runtime
from app.settings import Settings
from app.stream.loops import QUARANTINED, find_loop
from app.stream.runtime import Runtime
from app.stream.testing import FakeStreams, event_of
from tests.pipelines_for_tests import EchoPipeline, orders

TECHNIQUE, ALERTS = ("enriched",), ("enriched", "incidents", "tickets")
ROLES = {"alerts-technique": TECHNIQUE, "alerts": ALERTS, "bike": ("default",), "cases": ("cases",)}
STREAMS = {"enriched": "alerts-enriched", "incidents": "alerts-incidents", "tickets": "alerts-tickets"}


def loop_of(*read: str, **settings: Any) -> list[tuple[str, ...]]:
    return [tuple(step) for step in find_loop(Settings(**settings), ROLES, read)]


def test_both_stages_of_alerts_in_one_process_share_the_role_enriched() -> None:
    both = {"alerts": "alerts-technique", "alerts-enriched": "alerts"}
    found = loop_of(pipelines=both, output_streams=STREAMS)
    assert found == [("alerts-enriched", "alerts", "enriched", "alerts-enriched")]


def test_a_chain_of_pipelines_in_one_process_is_fine() -> None:
    chain = {"alerts": "alerts", "alerts-incidents": "cases"}
    assert loop_of(pipelines=chain, output_streams={**STREAMS, "cases": "cases"}) == []
    assert loop_of(pipelines={"alerts": "alerts-technique"}, output_streams=STREAMS) == []


def test_a_loop_over_several_streams_is_shown_step_by_step() -> None:
    circle = {"alerts": "alerts", "alerts-incidents": "cases", "late": "bike"}
    assert loop_of(pipelines=circle, output_streams={**STREAMS, "cases": "alerts"}, output_stream="counts") == [
        ("alerts", "alerts", "incidents", "alerts-incidents"),
        ("alerts-incidents", "cases", "cases", "alerts"),
    ]


def test_a_stream_counts_with_the_roles_of_its_own_pipeline() -> None:
    """`bike` writes nothing to the stream that `OUTPUT_STREAMS` names for another pipeline."""
    assert loop_of("alerts-incidents", pipelines={"alerts": "alerts"}, output_streams=STREAMS, output_stream="o") == []


def test_the_stream_of_pipeline_is_known_with_its_first_event() -> None:
    values: dict[str, Any] = {"pipeline": "alerts", "output_streams": STREAMS}
    assert loop_of(**values) == []
    assert loop_of("alerts-tickets", **values) == [("alerts-tickets", "alerts", "tickets", "alerts-tickets")]


def test_a_quarantine_that_is_read_is_a_loop() -> None:
    values: dict[str, Any] = {"output_stream": "counts", "quarantine_stream": "aside"}
    assert loop_of("aside", **values) == [("aside", "bike", QUARANTINED, "aside")]
    assert loop_of(pipelines={"aside": "cases"}, output_streams={"cases": "c"}, **values) != []
    assert loop_of("rides", **values) == []
    assert loop_of("", output_stream="counts") == []  # an event that names no stream


def test_a_test_run_writes_nothing() -> None:
    assert loop_of("rides", output_stream="rides", test_run=True) == []


def test_the_process_refuses_to_start_and_says_how_to_mend_it() -> None:
    both = {"alerts": "alerts-technique", "alerts-enriched": "alerts"}
    settings = Settings(
        pipeline="alerts", pipelines=both, output_streams=STREAMS, state_table="t", quarantine_stream="q"
    )
    with pytest.raises(SettingsError) as raised:
        open_runtime(settings)
    assert str(raised.value) == (
        "a loop: pipeline alerts reads alerts-enriched and writes enriched to alerts-enriched, without end: set "
        "enriched in OUTPUT_STREAMS to a stream that this process does not read, or run alerts as a process of its own "
        "with other output streams"
    )


def test_a_batch_of_an_unnamed_stream_is_refused_whole_and_nothing_is_written() -> None:
    pipelines: Any = {"echo": lambda _settings: EchoPipeline()}
    streams = FakeStreams()
    settings = Settings(pipeline="echo", output_stream="out", quarantine_stream="aside", partial_responses=True)
    runtime = Runtime(settings, pipelines, streams)
    for stream, words in (("out", "set OUTPUT_STREAM to"), ("aside", "set QUARANTINE_STREAM to")) * 2:
        with pytest.raises(SettingsError, match=words):
            runtime.handle(event_of(orders(3), stream=stream))
    assert streams.calls == []
    assert runtime.handle(event_of(orders(3), stream="in"))["batchItemFailures"] == []


names = st.sampled_from("abcd")


@given(
    pipelines=st.dictionaries(names, st.sampled_from(["p", "q"])),
    roles=st.fixed_dictionaries({"p": st.sets(st.sampled_from("xyz")), "q": st.sets(st.sampled_from("xyz"))}),
    streams=st.dictionaries(st.sampled_from("xyz"), names),
    unnamed=st.sets(names),
    aside=st.sampled_from(["", "a", "e"]),
)
def test_records_return_exactly_where_a_loop_is_found(
    pipelines: dict[str, str], roles: dict[str, set[str]], streams: dict[str, str], unnamed: set[str], aside: str
) -> None:
    """Follow a record's descendants from each stream that is read: with n streams, n steps show every loop."""
    settings = Settings(pipeline="p", pipelines=pipelines, output_streams=streams, quarantine_stream=aside)
    read = {*pipelines, *unnamed}

    def written(reached: set[str]) -> set[str]:
        found = {streams.get(role, "") for stream in reached & read for role in roles[settings.pipeline_for(stream)]}
        return found | ({aside} if reached & read else set())

    endless = False
    for start in read:
        reached = {start}
        for _ in range(len(read)):
            reached = written(reached)
            endless = endless or start in reached
    loop = find_loop(settings, {name: sorted(each) for name, each in roles.items()}, unnamed)
    assert bool(loop) == endless
    for step, following in zip(loop, [*loop[1:], *loop[:1]], strict=True):
        assert step.target == following.source
