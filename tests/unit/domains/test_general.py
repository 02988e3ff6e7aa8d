"""JSON from a file and to one: kept as it is, and each thing that can be wrong as one line."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from app.budgets import MOST_ELEMENTS
from app.domains.general.handlers import LEVELS, GetJSONFromFileHandler, PutJSONToFileHandler
from app.errors import LocationError, MillraceError, RequestError, SettingsError, UnprocessableError
from app.settings import read_settings
from tests.handlers_for_tests import LambdaContext, written

if TYPE_CHECKING:
    from pathlib import Path

EXACT = '{"z":1,"a":[123456789012345678901234567890,-9223372036854775809,0.1,1e-07,1.0,"ä\\u0000\\n🚲"],"":null}'

get_json = GetJSONFromFileHandler.get_handler()
put_json = PutJSONToFileHandler.get_handler()


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


class TestGet:
    @pytest.mark.parametrize("written_as", ["{}", "file://{}"])
    def test_reads_a_file(self, tmp_path: Path, written_as: str) -> None:
        path = tmp_path / "rides and more.json"
        path.write_text(EXACT)
        found = get_json({"path": written_as.format(path)})
        assert json.dumps(found["content"]) == json.dumps(json.loads(EXACT))  # with the order of its keys

    def test_null_is_content(self, tmp_path: Path) -> None:
        (tmp_path / "null.json").write_text(" null\n")
        assert get_json({"path": str(tmp_path / "null.json")}) == {"content": None}

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"secret: yaml", "not JSON"),
            (b'{"a": NaN}', "not JSON"),
            (b'{"a": 1e999}', "range"),
            (b'{"a": "\xff"}', "not JSON"),
            (b"\xef\xbb\xbf{", "not JSON"),
            (json.dumps(nested(LEVELS + 1)).encode(), "nested more than"),
            (b"[" * 100_000, "nested too deeply"),
            (b"9" * 10_000, "range"),
            (b"[" + b"[]," * MOST_ELEMENTS + b"[]]", "more than 524288 values and fields"),
        ],
    )
    def test_a_file_that_cannot_be_answered_with_is_one_line(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(UnprocessableError, match=words) as caught:
            get_json({"path": str(path)})
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
        assert caught.value.field == "$.path"

    def test_as_deep_as_is_promised(self, tmp_path: Path) -> None:
        (tmp_path / "deep.json").write_text(json.dumps(nested(LEVELS)))
        assert get_json({"path": str(tmp_path / "deep.json")}) == {"content": nested(LEVELS)}

    @pytest.mark.parametrize(
        ("path", "words"),
        [("/nowhere/x", "No such file"), ("/proc", "Is a directory"), ("/proc/self/mem", "Input/output error")],
    )
    def test_a_file_that_cannot_be_read_is_one_line(self, path: str, words: str) -> None:
        with pytest.raises(LocationError, match=f"^{path}: cannot be read: {words}"):
            get_json({"path": path})

    @pytest.mark.parametrize(
        "path", ["-", "http://example.com/x", "s3://", "s3://bucket", "s3://bucket/", "ftp://x/y", ""]
    )
    def test_what_is_no_place_is_refused(self, path: str) -> None:
        with pytest.raises(RequestError) as caught:
            get_json({"path": path})
        assert caught.value.field == "$.path"

    @pytest.mark.parametrize("event", [{}, {"path": 1}, {"path": "x", "more": 1}, "x", None, []])
    def test_is_strict(self, event: Any) -> None:
        with pytest.raises(RequestError):
            get_json(event)

    def test_logs_no_path_that_a_request_made_up_and_no_content(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text("secret")
        with pytest.raises(UnprocessableError):
            get_json({"path": str(tmp_path / "file")})
        assert "secret" not in written(capsys).text


class TestPut:
    @pytest.mark.parametrize("path", ["new/rides.json", "file:{}/new/rides.json"])
    def test_writes_a_file_exactly(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
        monkeypatch.chdir(tmp_path)
        given = path.format(f"//{tmp_path}")
        for event in (f'{{"content": {EXACT}, "path": "{given}"}}', {"content": json.loads(EXACT), "path": given}):
            assert put_json(event) == {"path": given}
            assert (tmp_path / "new/rides.json").read_text() == EXACT
            (tmp_path / "new/rides.json").unlink()

    def test_writes_over_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("something longer")
        put_json({"content": None, "path": str(tmp_path / "file")})
        assert (tmp_path / "file").read_text() == "null"

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (math.nan, "NaN"),
            ({"a": [math.inf]}, "infinity"),
            ("\ud800", "surrogate"),
            ({"\udfff": 1}, "surrogate"),
            pytest.param(10**5000, "digits", id="huge"),
            pytest.param(nested(LEVELS + 1), "nested more than 500 levels", id="deep"),
            pytest.param(nested(50_000), "nested", id="deepest"),
            (object(), "of a type that JSON does not have"),
        ],
    )
    def test_content_that_is_no_json_is_refused_and_nothing_written(
        self, tmp_path: Path, content: Any, words: str
    ) -> None:
        with pytest.raises(RequestError, match=words):
            put_json({"content": content, "path": str(tmp_path / "file")})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("path", "kind"),
        [("-", RequestError), ("http://x/y", RequestError), ("", RequestError), ("/proc/x/y", LocationError)],
    )
    def test_what_cannot_be_written_is_one_line(self, path: str, kind: type[MillraceError]) -> None:
        with pytest.raises(kind) as caught:
            put_json({"content": 1, "path": path})
        assert "\n" not in str(caught.value)

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(LocationError, match="it is a folder"):
            put_json({"content": 1, "path": str(tmp_path)})

    def test_without_a_path_it_needs_a_bucket(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DEFAULT_BUCKET_NAME", raising=False)
        with pytest.raises(SettingsError, match=r"^DEFAULT_BUCKET_NAME is not set: name a bucket, or give a path"):
            PutJSONToFileHandler.get_handler()({"content": 1})

    def test_without_a_path_it_makes_one_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEFAULT_BUCKET_NAME", "rides")
        put: dict[str, bytes] = {}
        monkeypatch.setattr("app.domains.general.handlers.write_location", put.__setitem__)
        answer = PutJSONToFileHandler.get_handler()('{"content": {"b": 1, "a": 2}}', LambdaContext())
        digest = hashlib.sha256(b'{"b":1,"a":2}').hexdigest()
        assert answer == {"path": f"s3://rides/scratch/request-1/{digest}"}
        assert put == {answer["path"]: b'{"b":1,"a":2}'}

    @pytest.mark.parametrize("event", [{}, {"path": "x"}, {"content": 1, "path": 1}, {"content": 1, "more": 1}, None])
    def test_is_strict(self, event: Any) -> None:
        with pytest.raises(RequestError):
            put_json(event)


def test_content_may_be_null_and_path_too() -> None:
    assert PutJSONToFileHandler.open(read_settings({"DEFAULT_BUCKET_NAME": "rides"})).default_bucket == "rides"
    request = PutJSONToFileHandler.decode({"content": None, "path": None})
    assert (request.content, request.path) == (None, None)


def test_a_setting_says_which_files_a_request_may_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in.json").write_text("1")
    (tmp_path / "in" / "a.json").write_text("2")
    monkeypatch.setenv("ALLOWED_LOCATIONS", f"s3://bucket/rides,{tmp_path}/in")
    read, write = GetJSONFromFileHandler.get_handler(), PutJSONToFileHandler.get_handler()
    assert read({"path": f"{tmp_path}/in/a.json"}) == {"content": 2}
    write({"path": f"{tmp_path}/in/b.json", "content": 3})
    for path in (f"{tmp_path}/in.json", f"{tmp_path}/in/../in.json", "/etc/passwd", "s3://bucket/rides2/a.json"):
        for handler, request in ((read, {"path": path}), (write, {"path": path, "content": 4})):
            with pytest.raises(RequestError, match=r"^\$\.path: .* is below none of ALLOWED_LOCATIONS$"):
                handler(request)
    assert (tmp_path / "in.json").read_text() == "1"
