"""`millrace model list`, `show` and `verify`."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli.tree import command_tree
from app.errors import DigestMismatchError, ModelError, SettingsError, UnknownRunError
from app.inference.bundle import Bundle, write_bundle
from app.inference.manifest import MANIFEST, Field, Manifest, Target
from app.storage.objects import FolderObjects

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

FIELDS = [Field("t1", "double"), Field("open", "boolean"), Field("hum", "double", required=False)]


def bundle(location: Path, name: str, run_id: str, created: str, coef: tuple[float, ...] = (1, 2, 0)) -> Bundle:
    file = io.BytesIO()
    np.savez(file, coef=np.array(coef), intercept=np.array(0.5))
    metrics = {"test_rmse": 1.25, "test_bias": -0.5, "a": 1.0, "hidden": 2.0}
    manifest = Manifest(name, run_id, name, created, FIELDS[: len(coef)], metrics, "", "", {}, Target("cnt"))
    return write_bundle(FolderObjects(location / name / run_id), manifest, {"model.npz": file.getvalue()})


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """Two runs of one model, one of another."""
    bundle(tmp_path, "rides", "a" * 32, "2026-01-01T00:00:00+00:00", (1, 2))
    bundle(tmp_path, "rides", "b" * 32, "2026-03-01T00:00:00+00:00", (1, 2))
    bundle(tmp_path, "fares", "c" * 32, "2026-02-01T00:00:00+00:00", (1, 2))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_tree(), ["model", *map(str, arguments)])


def test_list_shows_the_newest_first(location: Path) -> None:
    done = run("list", "--location", location)
    lines = [line for line in done.stdout.splitlines() if "2026-" in line]
    assert [line.split()[3] for line in lines] == ["b" * 32, "c" * 32, "a" * 32]
    assert "test_rmse 1.25" in lines[0]
    assert "hidden" not in lines[0]
    as_json = [
        msgspec.json.decode(line, type=Manifest)
        for line in run("list", "--location", location, "--json").stdout.splitlines()
    ]
    assert [each.name for each in as_json] == ["rides", "fares", "rides"]


def test_list_goes_on_beside_what_is_no_bundle(location: Path) -> None:
    (location / "rides" / ("a" * 32) / MANIFEST).write_text("{}")
    done = run("list", "--location", location)
    assert done.exit_code == 0
    assert "b" * 32 in done.stdout
    assert "not a bundle: " in done.stderr


def test_show_prints_the_newest_or_the_run_that_is_asked_for(location: Path) -> None:
    assert "b" * 32 in run("show", "rides", "--location", location).stdout
    shown = run("show", "rides", "aaaa", "--location", location).stdout
    assert "a" * 32 in shown
    for words in ("cnt: a number", "t1", "boolean", "hidden", "model.npz"):
        assert words in shown
    assert isinstance(run("show", "bike", "--location", location).exception, UnknownRunError)


def test_verify_predicts_with_each_bundle(location: Path) -> None:
    done = run("verify", "--location", location)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("right") == 3


def test_our_own_bundles_are_right() -> None:
    done = run("verify")
    assert (done.exit_code, done.stdout.count("right"), done.stdout.count("files right")) == (0, 3, 2), done.stderr


def test_a_run_id_is_whole_in_a_narrow_terminal(location: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.terminal.PIPE_WIDTH", 60)
    for command in ("list", "verify"):
        shown = run(command, "--location", location).stdout
        assert "rides" in shown
        assert shown.count("a") >= len("a" * 32)
        assert "…" not in shown.replace(", …", "")


def test_verify_tells_a_changed_file(location: Path) -> None:
    file = location / "rides" / ("a" * 32) / "model.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = run("verify", "--location", location)
    assert isinstance(done.exception, DigestMismatchError)
    assert (done.stdout.count("right"), done.stdout.count("changed")) == (2, 1)
    assert run("verify", "fares", "--location", location).exit_code == 0


def test_verify_tells_a_model_that_does_not_load(location: Path) -> None:
    bundle(location, "wide", "d" * 32, "2026-04-01T00:00:00+00:00", (1.5e308, 1.5e308, 0))
    done = run("verify", "wide", "--location", location)
    assert isinstance(done.exception, ModelError)
    assert done.exception.exit_code == 20
    assert "unusable" in done.stdout


def test_the_worst_finding_is_the_exit_code(location: Path) -> None:
    bundle(location, "wide", "d" * 32, "2026-04-01T00:00:00+00:00", (1.5e308, 1.5e308, 0))
    (location / "fares" / ("c" * 32) / "model.npz").write_bytes(b"")
    done = run("verify", "--location", location)
    assert isinstance(done.exception, DigestMismatchError)
    assert "predicts nothing for a row of ones" in done.stderr


def test_import_without_its_packages_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "model.importing.run", raising=False)
    done = run("import", "runs:/x/model", "--name", "toy")
    assert isinstance(done.exception, SettingsError)
    assert "./scripts/import_model.sh" in str(done.exception)
