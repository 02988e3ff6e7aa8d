from __future__ import annotations

import hashlib
import io
import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from app.errors import DigestMismatchError, ModelError, UnknownRunError
from app.inference.bundle import find_bundle
from app.inference.manifest import MANIFEST, File, Manifest
from app.inference.models import LinearModel, TextModel, load_columns, load_text

if TYPE_CHECKING:
    from pathlib import Path


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


LINEAR = npz(coef=np.array([2.0, -1.0]), intercept=np.array(0.5))


def write_bundle(root: Path, run_id: str, created: str = "2026-01-01", files: dict[str, bytes] | None = None) -> Path:
    """Writes a bundle of the model `toy`."""
    name = "toy"
    folder = root / name / run_id
    folder.mkdir(parents=True)
    contents = files or {"model.npz": LINEAR}
    digests = {file: File(hashlib.sha256(data).hexdigest(), len(data)) for file, data in contents.items()}
    manifest = Manifest(name, run_id, "toy_model", created, [], {}, "", "", digests)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    for file, data in contents.items():
        (folder / file).write_bytes(data)
    return folder


def test_the_newest_bundle_is_the_default(tmp_path: Path) -> None:
    write_bundle(tmp_path, "b", "2026-01-02")
    write_bundle(tmp_path, "c", "2026-01-03")
    write_bundle(tmp_path, "a", "2026-01-01")
    assert find_bundle("toy", location=str(tmp_path)).manifest.run_id == "c"
    assert find_bundle("toy", "a", str(tmp_path)).manifest.run_id == "a"
    with pytest.raises(UnknownRunError, match="there are c, b, a; set no run id"):
        find_bundle("toy", "x", str(tmp_path))


def test_a_location_may_be_one_bundle(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "a")
    assert find_bundle("toy", location=str(folder)).manifest.run_id == "a"
    with pytest.raises(ModelError, match="holds a bundle of toy, not of bike"):
        find_bundle("bike", location=str(folder))


def test_an_unknown_run_lists_those_there_are(tmp_path: Path) -> None:
    write_bundle(tmp_path, "a")
    with pytest.raises(UnknownRunError, match=r"run 'x' of .* is not at .*; there are a; set no run id for the newest"):
        find_bundle("toy", "x", str(tmp_path))
    with pytest.raises(UnknownRunError, match="holds no bundle of other: check MODEL_LOCATION; `millrace model list`"):
        find_bundle("other", location=str(tmp_path))
    with pytest.raises(UnknownRunError, match=r"run id 'nope'; .* and `./scripts/learn_rules.sh technique` makes one"):
        find_bundle("rules", "nope", location=str(tmp_path))


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"y" + data[1:]])
def test_a_changed_file_is_never_opened(change: Any, tmp_path: Path) -> None:
    file = write_bundle(tmp_path, "a") / "model.npz"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DigestMismatchError, match=r"model\.npz: sha256 is .*restore the bundle"):
        find_bundle("toy", location=str(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write_bundle(tmp_path, "a") / "model.npz").unlink()
    with pytest.raises(ModelError, match=r"model\.npz is missing"):
        find_bundle("toy", location=str(tmp_path))


@pytest.mark.parametrize("file", ["../evil.npz", "/etc/passwd", "model.pkl", "model.joblib", "sub/model.npz"])
def test_a_manifest_may_name_data_files_of_its_own_folder_only(file: str, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "a")
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    manifest["files"] = {file: {"sha256": "", "size_bytes": 0}}
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ModelError, match="not a file that a bundle may hold"):
        find_bundle("toy", location=str(tmp_path))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"name": 1}'])
def test_a_broken_manifest_is_one_line(text: bytes, tmp_path: Path) -> None:
    (write_bundle(tmp_path, "a") / MANIFEST).write_bytes(text)
    with pytest.raises(ModelError, match=re.escape(MANIFEST)) as refused:
        find_bundle("toy", location=str(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_linear_model_is_a_product_and_a_sum(tmp_path: Path) -> None:
    write_bundle(tmp_path, "a")
    model = load_columns(find_bundle("toy", location=str(tmp_path)), "model.npz")
    found = model.predict(np.array([[1, 0], [0, 1], [3, 2]], np.float32))
    assert found.tolist() == [2.5, -0.5, 4.5]


@pytest.mark.parametrize("outputs", [(), (3,)])
@pytest.mark.parametrize("softmax", [False, True])
def test_linear_predictions_do_not_depend_on_the_batch(outputs: tuple[int, ...], *, softmax: bool) -> None:
    # numpy's product does: BLAS has other kernels for one row, and for the last rows of many.
    random = np.random.default_rng(0)
    rows = random.normal(size=(100, 16))
    model = LinearModel(random.normal(size=(16, *outputs)), np.ones(outputs), softmax=softmax and bool(outputs))
    together = model.predict(rows)
    for size in (1, 2, 3, 7):
        parts = [model.predict(rows[start : start + size]) for start in range(0, len(rows), size)]
        assert (np.concatenate(parts) == together).all()


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    pickled = npz(coef=np.array([{}], dtype=object), intercept=np.array(0.0))
    write_bundle(tmp_path, "a", files={"model.npz": pickled})
    with pytest.raises(ModelError, match=r"not an .npz of plain arrays"):
        load_columns(find_bundle("toy", location=str(tmp_path)), "model.npz")


@pytest.mark.parametrize(("file", "data"), [("model.onnx", b"no graph"), ("model.npz", b"no zip")])
def test_a_file_of_another_kind_is_refused(file: str, data: bytes, tmp_path: Path) -> None:
    write_bundle(tmp_path, "a", files={file: data})
    with pytest.raises(ModelError):
        load_columns(find_bundle("toy", location=str(tmp_path)), file)


TEXT: dict[str, Any] = {
    "vocabulary": np.array(["failed", "login", "failed login", "scan"]),
    "idf": np.array([1.0, 1.0, 2.0, 1.5]),
    "coef": np.array([[1.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0]]),
    "intercept": np.array([0.0, 0.25]),
    "classes": np.array(["brute force", "discovery"]),
    "ngrams": np.array([1, 2]),
    "sublinear": np.array(False),
    "token_pattern": np.array(r"\b\w\w+\b"),
}


def test_a_text_model_weighs_terms_and_adds_them_up(tmp_path: Path) -> None:
    write_bundle(tmp_path, "a", files={"model.npz": npz(**TEXT)})
    model = load_text(find_bundle("toy", location=str(tmp_path)), "model.npz")
    texts = ["Failed LOGIN, failed login!", "a port scan", "nothing known"]
    assert model.predict(texts) == ["brute force", "discovery", "discovery"]
    # failed 2 x 1, login 2 x 1, "failed login" 2 x 2 ("login failed" is no term): norm sqrt(4 + 4 + 16)
    assert model.scores(texts)[0] == pytest.approx([(2 + 2 + 2 * 4) / 24**0.5, 0.25], rel=1e-6)
    assert model.scores(texts)[1] == pytest.approx([0.0, 3.25])
    assert model.scores(texts)[2] == pytest.approx([0.0, 0.25])


def test_text_scores_do_not_depend_on_the_batch() -> None:
    model = TextModel(TEXT)
    texts = ["failed scan", "login", "", "scan scan failed login"]
    together = model.scores(texts)
    for row, text in enumerate(texts):
        assert (model.scores([text])[0] == together[row]).all()
    assert model.predict([]) == []
