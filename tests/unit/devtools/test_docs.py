"""The pages that are made from the code: each is in `docs/` as it is made, and what it says is true."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest

from app import errors
from app.cli.handlers import described
from app.errors import MillraceError
from app.handlers import sources
from app.registry import HANDLERS, settings_of_domains
from app.settings import Settings
from devtools.docs import PAGES
from devtools.docs.exit_codes import exit_codes
from devtools.docs.handlers import SOURCES, WRITE_ONE, example, handlers
from devtools.docs.schema_tables import constraints_of, fields_of, objects_of, shape_of, summary_of, table
from devtools.docs.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_in_docs_as_it_is_made(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "run: python -m devtools.docs"


def test_the_settings_have_every_variable_with_a_description() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| [^|]* \| (.*) \|$", settings(), flags=re.MULTILINE))
    kinds: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]
    for kind in kinds:
        for field in msgspec.structs.fields(kind):
            assert field.name == "environ" or rows[field.name.upper()]


def test_the_settings_have_every_variable_that_stands_for_an_option() -> None:
    folders = [ROOT / "app", ROOT / "devtools"]
    named = {
        name
        for folder in folders
        for path in folder.rglob("*.py")
        for name in re.findall(r'envvar="([A-Z_]+)"', path.read_text())
    }
    assert named
    assert {name for name in named if f"| `{name}` |" not in settings()} == set()


def test_the_exit_codes_have_every_error() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MillraceError)]
    for kind in kinds:
        assert f"| {kind.exit_code} | `{kind.__name__}` | {kind.status} |" in exit_codes()
    assert len(kinds) == exit_codes().count("Error` | ")


class TestHandlers:
    def test_names_every_field_of_every_handler(self) -> None:
        for name in HANDLERS:
            section = handlers().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
            handler = described(name)
            assert handler.qualified_name in section
            for schema in (handler.request, handler.response):
                for kind, each in objects_of(schema):
                    assert f"**`{kind}`**" in section
                    for field in each["properties"]:
                        assert f"| `{field}` |" in section

    def test_has_an_example_of_each_that_its_handler_takes(self) -> None:
        without = [name for name in HANDLERS if HANDLERS[name].example is None]
        assert without == ["stream"]  # `millrace invoke stream` brings its own event
        for name in set(HANDLERS) - {"stream"}:
            HANDLERS.handler_class(name).decode(json.dumps(HANDLERS[name].example))

    def test_lists_every_source(self) -> None:
        there = {
            (path.stem, function)
            for path in Path(sources.__file__).parent.glob("*.py")
            for function in re.findall(r"^def (\w+_handler)\(", path.read_text(), re.MULTILINE)
        }
        assert {(module, function) for module, function, *_ in SOURCES} == there

    def test_its_way_of_writing_one_works(self, tmp_path: Path) -> None:
        code, command = re.findall(r"```(?:python|sh)\n(.*?)```", WRITE_ONE, re.DOTALL)
        (tmp_path / "parcels.py").write_text(code)
        variable, _, *arguments = shlex.split(command)
        assert variable == "PYTHONPATH=."
        done = subprocess.run(
            [sys.executable, "-P", "-m", "app.cli.lambda_request", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": f".:{ROOT}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == {"cents": 250}
        assert '"parcels":1' in done.stderr


def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    answers: dict[str, Any] = {}
    here = [name for name in HANDLERS if "s3://" not in example(name)]  # the others need a bucket: test_alert_files.py
    for name in sorted(here, key=lambda name: name != "put-json-to-file"):  # the others read what it wrote
        command = example(name).replace("/tmp/", f"{tmp_path}/")  # noqa: S108 - the reader's, not ours
        done = subprocess.run(
            ["bash", "-c", command.replace("millrace ", f"{shlex.quote(sys.executable)} -m app.cli ")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        answers[name] = json.loads(done.stdout)
    assert answers["get-json-from-file"] == answers["router"] == {"content": {"rides": [1, 2]}}
    assert answers["bike-predict"]["predictions"][0]["prediction"]["pred_id"] == 123
    assert answers["update-lookup-table"]["taken"] == 1
    assert answers["stream"]["predictions"][0]["prediction"] == answers["bike-predict"]["predictions"][0]["prediction"]


class Colour(msgspec.Struct, tag="colour"):
    """A colour.

    Attributes:
        name: What it is called, in
            English.
        red: Of 255.
    """

    red: Annotated[int, msgspec.Meta(ge=0, le=255)]
    name: Annotated[str, msgspec.Meta(max_length=1)] = "x"
    mixed: Annotated[str, msgspec.Meta(description="Of what.")] | None = None
    of: Colour | None = None


class Everything(msgspec.Struct, forbid_unknown_fields=True):
    """All sorts."""

    data: bytes
    pairs: dict[str, Annotated[float, msgspec.Meta(gt=0, lt=1)]]
    colours: Annotated[list[Colour], msgspec.Meta(min_length=1, max_length=3)]
    choice: Literal["a|b", "c"]
    either: Annotated[int, msgspec.Meta(multiple_of=5)] | Annotated[str, msgspec.Meta(pattern="^x|y$")]
    words: list[Annotated[str, msgspec.Meta(min_length=2)]]
    anything: Any = None


class TestSchemaTables:
    schema = msgspec.json.schema(Everything)

    def fields(self, kind: str) -> Mapping[str, Any]:
        return {field.name: field for field in fields_of(dict(objects_of(self.schema))[kind])}

    def test_types_in_words(self) -> None:
        assert shape_of(self.schema) == "`Everything`"
        assert {name: field.type for name, field in self.fields("Everything").items()} == {
            "data": "string (base64)",
            "pairs": "object of number",
            "colours": "list of `Colour`",
            "choice": '`"a|b"` or `"c"`',
            "either": "integer or string",
            "words": "list of string",
            "anything": "any JSON",
        }
        assert shape_of(msgspec.json.schema(list[Colour] | None)) == "list of `Colour` or null"

    def test_constraints_in_words(self) -> None:
        told = {name: field.constraints for name, field in self.fields("Everything").items()}
        assert told == {
            "data": "",
            "pairs": "each over 0, below 1",
            "colours": "1 to 3 items",
            "choice": "",
            "either": "integer: a multiple of 5; string: matches `^x|y$`",
            "words": "each at least 2 characters",
            "anything": "",
        }
        assert constraints_of(msgspec.json.schema(Annotated[int, msgspec.Meta(ge=3)] | None)) == "at least 3"

    def test_defaults_and_what_must_be_there(self) -> None:
        fields = self.fields("Everything")
        assert [name for name, field in fields.items() if not field.required] == ["anything"]
        assert fields["anything"].default == "`null`"
        assert list(self.fields("Colour")) == ["type", "red", "name", "mixed", "of"]  # first what must be there
        assert self.fields("Colour")["name"].default == '`"x"`'
        assert self.fields("Colour")["name"].constraints == "at most 1 character"

    def test_descriptions_are_the_docstrings(self) -> None:
        colour = dict(objects_of(self.schema))["Colour"]
        assert summary_of(colour) == "A colour."
        told = {field.name: field.description for field in fields_of(colour)}
        assert told == {
            "type": "", "red": "Of 255.", "name": "What it is called, in English.", "mixed": "Of what.", "of": "",
        }  # fmt: skip

    def test_each_object_comes_once_also_where_it_holds_itself(self) -> None:
        assert [name for name, _ in objects_of(self.schema)] == ["Everything", "Colour"]

    def test_a_table_keeps_its_columns(self) -> None:
        assert table(["a", "b"], [["x|y", ""]]) == "| a | b |\n| --- | --- |\n| x\\|y |  |\n"
