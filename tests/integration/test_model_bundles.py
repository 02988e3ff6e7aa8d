"""Bundles in S3: written there, found there, and told apart from what was changed there."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from app import aws
from app.cli.tree import command_tree
from app.domains.model.pipeline import ModelPipeline
from app.errors import DigestMismatchError
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest, Target
from app.settings import read_settings
from app.storage.objects import open_objects
from app.stream.testing import MemorySpine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cloud
LOCATION = "s3://user-models/bundles"


@pytest.mark.usefixtures("cloud")
def test_a_bundle_in_s3_runs_and_a_changed_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where bundles are fetched to
    aws.client("s3").create_bucket(Bucket="user-models")
    weights = io.BytesIO()
    np.savez(weights, coef=np.array([2.0]), intercept=np.array(1.0))
    manifest = Manifest("toy", "a" * 32, "toy", "2026-01-01", [Field("t1", "double")], {}, "", "", {}, Target("cnt"))
    write_bundle(open_objects(f"{LOCATION}/toy/{'a' * 32}"), manifest, {"model.npz": weights.getvalue()})

    spine = MemorySpine(ModelPipeline.open(read_settings({"MODEL_NAME": "toy", "MODEL_LOCATION": LOCATION})))
    spine.run([b'{"features": {"t1": 3}, "pred_id": 1}'])
    assert [each["prediction"] for each in spine.outputs()] == [{"cnt": 7.0, "pred_id": 1}]

    verify = ["model", "verify", "--location", LOCATION]
    assert CliRunner().invoke(command_tree(), verify).exit_code == 0
    # The copy that was fetched above is still right: what is verified is what a new function would get.
    aws.client("s3").put_object(Bucket="user-models", Key=f"bundles/toy/{'a' * 32}/model.npz", Body=b"changed")
    assert isinstance(CliRunner().invoke(command_tree(), verify).exception, DigestMismatchError)
