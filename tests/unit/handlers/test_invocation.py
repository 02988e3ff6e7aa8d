"""What is done around every invocation: ids on each line, no payload on any, metrics however it ends, typed errors."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from app import telemetry
from app.errors import (
    CloudError,
    HandlerFailedError,
    MillraceError,
    NotFoundError,
    RequestError,
    UnprocessableError,
)
from app.handlers.base import LambdaHandler
from app.handlers.invocation import Invocation, run
from app.settings import Settings
from app.stream.deadline import LONGEST_TIMEOUT_S
from app.text import LONGEST_ID, sanitize_id
from tests.handlers_for_tests import LambdaContext, Parcel, Postage, WeighParcelHandler, log_everything, written

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2"
IDS = {"handler": "test", "request_id": "request-1", "correlation_id": "order-7"}


def invoke(work: Callable[[Invocation], Any], remaining_ms: int = 60_000, **options: Any) -> Any:
    """One invocation of Lambda's."""
    options = {"correlation_id": "order-7", "settings": Settings(), **options}
    return run("test", work, LambdaContext(remaining_ms), **options)


@pytest.fixture(autouse=True)
def _logs() -> None:
    log_everything()


def raising(error: BaseException) -> Callable[[Invocation], None]:
    def work(invocation: Invocation) -> None:
        invocation.metrics.count("begun")
        raise error

    return work


def test_what_the_work_is_given() -> None:
    invocation = invoke(lambda given: given)
    assert (invocation.handler, invocation.request_id, invocation.correlation_id) == tuple(IDS.values())
    assert isinstance(invocation.context, LambdaContext)
    assert invocation.settings == Settings()


def test_the_request_id_ties_together_where_nothing_else_says() -> None:
    assert invoke(lambda given: given.correlation_id, correlation_id="") == "request-1"
    assert invoke(lambda given: given.correlation_id, correlation_id="\n\0") == "request-1"


def test_without_a_context_it_has_an_id_of_its_own_and_lambdas_longest_time() -> None:
    one, other = (run("test", lambda given: given, settings=Settings()) for _ in range(2))
    assert one.request_id
    assert one.request_id != other.request_id
    assert LONGEST_TIMEOUT_S - 10 < one.deadline.remaining_s() <= LONGEST_TIMEOUT_S


def test_the_deadline_is_the_timeout_less_the_margin() -> None:
    settings = Settings(deadline_margin_ms=2_000)
    assert 6 < invoke(lambda given: given.deadline.remaining_s(), 10_000, settings=settings) <= 8
    assert invoke(lambda given: given.deadline.remaining_s(), 1_500, settings=settings) == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("order-7", "order-7"),
        ("a b\r\nc", "abc"),
        ("\x1b[31mred", "[31mred"),
        ("é", ""),
        ("x" * 5000, "x" * LONGEST_ID),
    ],
)
def test_an_id_from_outside_is_one_short_word(sent: str, kept: str) -> None:
    assert sanitize_id(sent) == kept


def test_every_line_carries_the_handler_and_both_ids(capsys: pytest.CaptureFixture[str]) -> None:
    def work(invocation: Invocation) -> None:
        invocation.logger.debug("began")
        telemetry.logger.warning("from somewhere below", extra={"rows": 3})
        telemetry.logger.getChild("storage").info("and from a logger below")
        raise CloudError("s3://bucket: there is no such bucket")

    with pytest.raises(CloudError):
        invoke(work)
    logs = written(capsys).logs
    assert [line["message"] for line in logs] == [
        "began", "from somewhere below", "and from a logger below", "s3://bucket: there is no such bucket",
    ]  # fmt: skip
    assert all(line.items() >= IDS.items() for line in logs)
    assert logs[1]["rows"] == 3

    telemetry.logger.info("after it")
    [line] = written(capsys).logs
    assert not IDS.keys() & line.keys()


def test_invocations_side_by_side_keep_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    together = threading.Barrier(2)

    def work(invocation: Invocation) -> None:
        together.wait(10)
        invocation.logger.info("in %s", invocation.correlation_id)
        together.wait(10)

    threads = [threading.Thread(target=invoke, args=(work,), kwargs={"correlation_id": name}) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs = written(capsys).logs
    assert sorted((line["message"], line["correlation_id"]) for line in logs) == [("in a", "a"), ("in b", "b")]


def test_another_level_is_for_one_invocation_alone(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("WARNING")
    for log_level in (None, "DEBUG", None):
        invoke(lambda given: given.logger.debug("detail"), log_level=log_level)
    assert [line["message"] for line in written(capsys).logs] == ["detail"]


def test_lambda_finds_the_time_of_a_line_where_its_log_format_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for log_format in ("Text", "JSON"):
        monkeypatch.setenv("AWS_LAMBDA_LOG_FORMAT", log_format)
        telemetry.logger.warning("late")
    text, as_json = written(capsys).logs
    assert list(text) == ["time", "level", "message"]
    assert list(as_json) == ["timestamp", "level", "message"]


def test_a_level_that_there_is_not_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        invoke(lambda _given: None, log_level="LOUD")
    telemetry.logger.info("after it")
    [line] = written(capsys).logs
    assert not IDS.keys() & line.keys()


class Unable(LambdaHandler[Parcel, Postage]):
    """Fails in the way it is told to."""

    name = "test"
    error: BaseException

    def handle(self, request: Parcel, invocation: Invocation) -> Postage:  # noqa: ARG002
        invocation.logger.info("began")
        try:
            raise self.error
        except ValueError:
            invocation.logger.exception("went wrong")
            raise


@pytest.mark.parametrize(
    "error",
    [
        RequestError(f"label: not {SECRET}", "$.label"),
        UnprocessableError(f"label: not {SECRET}"),
        ValueError(SECRET),
        KeyError(SECRET),
        SystemExit(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_payload_is_logged_however_it_ends(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    Unable.error = error
    with pytest.raises((MillraceError, SystemExit)):
        Unable.get_handler()({"grams": 1, "label": SECRET})
    said = written(capsys)
    assert said.logs
    assert said.metrics
    assert SECRET not in said.text


@pytest.mark.parametrize(
    "event",
    [
        {"grams": SECRET},
        {"grams": {SECRET: SECRET}},
        f'{{"grams": "{SECRET}"}}',
        f'{{"grams": {SECRET}}}',
        SECRET,
        [SECRET],
        "s3://",
    ],
)
def test_no_payload_is_logged_of_a_request_that_is_refused(event: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MillraceError):
        WeighParcelHandler.get_handler()(event)
    said = written(capsys)
    assert [line["level"] for line in said.logs] == ["ERROR"]
    assert SECRET not in said.text


def test_not_even_the_name_of_an_unknown_field(capsys: pytest.CaptureFixture[str]) -> None:
    class Strict(Parcel, forbid_unknown_fields=True):
        """Takes no more."""

    class WeighStrictly(LambdaHandler[Strict, Postage]):
        """Says what a parcel costs."""

        def handle(self, request: Strict, invocation: Invocation) -> Postage:  # noqa: ARG002
            return Postage(0)

    with pytest.raises(RequestError, match=SECRET):  # whoever has sent it is told
        WeighStrictly.get_handler()({"grams": 1, SECRET: 1})
    said = written(capsys)
    assert said.logs[0]["message"] == "request refused: RequestError at $"
    assert SECRET not in said.text


def test_a_line_that_cannot_be_written_does_not_show_its_arguments() -> None:
    program = f"""
from app.telemetry import configure, logger
class Unwritable:
    def __str__(self):
        raise ValueError("{SECRET}")
configure()
logger.info("%d grams", "{SECRET}")
logger.info("weighed", extra={{"parcel": Unwritable(), "of": "{SECRET}"}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["message"] for line in lines] == ["cannot write a log line"] * 2
    assert SECRET not in done.stderr


def test_a_request_that_is_refused_is_logged_by_its_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RequestError):
        WeighParcelHandler.get_handler()({"grams": SECRET}, LambdaContext())
    [line] = written(capsys).logs
    assert line["message"] == "request refused: RequestError at $.grams"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (CloudError("no"), CloudError),
        (ValueError("no"), HandlerFailedError),
        (RecursionError("no"), HandlerFailedError),
        (SystemExit(3), SystemExit),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_metrics_are_written_when_it_fails(
    error: BaseException, raised: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(raised):
        invoke(raising(error))
    [line] = written(capsys).metrics
    assert (line["invocations"], line["success"], line["failure"], line["begun"]) == (1, 0, 1, 1)
    assert line["duration"] >= 0


def test_and_when_it_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(lambda given: given.metrics.count("rows", 3), settings=Settings(metrics_namespace="Mill")) is None
    [line] = written(capsys).metrics
    assert (line["invocations"], line["success"], line["failure"], line["rows"]) == (1, 1, 0, 3)
    assert line["handler"] == "test"
    [definition] = line["_aws"]["CloudWatchMetrics"]
    assert (definition["Namespace"], definition["Dimensions"]) == ("Mill", [["handler"]])
    units = {metric["Name"]: metric["Unit"] for metric in definition["Metrics"]}
    assert units == dict.fromkeys(["invocations", "cold_starts", "rows", "success", "failure"], "Count") | {
        "duration": "Milliseconds"
    }


def test_and_when_the_handler_cannot_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    class Unopened(WeighParcelHandler):
        @classmethod
        def open(cls, settings: Settings) -> Unopened:  # noqa: ARG003
            raise NotFoundError("model: there is none")

    with pytest.raises(NotFoundError):
        Unopened.get_handler()({"grams": 1})
    [line] = written(capsys).metrics
    assert (line["success"], line["failure"]) == (0, 1)


def test_a_typed_error_comes_as_it_is() -> None:
    error = NotFoundError("ride 7: there is none")
    with pytest.raises(NotFoundError) as raised:
        invoke(raising(error))
    assert raised.value is error
    assert (raised.value.exit_code, raised.value.status) == (72, 404)
    assert raised.value.__suppress_context__


def test_any_other_becomes_one_that_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HandlerFailedError) as raised:
        invoke(raising(ValueError(SECRET)))
    assert str(raised.value) == "handler test failed with ValueError; the log of request request-1 has where"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    said = written(capsys)
    [line] = said.logs
    assert (line["message"], line["exception"]) == ("handler failed", "ValueError")
    assert line["frames"][-1].startswith(__file__)
    assert SECRET not in said.text


def test_a_process_starts_cold_once() -> None:
    program = """
from app.handlers.invocation import run
from app.settings import Settings
print(*(run("test", lambda given: given.cold_start, settings=Settings()) for _ in range(3)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
    assert [json.loads(line)["cold_starts"] for line in done.stderr.splitlines()] == [1, 0, 0]


def test_a_setting_that_cannot_be_is_told_before_any_work() -> None:
    program = "from tests.handlers_for_tests import WeighParcelHandler as W; W.get_handler()({'grams': 1})"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"TEST_RUN": "perhaps"}, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "app.errors.SettingsError: TEST_RUN is 'perhaps': set True or False"


def test_bound_fields_nest_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("millrace")
    with telemetry.bound({"a": 1, "b": 1}):
        with telemetry.bound({"b": 2}):
            logger.info("inner")
        logger.info("outer")
    logger.info("none")
    assert [(line.get("a"), line.get("b")) for line in written(capsys).logs] == [(1, 2), (1, 1), (None, None)]
