"""Whatever JSON is put comes back the same, however it was sent; whatever is no JSON is refused in one line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domains.general.handlers import GetJSONFromFileHandler, PutJSONToFileHandler
from app.errors import MillraceError, RequestError

get_json = GetJSONFromFileHandler.get_handler()
put_json = PutJSONToFileHandler.get_handler()

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
contents = st.recursive(scalars, lambda each: st.lists(each) | st.dictionaries(texts, each), max_leaves=20)
wild = st.recursive(
    scalars | st.floats() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20
)


@given(contents, st.booleans())
def test_what_is_put_is_got(content: Any, parsed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        event = {"content": content, "path": f"{folder}/file.json"}
        put_json(event if parsed else json.dumps(event))
        got = get_json({"path": f"{folder}/file.json"})
    assert json.dumps(got["content"]) == json.dumps(content)  # types, digits, signs and the order of keys


@given(wild)
def test_what_is_no_json_is_refused_and_never_written_as_something_else(content: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        try:
            put_json({"content": content, "path": str(path)})
        except RequestError as error:
            assert "\n" not in str(error)
            assert not path.exists()
        else:
            assert json.dumps(json.loads(path.read_bytes())) == json.dumps(content)


@given(st.binary())
def test_any_file_is_content_or_one_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        path.write_bytes(data)
        try:
            json.dumps(get_json({"path": str(path)}), allow_nan=False)
        except MillraceError as error:
            assert len(str(error).splitlines()) == 1
