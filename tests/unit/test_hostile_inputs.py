"""Files, requests and events made to fill the memory, or to be read for ever: each is refused at once, in one line."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.budgets import MOST_ELEMENTS, MOST_REQUEST_BYTES
from app.cli.inputs import records_for
from app.cli.lambda_request import answer
from app.cli.mapping import _json as option_json
from app.cli.run import _payload_of as record_to_explain
from app.domains.bike.handlers import PredictHandler
from app.domains.general.handlers import GetJSONFromFileHandler
from app.errors import BudgetError, EventError, MillraceError, SettingsError, TooLargeError
from app.handlers.api.binding import Binder, parse_route
from app.handlers.api.lambda_events import HttpEvent
from app.handlers.request import decode
from app.handlers.sources.envelope import read_object
from app.handlers.sources.eventbridge import read_event as read_bus_event
from app.router_function import RouterHandler
from app.storage.location import read_location
from app.storage.objects import FolderObjects
from app.stream.event import read_event
from app.stream.mapping.checkpoint import CheckpointFile
from app.stream.mapping.emulator import read_answer
from app.stream.mapping.filters import compile_criteria
from app.stream.mapping.settings import FilterCriteria
from app.stream.mapping.template import load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

LISTS = b"[" + b"[]," * MOST_ELEMENTS + b"[]]"
WITHIN_S = 1.0  # of CPU: an unbounded reader takes all that there is


def feed(path: Path, **given: Any) -> list[tuple[str, bytes]]:
    records, _ = records_for("bike", path, None, **{"key": None, "key_field": None, "endless": False, **given})
    return list(records)


FILE_READERS: dict[str, Callable[[Path], object]] = {
    "feed": feed,
    "explain": lambda path: record_to_explain(str(path)),
    "an option's file": lambda path: option_json("--destination-config", f"file://{path}"),
    "mapping --from": load_mapping,
    "mapping --checkpoint": lambda path: CheckpointFile(path).load("arn", "now"),
    "get-json-from-file": lambda path: GetJSONFromFileHandler.get_handler()({"path": str(path)}),
    "a location": lambda path: read_location(str(path)),
    "blocks of a folder": lambda path: list(FolderObjects(path.parent).blocks(path.name)),
}


@pytest.mark.parametrize("name", FILE_READERS)
def test_a_device_and_a_pipe_are_no_files(name: str, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for path in (Path("/dev/zero"), pipe, link):
        began = time.process_time()
        with pytest.raises(MillraceError, match=r"^[^\n]*not a (regular )?file[^\n]*$"):
            FILE_READERS[name](path)
        assert time.process_time() - began < WITHIN_S


@pytest.mark.parametrize("name", sorted(set(FILE_READERS) - {"feed", "explain", "blocks of a folder"}))
def test_a_file_that_is_read_as_a_whole_has_a_limit(name: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(8 * 1024**3)  # a hole: no disk is used
    with pytest.raises(BudgetError, match=r"^[^\n]*huge.json: more than \d+ bytes, [^\n]*$"):
        FILE_READERS[name](path)


def test_standard_input_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (lambda: read_location("-"), lambda: feed(Path("-")), lambda: record_to_explain("-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(MOST_REQUEST_BYTES + 1))))
        with pytest.raises(BudgetError, match=r"^standard input: more than"):
            read()


def http(body: bytes) -> bytes:
    return b'{"version":"2.0","rawPath":"/","x":' + body + b',"requestContext":{"http":{"method":"GET","path":"/"}}}'


BINDER: Binder[Any, Any] = Binder(PredictHandler, parse_route("/bike", "bike"), "POST")
TEXT_READERS: dict[str, tuple[Callable[[bytes], object], type[MillraceError]]] = {
    "a request": (lambda text: decode(text, Any), TooLargeError),
    "a request as text": (lambda text: decode(text.decode(), list[Any]), TooLargeError),
    "predictions": (PredictHandler.decode, TooLargeError),
    "a request over HTTP": (lambda text: BINDER.bind(text, {}, dict), TooLargeError),
    "a request to the router": (
        lambda text: RouterHandler.decode(b'{"handler":"x","event":' + text + b"}"), TooLargeError,
    ),
    "an event of HTTP": (lambda text: HttpEvent(http(text)), EventError),
    "an event of a source": (lambda text: read_object(b'{"Records":' + text + b"}"), EventError),
    "an event of a stream": (lambda text: read_event(b'{"Records":' + text + b"}"), EventError),
    "the detail of an event": (
        lambda text: read_bus_event({"source": "s", "detail-type": "t", "detail": text.decode()}), EventError,
    ),
    "a request on the command line": (lambda text: answer("get-json-from-file", lambda: text, None), TooLargeError),
    "an event on the command line": (
        lambda text: answer("stream", lambda: b'{"Records":' + text + b"}", None), EventError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXT_READERS)
def test_what_would_become_too_many_objects_is_not_parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_RUN", "True")
    read, error = TEXT_READERS[name]
    with pytest.raises(error, match=rf"^[^\n]*more than {MOST_ELEMENTS} values and fields[^\n]*$") as refused:
        read(LISTS)
    assert len(str(refused.value)) < 200


def test_the_local_mapping_lets_the_function_set_aside_what_it_cannot_look_into() -> None:
    passes = compile_criteria(msgspec.convert({"Filters": [{"Pattern": '{"data": {"n": [1]}}'}]}, FilterCriteria))
    envelope = {"kinesis": {"data": "", "partitionKey": "k"}, "eventSource": "aws:kinesis"}
    assert [passes(envelope, data) for data in (b'{"n": 1}', b'{"n": 2}', LISTS)] == [True, False, True]


def test_an_answer_of_too_many_objects_acknowledges_nothing() -> None:
    assert "more values and fields" in str(read_answer(200, {}, LISTS).fault)


# Records to feed.


def test_a_file_of_lines_is_read_line_by_line_however_often(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"pred_id": 1}\r\n\n{"n": 2}\n{"pred_id": "c"}')
    assert feed(path) == [("1", b'{"pred_id": 1}'), ("2", b'{"n": 2}'), ("c", b'{"pred_id": "c"}')]
    records, total = records_for("bike", path, 5, key="k", key_field=None, endless=False)
    assert total == 5
    assert [data[-3:] for _, data in records] == [b" 1}", b" 2}", b'c"}', b" 1}", b" 2}"]


def test_a_document_over_several_lines_is_its_elements(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"n": 1}, {"n": 2}], indent=1))
    assert [json.loads(data) for _, data in feed(path)] == [{"n": 1}, {"n": 2}]
    path.write_text(json.dumps({"n": [1, 2]}, indent=1))
    assert [json.loads(data) for _, data in feed(path)] == [{"n": [1, 2]}]


def test_no_record_is_fed_if_one_lacks_its_key(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n' * 3 + b'{"m": 1}')
    with pytest.raises(EventError, match="record 4: has no field 'n'"):
        records_for("bike", path, None, key=None, key_field="n", endless=False)


def test_a_record_of_too_many_objects_is_fed_and_has_its_number_for_a_key(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"pred_id": 7}\n{"pred_id":8,"x":' + LISTS + b"}")
    assert [key for key, _ in feed(path)] == ["7", "2"]
    with pytest.raises(EventError, match="record 2: has no field 'pred_id'"):
        feed(path, key_field="pred_id")


def test_a_line_or_a_document_that_would_fill_the_memory_says_how_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'{"n": 1}\n[' + b"1," * 50_000)
    monkeypatch.setattr("app.cli.inputs.MAX_JSON_BYTES", 50_000)
    with pytest.raises(
        BudgetError, match=r"rows.json, line 2: more than 50000 bytes: write one JSON record a line, .*jq"
    ):
        feed(path)
    path.write_bytes(b"[\n" + b'{"n": 1},\n' * 5000 + b'{"n": 1}\n]')
    monkeypatch.setattr("app.cli.inputs.MOST_ELEMENTS", 5000)
    with pytest.raises(BudgetError, match=r"rows.json: more than 5000 records in one list: write one"):
        feed(path)
    monkeypatch.setattr("app.cli.inputs.MOST_REQUEST_BYTES", 40_000)
    with pytest.raises(BudgetError, match=r"rows.json: more than 40000 bytes, .*: write one JSON record a line"):
        feed(path)
    path.write_bytes(b"[Mon] not JSON\n" * 5000)  # lines after all
    assert len(feed(path)) == 5000


# Templates.

LONG = "x" * 100_000


def template(value: Any, conditions: Any = None, many: str = "") -> bytes:
    """Return a template with a value to be resolved, two conditions, a long parameter and one of many values."""
    properties = {
        "EventSourceArn": "arn:aws:kinesis:eu-west-1:1:stream/s",
        "FunctionName": "f",
        "StartingPosition": "LATEST",
        "DestinationConfig": value,
    }
    return msgspec.json.encode(
        {
            "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}, **(conditions or {})},
            "Parameters": {
                "Long": {"Type": "String", "Default": LONG},
                "Many": {"Type": "CommaDelimitedList", "Default": many},
            },
            "Resources": {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}},
        }
    )


def doubling_aliases() -> bytes:
    lines = [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    return "\n".join(["a0: &a0 [x, x]", *lines, "Resources: {A: *a39}"]).encode()


HOSTILE_TEMPLATES = {
    "a long text, many times": template({"Fn::Sub": "${Long}" * 99}),
    "a long text, joined": template({"Fn::Join": ["", [{"Ref": "Long"}] * 99]}),
    "a long text within lists": template({"Fn::Join": ["", [[{"Ref": "Long"}] * 99]]}),
    "a long separator": template({"Fn::Join": ["-" * 9999, ["a"] * 999]}),
    "a list, many times": template([{"Ref": "Many"}] * 99, many="x," * 50_000),
    "conditions in a circle": template({"Fn::If": ["A", 1, 2]}, {"A": {"Fn::Not": [{"Condition": "A"}]}}),
    "aliases that double": doubling_aliases(),
    "nesting": b"Resources: " + b"[" * 5000 + b"]" * 5000,
}


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
def test_a_template_whose_values_grow_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_bytes(HOSTILE_TEMPLATES[name])
    with pytest.raises(SettingsError, match=r"^[^\n]*template.yaml[^\n]{,300}$"):
        load_mapping(path)


def test_a_condition_is_found_once_however_often_others_have_it(tmp_path: Path) -> None:
    conditions: dict[str, Any] = {f"C{n}": {"Fn::Or": [{"Condition": f"C{n + 1}"}] * 2} for n in range(60)}
    conditions["C60"] = {"Condition": "Never"}
    path = tmp_path / "template.json"
    path.write_bytes(template({"Fn::If": ["C0", "yes", {"Fn::Sub": "${Long}-${Long}"}]}, conditions))
    assert load_mapping(path)["DestinationConfig"] == f"{LONG}-{LONG}"
