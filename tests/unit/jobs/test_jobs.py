"""Files that pass through steps: a small job of two steps, and the parts that every job shares."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from app.errors import LocationError, RequestError, StateConflictError, UnacknowledgedError, UnreadableStateError
from app.jobs.context import StepContext
from app.jobs.driver import drive
from app.jobs.events import located
from app.jobs.head import FolderState, Head, commit_head, load_head, state_key
from app.jobs.layout import OUTPUT, Layout, Step, chunk_id, file_run, manifest_name, split_chunk_id, tenant_slug
from app.jobs.plan import need, put_json, read_chunk
from app.storage.objects import MemoryObjects
from app.storage.state import MemoryState, Stored

if TYPE_CHECKING:
    from pathlib import Path

JOB = "words"
LAYOUT = Layout(Step("split", "input/"), Step("count", "scratch/parts/", ".json"))


def do_step(context: StepContext[None], step: str, name: str) -> list[str]:
    """A job that counts the words of a file, line by line."""
    context.check_time(name)
    if step == "split":
        run = file_run(name, "digest")
        lines = (context.objects.get(name) or b"").decode().splitlines()
        parts = [f"scratch/parts/{chunk_id(run, number)}.json" for number in range(len(lines))]
        for part, line in zip(parts, lines, strict=True):
            put_json(context.objects, part, line.split())
        return parts
    run, _ = split_chunk_id(LAYOUT.unit(name, step).removesuffix(".json"))
    key = state_key(JOB, context.objects.root, "default")
    head = load_head(context.store, key)
    total = need(context.objects, head.state, int) if head.state else 0
    state = f"state/{head.version + 1}"
    put_json(context.objects, state, total + len(need(context.objects, name, list[str])))
    commit_head(context.store, key, Head(head.version + 1, state, head.state))
    put_json(context.objects, manifest_name(run), {"state": state})
    return [manifest_name(run)]


def context_of(text: bytes) -> StepContext[None]:
    return StepContext(MemoryObjects({"input/a.txt": text}), MemoryState(), None)


def test_a_job_of_two_steps() -> None:
    context = context_of(b"one two\nthree\n")
    results = drive(context.objects, LAYOUT, ["input/a.txt"], lambda step, name: do_step(context, step, name))
    assert [name.startswith(OUTPUT) for name in results] == [True]
    head = load_head(context.store, state_key(JOB, context.objects.root, "default"))
    assert (head.version, need(context.objects, head.state or "", int)) == (2, 3)


def test_a_step_that_another_file_was_quicker_than_is_done_again() -> None:
    context, tries = context_of(b"one"), []

    def contested(step: str, name: str) -> list[str]:
        tries.append(step)
        if len(tries) == 2:
            raise StateConflictError("another file was first")
        return do_step(context, step, name)

    drive(context.objects, LAYOUT, ["input/a.txt"], contested)
    assert tries == ["split", "count", "count"]


def test_an_object_that_is_not_there_yet_is_left_out() -> None:
    context = context_of(b"")
    assert drive(context.objects, LAYOUT, ["scratch/parts/a.00000.json"], lambda *_: ["never"]) == []


def test_a_step_without_time_says_what_to_do() -> None:
    context = StepContext(MemoryObjects(), MemoryState(), None, is_late=lambda: True)
    with pytest.raises(UnacknowledgedError, match=r"run r: no time is left: .* give the function more time"):
        context.check_time("run r")


def test_a_missing_or_damaged_object_is_one_line() -> None:
    objects = MemoryObjects({"a": b'{"x": "secret"}'})
    with pytest.raises(LocationError, match="memory/b: there is no such object: run the step before this one first"):
        need(objects, "b", int)
    with pytest.raises(LocationError, match=r"^memory/a: not what this step reads$"):
        need(objects, "a", int)


@pytest.mark.parametrize(
    "location", ["folder/input/a", "s3:///input/a", "s3://b/scratch/parts/a.json", "s3://b/input/"]
)
def test_a_request_names_an_object_in_s3_that_starts_the_step(location: str) -> None:
    assert located("s3://b/p/input/a b", "split", LAYOUT) == ("s3://b/p", "input/a b")
    with pytest.raises(RequestError, match=r"^\$\.location: give s3://"):
        located(location, "split", LAYOUT)


def test_runs_have_names_of_their_own() -> None:
    names = [("input/a.json", "1"), ("input/a.json", "2"), ("input/b.json", "1"), ("input/x/a.json", "1")]
    assert len({file_run(*each) for each in names}) == len(names)
    assert file_run("input/ä öß?.json", "1").isascii()
    posing = f"ac-me-{hashlib.sha256(b'ac me').hexdigest()[:16]}"  # as the slug of `ac me` is
    tenants = ["acme", "ac me", "ac?me", "a" * 300, "a" * 301, "../x", posing]
    slugs = {tenant_slug(each) for each in tenants}
    assert len(slugs) == len(tenants)
    assert not any("/" in each or "." in each for each in slugs)


def test_no_tenant_has_the_head_of_another_or_of_another_prefix() -> None:
    places = [("s3://b", "a/acme"), ("s3://b/a", "acme"), ("s3://b/a", "ac/me"), ("s3://b/a/ac", "me")]
    assert len({state_key(JOB, *each) for each in places}) == len(places)
    assert len(state_key(JOB, "s3://" + "b" * 63 + "/" + "é" * 512, "ü" * 256).encode()) <= 2048  # DynamoDB's limit


def test_a_folders_store_lets_one_writer_win(tmp_path: Path) -> None:
    store = FolderState(tmp_path / "heads")
    assert store.load(["a/b"]) == {}
    store.commit("a/b", Stored(b"1\n\x00"), None)
    for expected in (None, Stored(b"", revision=2)):
        with pytest.raises(StateConflictError):
            store.commit("a/b", Stored(b"lost", revision=9), expected)
    store.commit("a/b", Stored(b"2", revision=10**30), Stored(b""))
    assert FolderState(tmp_path / "heads").load(["a/b", "c"]) == {"a/b": Stored(b"2", revision=10**30)}
    [path] = (tmp_path / "heads").glob("*.state")
    path.write_bytes(b"something else")
    with pytest.raises(UnreadableStateError, match="no state that a step wrote: restore or delete it"):
        store.load(["a/b"])


@pytest.mark.parametrize("chunk", ["rubbish", "run.", "run.x"])
def test_what_is_no_chunks_id_is_one_line(chunk: str) -> None:
    with pytest.raises(LocationError, match="is no chunk's id"):
        read_chunk(MemoryObjects(), chunk)
