"""`millrace state`: a key that is parked on a stream, shown, mended and resumed, as a person does it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.storage.items import to_attributes
from app.storage.spilling import open_state
from app.storage.state import Stored
from app.storage.state_table import create_state_table
from app.stream.shards import StartingPosition, read_stream
from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


class Room:
    """A stream read by a pipeline that counts the records of a key, its table, and its quarantine."""

    def __init__(self, new_stream: Callable[..., str], folder: Path) -> None:
        self.source, self.output, self.aside = new_stream("in"), new_stream("out"), new_stream("aside")
        self.table, self.folder = f"states-{next(_numbers)}", folder
        create_state_table(self.table)
        self.variables = {
            "PIPELINE": "tests.pipelines_for_tests:CountingPipeline",
            "OUTPUT_STREAM": self.output,
            "QUARANTINE_STREAM": self.aside,
            "STATE_TABLE": self.table,
        }
        self.keys = ""

    def run(self, *arguments: str, expect: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        done = run_command("millrace", arguments, environ={**self.variables, **variables}, folder=ROOT)
        assert done.returncode == expect, done.stderr
        return done

    def feed(self, keys: str) -> None:
        """Put a record for each letter, and process the stream from where the last call ended."""
        file = self.folder / "records.jsonl"
        file.write_text("\n".join(json.dumps({"n": n, "key": key}) for n, key in enumerate(keys, len(self.keys))))
        self.keys += keys
        self.run("feed", str(file), "--stream", self.source, "--key-field", "key")
        self.run("run", "--stream", self.source, "--drain", "--checkpoint", str(self.folder / "checkpoint"))

    def counts(self, key: str) -> list[int]:
        """Return the counts of a key's outputs, each once, in the order of the stream."""
        found: dict[str, int] = {}
        for data in read_stream(self.output, StartingPosition()):
            each = json.loads(data)
            if self.keys[each["n"]] == key:
                found.setdefault(each["id"], each["count"])
        return list(found.values())

    def change(self, key: str, expression: str, **values: Any) -> None:
        """Change an item by hand."""
        aws.client("dynamodb").update_item(
            TableName=self.table,
            Key=to_attributes({"state_key": key}),
            UpdateExpression=expression,
            ExpressionAttributeNames={"#a": "applied"},
            **({"ExpressionAttributeValues": to_attributes(values)} if values else {}),
        )


@pytest.fixture
def room(new_stream: Callable[..., str], tmp_path: Path) -> Room:
    return Room(new_stream, tmp_path)


def test_a_parked_key_is_shown_mended_and_resumed(room: Room) -> None:
    room.feed("aabab")
    room.change("count/a", "REMOVE #a")
    room.feed("babaa")
    room.feed("ab")
    assert room.counts("b") == [1, 2, 3, 4, 5]
    assert room.counts("a") == [1, 2, 3]

    [line, _] = map(json.loads, room.run("state", "list").stdout.splitlines())
    assert (line["key"], line["parked"]["records"]) == ("count/a", 4)
    assert "no item of a state" in line["fault"]
    [only] = room.run("state", "list", "--parked").stdout.splitlines()
    assert json.loads(only) == line
    assert "no item of a state" in room.run("state", "resume", "count/a", expect=48).stderr
    put_back = room.run("replay", "--dry-run").stdout
    assert "0 of 0 records put back" in put_back

    room.change("count/a", "SET #a = :none", **{":none": {}})
    resumed = room.run("state", "resume", "count/a").stderr
    assert "count/a: 4 records processed; no longer parked" in resumed
    assert "count/a is not parked" in room.run("state", "resume", "count/a").stderr
    room.feed("a")
    assert room.counts("a") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert room.run("state", "list", "--parked").stdout == ""


def test_a_key_that_cannot_be_mended_begins_anew(room: Room) -> None:
    room.feed("aaab")
    for key in ("count/a", "count/b"):
        room.change(key, "REMOVE #a")
    room.feed("abab")
    assert "give a key, or --all" in room.run("state", "resume", expect=10).stderr
    said = room.run("state", "resume", "--all", expect=48).stderr
    assert "count/a: still parked: " in said
    assert "count/b: still parked: " in said
    assert "count/b: 2 records processed; no longer parked" in room.run("state", "resume", "--all", "--anew").stderr
    assert "no key is parked" in room.run("state", "resume", "--all").stderr
    assert room.counts("a") == [1, 2, 3, 1, 2]


def test_what_resume_lacks_is_one_line(room: Room) -> None:
    assert "STATE_TABLE is not set" in room.run("state", "list", expect=10, STATE_TABLE="").stderr
    room.feed("a")
    room.change("count/a", "REMOVE #a")
    room.feed("a")
    missing = room.run("state", "resume", "count/a", expect=41, QUARANTINE_STREAM=room.output).stderr
    assert "1 of 1 records that wait for 'count/a' are not in the quarantine" in missing
    other = room.run("state", "resume", "count/a", expect=10, PIPELINE="bike").stderr
    assert f"set PIPELINES={room.source}:count, or PIPELINE" in other
    assert "TEST_RUN publishes nothing" in room.run("state", "resume", "count/a", expect=10, TEST_RUN="True").stderr


def test_objects_that_no_item_names_are_removed_after_some_days(room: Room, tmp_path: Path) -> None:
    location = tmp_path / "states"
    state = open_state(room.table, str(location))
    before = None
    for revision in (1, 2, 3):
        state.commit("count/a", staged := Stored(b"x" * 400_000, revision=revision), before)
        before = staged
    [line] = room.run("state", "list", STATE_LOCATION=str(location)).stdout.splitlines()
    assert json.loads(line)["bytes"] == 400_000
    assert "0 objects removed; 1 in use, 2 kept" in room.run("state", "clean", STATE_LOCATION=str(location)).stderr
    assert "0 objects removed; 1 in use, 2 kept" in room.run("state", "clean", STATE_LOCATION=str(location)).stderr
    ledger = location / room.table / "unnamed.json"
    noted = {name: since_s - 7 * 86_400 for name, since_s in json.loads(ledger.read_bytes()).items()}
    ledger.write_text(json.dumps(noted))
    tried = room.run("state", "clean", "--dry-run", STATE_LOCATION=str(location))
    assert sorted(tried.stdout.splitlines()) == sorted(noted)
    assert "2 objects would be removed" in tried.stderr
    assert "2 objects removed; 1 in use, 0 kept" in room.run("state", "clean", STATE_LOCATION=str(location)).stderr
    assert state.load(["count/a"])["count/a"].value == b"x" * 400_000
    assert "STATE_LOCATION is not set" in room.run("state", "clean", expect=10).stderr
