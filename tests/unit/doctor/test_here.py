"""This machine: packages against the locked versions, and the model from its digest to a prediction."""

from __future__ import annotations

import shutil
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from app.doctor.finding import Finding, report_of
from app.doctor.here import examine_models, examine_python
from app.inference.bundle import OWN_BUNDLES
from app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_packages_are_held_against_the_locked_versions(tmp_path: Path) -> None:
    locked = tmp_path / "runtime.txt"
    found = metadata.version("msgspec")
    locked.write_text(
        "# Written by a script\n"
        f"msgspec=={found}; python_version >= '3.9' --hash=sha256:0\n"
        "numpy[extra]==0.0.1 --hash=sha256:0\n"
        "not-installed-anywhere==1.0 --hash=sha256:0\n",
        encoding="utf-8",
    )
    report = report_of(examine_python(locked))
    assert [(finding.severity, finding.what.split()[0]) for finding in report.findings] == [
        ("error", "not-installed-anywhere"),
        ("warning", "numpy"),
    ]
    assert "3 locked packages" in report.checked[0]


def test_an_image_without_the_lock_file_is_fine(tmp_path: Path) -> None:
    assert report_of(examine_python(tmp_path / "none")).findings == []


def test_a_sound_model_predicts_the_example() -> None:
    [line] = examine_models(Settings())
    assert isinstance(line, str)
    assert '"pred_id":123' in line


@pytest.mark.parametrize("table", ["", "alerts-state"])
def test_a_pipeline_with_state_is_opened_whether_or_not_there_is_a_table(table: str) -> None:
    """Whether STATE_TABLE is set is another check's affair, and nothing is read from it."""
    settings = Settings(pipeline="alerts", pipelines={"first": "alerts-technique"}, state_table=table)
    lines = list(examine_models(settings))
    assert [str(line).partition(":")[0] for line in lines] == ["pipeline alerts", "pipeline alerts-technique"]
    assert not any(isinstance(line, Finding) for line in lines)


def test_an_example_that_a_pipeline_does_not_take_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.doctor.here.example_record", lambda _name: b'{"other": 1}')
    [line] = examine_models(Settings())
    assert isinstance(line, str)
    assert "it loads" in line


def test_a_changed_model_file_is_a_finding(tmp_path: Path) -> None:
    copy = tmp_path / "bundles"
    shutil.copytree(OWN_BUNDLES, copy)
    changed = next(copy.rglob("*.onnx"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    [finding] = examine_models(Settings(model_location=str(copy)))
    assert isinstance(finding, Finding)
    assert finding.severity == "error"
    assert "sha256" in finding.what


def test_a_run_that_there_is_not_is_a_finding() -> None:
    [finding] = examine_models(Settings(run_id="nope"))
    assert isinstance(finding, Finding)
    assert "run 'nope'" in finding.what
