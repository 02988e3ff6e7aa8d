from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.bike.handlers import MAX_RECORDS, PredictHandler, Predictions
from app.domains.bike.pipeline import BikePipeline
from app.errors import RequestError, TooLargeError, UnprocessableError
from app.handlers.api.application import Api
from app.handlers.api.lambda_events import LambdaAdapter
from app.handlers.invocation import run
from app.settings import Settings
from app.stream.deadline import LocalContext
from app.stream.processor import CHUNK_ROWS
from app.stream.testing import MemorySpine

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.stream.batch import Batch
    from app.stream.outcomes import Outcomes

WEATHER: dict[str, Any] = {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}
UNKNOWN = 5  # a weather code that the model never saw

handler = PredictHandler.open(Settings())


def record(pred_id: Any = 1, **features: Any) -> dict[str, Any]:
    return {"features": {**WEATHER, **features}, "pred_id": pred_id}


def answer(request: Any, by: PredictHandler = handler, context: Any = None) -> Predictions:
    """What is answered to a request that comes as JSON."""
    decoded = PredictHandler.decode(msgspec.json.encode(request))
    return run("test", lambda invocation: by.handle(decoded, invocation), context, settings=Settings())


def counts(request: list[dict[str, Any]]) -> list[int]:
    return [each.prediction.cnt for each in answer(request).predictions]


weather = st.fixed_dictionaries(
    {
        "t1": st.floats(-10, 35),
        "t2": st.floats(-10, 35),
        "hum": st.floats(0, 100),
        "weather_code": st.sampled_from([1, 2, 3, 4, 7, 10, 26, UNKNOWN]),
    },
    optional={
        "timestamp": st.sampled_from(["2016-07-06T08:00:00", "2026-12-25 23:00:00", "2015-01-12T08:00:00Z"]),
        "wind_speed": st.floats(0, 60),
        "is_holiday": st.booleans(),
    },
)
batches = st.lists(weather, max_size=12).map(
    lambda found: [{"features": features, "pred_id": number} for number, features in enumerate(found)]
)


def test_one_record_is_predicted_as_the_stream_does() -> None:
    found = msgspec.to_builtins(answer(record(123)))
    spine = MemorySpine(handler.pipeline)
    spine.run([msgspec.json.encode(record(123))])
    [streamed] = spine.outputs()
    assert found == {
        "predictions": [{key: streamed[key] for key in ("model", "version", "prediction")}],
        "quarantined": [],
    }
    assert set(streamed) - set(found["predictions"][0]) == {"id", "source"}


@given(batches)
def test_many_are_answered_in_order_as_the_stream_answers_them(records: list[dict[str, Any]]) -> None:
    found = answer(records)
    spine = MemorySpine(handler.pipeline)
    spine.run([msgspec.json.encode(each) for each in records])
    streamed = sorted(spine.outputs(), key=lambda each: int(each["source"]["sequence_number"]))
    assert [(each.prediction.pred_id, each.prediction.cnt) for each in found.predictions] == [
        (each["prediction"]["pred_id"], each["prediction"]["cnt"]) for each in streamed
    ]
    aside = {each.index: (each.reason, each.message) for each in found.quarantined}
    assert sorted(aside.values()) == sorted((each["reason"], each["message"]) for each in spine.quarantined())
    assert aside.keys() == {
        number for number, each in enumerate(records) if each["features"]["weather_code"] == UNKNOWN
    }


@given(batches, st.data())
def test_any_cut_gives_the_same_predictions(records: list[dict[str, Any]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(records)))
    assert counts(records[:cut]) + counts(records[cut:]) == counts(records)


def test_the_model_is_called_once_for_all_records() -> None:
    watched = Watched(handler.pipeline)
    answer([record(number) for number in range(50)], PredictHandler(watched))
    assert watched.calls == [50]


def test_no_records_are_no_fault_and_no_call_of_the_model() -> None:
    watched = Watched(handler.pipeline)
    assert answer([], PredictHandler(watched)) == Predictions([], [])
    assert watched.calls == []


def test_a_field_at_fault_is_named_and_refuses_a_record_alone() -> None:
    with pytest.raises(RequestError, match="expected `float`, got `str`") as refused:
        answer(record(4, t1="warm"))
    assert refused.value.field == "$.features.t1"
    with pytest.raises(RequestError, match="missing required") as refused:
        answer({"pred_id": 1})
    assert refused.value.field == "$.features"


def test_a_record_of_a_list_that_cannot_be_read_is_named_alone() -> None:
    records = [record(1), record(2, t1="warm"), record(3, weather_code=UNKNOWN), {"pred_id": 4}, 5, record(6, hum=101)]
    for payload in (msgspec.json.encode(records), msgspec.json.encode(records).decode(), records):
        found = run("test", lambda each: handler.handle(PredictHandler.decode(payload), each), settings=Settings())  # noqa: B023
        assert [each.prediction.pred_id for each in found.predictions] == [1]
        assert [(each.index, each.reason) for each in found.quarantined] == [
            (1, "mistyped_field"),
            (2, "unknown_weather_code"),
            (3, "missing_field"),
            (4, "mistyped_field"),
            (5, "out_of_range"),
        ]
        assert "`$.features.t1`" in found.quarantined[0].message
    with pytest.raises(RequestError, match="not JSON"):
        PredictHandler.decode(b'[{"features": ')


def test_what_is_left_is_unfinished_under_its_index_in_the_request() -> None:
    class Busy(Watched):
        def process(self, batch: Batch[Any]) -> Outcomes:
            outcomes = super().process(batch)
            outcomes.retry(1, "busy")
            return outcomes

    found = answer([record("bad", t1="warm"), record(1), record(2)], PredictHandler(Busy(handler.pipeline)))
    assert ([each.index for each in found.quarantined], [each.index for each in found.unfinished]) == ([0], [2])


def test_whole_numbers_may_be_written_with_a_fraction_of_zero() -> None:
    written = record(17, is_holiday=1, is_weekend=0, season=2, timestamp="2016-07-06T08:00:00")
    floats = record(17.0, is_holiday=1.0, is_weekend=0.0, season=2.0, weather_code=2.0, timestamp="2016-07-06T08:00:00")
    assert answer([floats]) == answer([written])
    assert answer(floats) == answer(written)
    spine = MemorySpine(handler.pipeline)
    spine.run([msgspec.json.encode(each) for each in (written, floats)])
    one = msgspec.to_builtins(answer(written).predictions[0].prediction)
    assert [each["prediction"] for each in spine.outputs()] == [one, one]
    for field, value in (("is_holiday", 0.5), ("season", 1.5), ("is_holiday", 2.0), ("season", 4.0)):
        with pytest.raises(RequestError) as refused:
            answer(record(**{field: value}))
        assert refused.value.field == f"$.features.{field}"


def test_an_unknown_weather_alone_cannot_be_processed() -> None:
    with pytest.raises(UnprocessableError, match=r"unknown_weather_code: 5 at .*; known are 1, 2, ") as refused:
        answer(record(weather_code=UNKNOWN))
    assert refused.value.field == "$.features.weather_code"


def test_an_unknown_weather_among_others_is_set_aside_with_its_place() -> None:
    found = answer([record(1), record(2, weather_code=UNKNOWN), record(3)])
    assert [each.prediction.pred_id for each in found.predictions] == [1, 3]
    [aside] = found.quarantined
    assert (aside.index, aside.reason) == (1, "unknown_weather_code")
    assert "$.features.weather_code" in aside.message


def test_a_list_of_one_is_a_list() -> None:
    assert [each.index for each in answer([record(weather_code=UNKNOWN)]).quarantined] == [0]


def test_a_record_on_which_the_pipeline_raises_harms_no_other_and_tells_no_secret() -> None:
    def raises(batch: Batch[Any]) -> None:
        if any(each.pred_id == "poison" for each in batch.records):
            raise KeyError("/srv/secret")

    poisoned = PredictHandler(Watched(handler.pipeline, raises))
    found = answer([record(1), record("poison"), record(3), record(4)], poisoned)
    assert [each.prediction.pred_id for each in found.predictions] == [1, 3, 4]
    [aside] = found.quarantined
    assert (aside.index, aside.reason) == (1, "pipeline_error")
    assert "secret" not in aside.message
    with pytest.raises(UnprocessableError, match="pipeline_error") as refused:
        answer(record("poison"), poisoned)
    assert (refused.value.field, "secret" in str(refused.value)) == ("", False)


def test_when_the_time_is_up_what_is_left_is_said_to_be_unfinished() -> None:
    def raises(batch: Batch[Any]) -> None:
        if len(batch) > 1:
            raise ValueError("in halves, please")

    spent = LocalContext(timeout_s=0)
    found = answer([record(1), record(2)], PredictHandler(Watched(handler.pipeline, raises)), spent)
    assert (found.predictions, found.quarantined) == ([], [])
    assert [(each.index, each.reason) for each in found.unfinished] == [(0, "deadline"), (1, "deadline")]


def test_what_the_pipeline_hands_back_is_said_to_be_unfinished() -> None:
    class Busy(Watched):
        def process(self, batch: Batch[Any]) -> Outcomes:
            outcomes = super().process(batch)
            outcomes.retry(0, "busy")
            return outcomes

    found = answer([record(1), record(2)], PredictHandler(Busy(handler.pipeline)))
    assert [each.prediction.pred_id for each in found.predictions] == [2]
    assert [(each.index, each.reason) for each in found.unfinished] == [(0, "busy")]


def test_more_records_than_the_spine_takes_at_once_are_too_many() -> None:
    assert MAX_RECORDS == CHUNK_ROWS
    full = [record(number) for number in range(MAX_RECORDS)]
    assert len(answer(full).predictions) == MAX_RECORDS
    with pytest.raises(TooLargeError, match="2001 records: send 2000 at the most"):
        answer([*full, record()])


def test_a_full_answer_of_the_longest_ids_fits_into_lambdas_response() -> None:
    found = answer([record("\N{BICYCLE}" * 256) for _ in range(MAX_RECORDS)])
    assert len(msgspec.json.encode(msgspec.json.encode(found).decode())) < 6 * 1024 * 1024


def test_the_model_is_loaded_when_the_handler_is_opened() -> None:
    assert isinstance(PredictHandler.open(Settings()).pipeline, BikePipeline)
    assert PredictHandler.name == "bike-predict"
    assert PredictHandler.summary() == "Predicts bike hires for one record or a list of them."


def test_the_api_answers_one_many_and_the_refused() -> None:
    api = LambdaAdapter(lambda: Api([PredictHandler], Settings()))

    def ask(request: Any) -> tuple[int, Any]:
        event = {
            "version": "2.0",
            "rawPath": "/bike/predictions",
            "headers": {"content-type": "application/json"},
            "requestContext": {"http": {"method": "POST"}, "stage": "$default"},
            "body": msgspec.json.encode(request).decode(),
        }
        answered = api(event)
        return answered["statusCode"], msgspec.json.decode(answered["body"])

    assert ask(record(1)) == (200, msgspec.to_builtins(answer(record(1))))
    records = [record(1), record(2, weather_code=UNKNOWN), record(3)]
    assert ask(records) == (200, msgspec.to_builtins(answer(records)))
    assert ask([]) == (200, {"predictions": [], "quarantined": []})
    for request, status, field in (
        (record(2, t1="warm"), 400, "$.features.t1"),
        ([record(1), record(2, t1="warm")], 200, "$.features.t1"),
        (record(weather_code=UNKNOWN), 422, "$.features.weather_code"),
        ([record()] * (MAX_RECORDS + 1), 413, ""),
    ):
        refused = ask(request)
        assert (refused[0], field in str(refused[1])) == (status, True)


class Watched(BikePipeline):
    """The bike pipeline, with something done before each call, which is counted."""

    def __init__(self, pipeline: BikePipeline, before: Callable[[Batch[Any]], None] | None = None) -> None:
        vars(self).update(vars(pipeline))
        self.calls: list[int] = []
        self.before = before

    def process(self, batch: Batch[Any]) -> Outcomes:
        self.calls.append(len(batch))
        if self.before:
            self.before(batch)
        return super().process(batch)
