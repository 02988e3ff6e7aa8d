"""A text may begin with the byte order mark of UTF-8, whoever reads it."""

from __future__ import annotations

import codecs
import gzip
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.cli.inputs import records_for
from app.cli.mapping import _json as option_json
from app.cli.run import _payload_of as record_to_explain
from app.domains.alerts.ait_ads import read_rows
from app.domains.alerts.formats.scanner import Scanner
from app.domains.general.handlers import GetJSONFromFileHandler
from app.handlers.api.lambda_events import HttpEvent
from app.handlers.request import decode
from app.handlers.sources.envelope import read_object
from app.stream.event import read_event
from app.stream.mapping.template import load_mapping
from app.stream.payload import decode_payload, json_decoder
from tests.unit.stream.test_event import SEED_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD = b'{"n": 1}'
_event = json.dumps(SEED_EVENT).encode()
_http = b'{"version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "GET", "path": "/"}}}'
_mapping = json.dumps({"EventSourceMappings": [{"EventSourceArn": "arn:aws:kinesis:eu-west-1:1:stream/s"}]}).encode()


def _fed(path: Path) -> object:
    records, _ = records_for("bike", path, None, key=None, key_field=None, endless=False)
    return list(records)


TEXTS: list[tuple[bytes, Callable[[bytes], object]]] = [
    (RECORD, lambda text: decode_payload(text, json_decoder(dict[str, int]))),
    (RECORD, lambda text: decode_payload(gzip.compress(text), json_decoder(dict[str, int]))),
    (RECORD, lambda text: decode(text, dict[str, int])),
    (RECORD, lambda text: decode(text.decode(), dict[str, int])),
    (RECORD, read_object),
    (RECORD, lambda text: Scanner(iter([text])).whole_value()),
    (_event, lambda text: read_event(text)[0].sequence_numbers),
    (_http, lambda text: HttpEvent(text)._event),
]
FILES: list[tuple[bytes, Callable[[Path], Any]]] = [
    (RECORD + b"\n" + RECORD, _fed),
    (RECORD + b"\n" + RECORD, lambda path: record_to_explain(str(path))),
    (RECORD, lambda path: option_json("--destination-config", f"file://{path}")),
    (RECORD, lambda path: GetJSONFromFileHandler.get_handler()({"path": str(path)})),
    (b"time,name\n1,a\n", lambda path: list(read_rows(path))),
    (_mapping, load_mapping),
]


@pytest.mark.parametrize(("text", "read"), TEXTS)
def test_a_text_with_a_byte_order_mark_is_read_as_without_it(text: bytes, read: Callable[[bytes], object]) -> None:
    plain = read(text)
    assert not isinstance(plain, Exception)
    assert msgspec.to_builtins(read(codecs.BOM_UTF8 + text)) == msgspec.to_builtins(plain)


@pytest.mark.parametrize(("content", "read"), FILES)
def test_a_file_with_a_byte_order_mark_is_read_as_without_it(
    content: bytes, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)
    plain = read(file)
    file.write_bytes(codecs.BOM_UTF8 + content)
    assert read(file) == plain
