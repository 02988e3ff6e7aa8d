"""Rules about a function and about what it and its mapping are together, and the command that sets a variable."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from app.doctor.case import Case
from app.doctor.function import Function, examine_configuration, examine_pair
from app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from app.doctor.finding import Finding

SOUND: dict[str, Any] = {"State": "Active", "LastUpdateStatus": "Successful", "MemorySize": 256, "Timeout": 60}
MAPPING = {"BatchSize": 500, "FunctionResponseTypes": ["ReportBatchItemFailures"], "MaximumBatchingWindowInSeconds": 5}
SETTINGS = Settings(output_stream="counts", partial_responses=True)
OUTPUT = {"OpenShardCount": 1, "StreamModeDetails": {"StreamMode": "PROVISIONED"}}


def configured(**changed: Any) -> list[Finding]:
    return list(examine_configuration(Function("predict", {**SOUND, **changed}), [MAPPING]))


def paired(
    mapping: dict[str, Any] | None = None, settings: Settings = SETTINGS, timeout: int = 60, **output: Any
) -> list[Finding]:
    function = Function("predict", {**SOUND, "Timeout": timeout})
    return list(examine_pair(function, Case({**MAPPING, **(mapping or {})}), settings, {**OUTPUT, **output}))


def test_a_sound_function_has_no_findings() -> None:
    assert configured() == []
    assert configured(State="Inactive") == []
    assert paired() == []


@pytest.mark.parametrize(
    ("changed", "severity", "what", "option"),
    [
        ({"State": "Failed", "StateReason": "no image"}, "error", "no image", "function-active"),
        ({"LastUpdateStatus": "Failed"}, "error", "no reason given", "function-active"),
        ({"MemorySize": 128}, "warning", "128 MB", "--memory-size 256"),
        ({"Timeout": 3}, "warning", "after 3 s", "--timeout 60"),
    ],
)
def test_a_configuration_that_would_return_batches(
    changed: dict[str, Any], severity: str, what: str, option: str
) -> None:
    [finding] = configured(**changed)
    assert finding.severity == severity
    assert what in finding.what
    assert option in finding.mend


def test_lambdas_own_defaults_are_too_little() -> None:
    found = examine_configuration(Function("predict", {}), [MAPPING])
    assert [finding.what for finding in found] == ["has 128 MB of memory", "times out after 3 s"]


def test_a_function_that_nothing_invokes() -> None:
    [finding] = examine_configuration(Function("predict", SOUND), [])
    assert "no event source mapping" in finding.what
    assert "--function-name predict" in finding.mend


def test_a_mapping_that_reports_and_a_function_that_does_not() -> None:
    [finding] = paired(settings=Settings(output_stream="counts"))
    assert finding.severity == "warning"
    assert "PARTIAL_RESPONSES" in finding.mend
    assert paired({"FunctionResponseTypes": []}, Settings(output_stream="counts")) == []


def test_a_timeout_shorter_than_the_window() -> None:
    [finding] = paired({"MaximumBatchingWindowInSeconds": 300})
    assert "gather for 300 s" in finding.what
    assert "--timeout 360" in finding.mend
    [finding] = paired({"MaximumBatchingWindowInSeconds": 300}, timeout=299)
    assert paired({"MaximumBatchingWindowInSeconds": 300}, timeout=300) == []


def test_a_margin_that_leaves_no_time() -> None:
    [finding] = paired(settings=Settings(output_stream="counts", partial_responses=True, deadline_margin_ms=60_000))
    assert finding.severity == "error"
    assert "DEADLINE_MARGIN_MS" in finding.mend


@pytest.mark.parametrize(
    ("batch", "timeout", "output", "shards"),
    [
        (10_000, 5, {}, 2),  # 4.5 s without the margin: 4 500 records a shard; AWS doubles at most
        (10_000, 5, {"OpenShardCount": 2}, 3),
        (10_000, 5, {"OpenShardCount": 3}, None),
        (10_000, 5, {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}, None),
        (10_000, 11, {}, None),
    ],
)
def test_results_that_the_output_does_not_take_in_time(
    batch: int, timeout: int, output: dict[str, Any], shards: int | None
) -> None:
    found = paired({"BatchSize": batch}, timeout=timeout, **output)
    assert [f"--target-shard-count {shards}" in finding.mend for finding in found] == [True] * (shards is not None)


@pytest.mark.parametrize("before", [{"Variables": {"TOKEN": 'it\'s "secret" $HOME', "TEST_RUN": "True"}}, None])
def test_setting_a_variable_keeps_the_others_and_shows_none(before: dict[str, Any] | None, tmp_path: Path) -> None:
    """The command is run by a real shell, with an `aws` that remembers what it was given."""
    told = tmp_path / "told"
    aws = tmp_path / "aws"
    aws.write_text(
        '#!/bin/bash\ncase "$2" in get-*) cat "$BEFORE" ;; *) printf "%s\\n" "$@" >"$TOLD" ;; esac\n', encoding="utf-8"
    )
    aws.chmod(0o755)
    (tmp_path / "before").write_text(json.dumps(before), encoding="utf-8")
    command = Function("predict", {"Environment": before}).set_variables(TEST_RUN="False")
    assert "secret" not in command
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(told)}
    subprocess.run(["bash", "-c", command], env={**environ, "BEFORE": str(tmp_path / "before")}, check=True)
    words = told.read_text(encoding="utf-8").splitlines()
    assert words[:4] == ["lambda", "update-function-configuration", "--function-name", "predict"]
    kept = (before or {"Variables": {}})["Variables"]
    assert json.loads(words[5]) == {"Variables": {**kept, "TEST_RUN": "False"}}
