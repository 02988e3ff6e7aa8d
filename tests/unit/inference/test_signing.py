"""Signed bundles: who made one, where `MODEL_KEYS` asks for it."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from typer.testing import CliRunner

from app.cli.tree import command_tree
from app.domains.model.pipeline import ModelPipeline
from app.errors import DigestMismatchError, SettingsError, SignatureError
from app.inference.bundle import OWN_BUNDLES, find_bundle, write_bundle
from app.inference.manifest import MANIFEST, Field, Manifest, Target
from app.inference.signing import SIGNATURE, make_keys, read_keys
from app.registry import PIPELINES, pipeline_class
from app.settings import Settings, read_settings
from app.storage.objects import FolderObjects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


def bundle(location: Path, run_id: str, created: str = "2026-01-01") -> Path:
    file = io.BytesIO()
    np.savez(file, coef=np.array([2.0]), intercept=np.array(1.0))
    manifest = Manifest("toy", run_id, "toy", created, [Field("t1", "double")], {}, "", "", {}, Target("cnt"))
    folder = location / "toy" / run_id
    write_bundle(FolderObjects(folder), manifest, {"model.npz": file.getvalue()})
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_tree(), ["model", *map(str, arguments)])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A pair of keys made by the command; the private one's file."""
    assert run("keygen", tmp_path / "release").exit_code == 0
    return tmp_path / "release.key"


@pytest.fixture
def signed(tmp_path: Path, key: Path) -> Path:
    """A bundle, signed."""
    folder = bundle(tmp_path / "bundles", "a" * 32)
    assert run("sign", folder, "--key", key).exit_code == 0
    return folder


def settings(folder: Path, *keys: object, **variables: str) -> Settings:
    given = {"MODEL_NAME": "toy", "MODEL_LOCATION": str(folder.parents[1]), "MODEL_KEYS": ",".join(map(str, keys))}
    return read_settings(given | variables)


def test_a_signed_bundle_runs_under_its_makers_key_alone(signed: Path, key: Path, tmp_path: Path) -> None:
    public = key.with_suffix(".pem")
    ModelPipeline.open(settings(signed, public))
    ModelPipeline.open(settings(signed, public.parent))  # a folder of keys
    raw = load_pem_public_key(public.read_bytes()).public_bytes_raw()  # type: ignore[union-attr]
    ModelPipeline.open(settings(signed, base64.b64encode(raw).decode()))
    _, other, _ = make_keys(tmp_path / "other")
    ModelPipeline.open(settings(signed, other, public))
    with pytest.raises(SignatureError, match=rf"{SIGNATURE}: no signature .*\(it is of another key or manifest\)"):
        ModelPipeline.open(settings(signed, other))


def test_the_private_key_is_its_owners_alone_and_never_overwritten(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in key.with_suffix(".pem").read_bytes()
    before = key.read_bytes()
    again = run("keygen", key.with_suffix(""))
    assert isinstance(again.exception, SettingsError)
    assert key.read_bytes() == before


@pytest.mark.parametrize("name", ["", "/", ".", ".."])
def test_keys_have_a_name(name: str) -> None:
    assert isinstance(run("keygen", name).exception, SettingsError)


def test_no_private_key_is_left_without_its_public_one(tmp_path: Path) -> None:
    (tmp_path / "release.pem").symlink_to(tmp_path / "elsewhere")
    assert isinstance(run("keygen", tmp_path / "release").exception, SettingsError)
    assert [each.name for each in tmp_path.iterdir()] == ["release.pem"]


def remove_signature(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


def change_manifest(folder: Path) -> None:
    manifest = folder / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"toy"', b'"tox"'))


def cut_signature(folder: Path) -> None:
    (folder / SIGNATURE).write_bytes((folder / SIGNATURE).read_bytes()[:-1])


def lengthen_signature(folder: Path) -> None:
    (folder / SIGNATURE).write_bytes((folder / SIGNATURE).read_bytes() + b"\n")


def take_anothers(folder: Path) -> None:
    shutil.copy(OWN_BUNDLES.parents[1] / "README.md", folder / SIGNATURE)


def break_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"[" * 100_000)  # never parsed


@pytest.mark.parametrize(
    "change",
    [remove_signature, change_manifest, cut_signature, lengthen_signature, take_anothers, break_manifest],
    ids=lambda change: change.__name__,
)
def test_what_was_not_signed_is_refused(change: Callable[[Path], None], signed: Path, key: Path) -> None:
    change(signed)
    with pytest.raises(SignatureError, match=r"sign the bundle with `millrace model sign`") as refused:
        ModelPipeline.open(settings(signed, key.with_suffix(".pem")))
    assert "\n" not in str(refused.value)


def test_a_changed_file_of_a_signed_bundle_is_refused_too(signed: Path, key: Path) -> None:
    (signed / "model.npz").write_bytes(b"other")
    with pytest.raises(DigestMismatchError):
        ModelPipeline.open(settings(signed, key.with_suffix(".pem")))
    assert isinstance(run("sign", signed, "--key", key).exception, DigestMismatchError)  # nor signed again


def test_an_unsigned_bundle_beside_signed_ones_stops_the_newest_but_not_a_run_id(signed: Path, key: Path) -> None:
    public = key.with_suffix(".pem")
    bundle(signed.parents[1], "b" * 32, "2026-02-01")
    with pytest.raises(SignatureError, match=r"b{32}/manifest.json.sig.*there is none"):
        ModelPipeline.open(settings(signed, public))
    ModelPipeline.open(settings(signed, public, RUN_ID="a" * 32))


def test_a_signed_bundle_cannot_stand_for_another_run(signed: Path, key: Path) -> None:
    shutil.copytree(signed, signed.parent / ("b" * 32))  # signed still: it says that it is the other run
    with pytest.raises(Exception, match=r"run 'b{32}' of toy is not at"):
        find_bundle("toy", "b" * 32, str(signed.parents[1]), [str(key.with_suffix(".pem"))])


def test_the_shipped_bundles_are_trusted_where_the_setting_says_so(key: Path) -> None:
    public = str(key.with_suffix(".pem"))
    with pytest.raises(SignatureError):
        find_bundle("bike", keys=[public])
    assert find_bundle("bike", keys=[public, "shipped"]).manifest.name == "bike"
    assert find_bundle("bike", location=str(next(OWN_BUNDLES.glob("bike/*"))), keys=["shipped"])


def test_shipped_is_no_key_for_other_bundles(signed: Path) -> None:
    remove_signature(signed)
    with pytest.raises(SignatureError):
        ModelPipeline.open(settings(signed, "shipped"))


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_every_pipeline_asks_for_signatures(name: str, key: Path) -> None:
    variables = {"MODEL_KEYS": str(key.with_suffix(".pem")), "MODEL_NAME": "bike"}
    with pytest.raises(SignatureError):
        pipeline_class(name).open(read_settings(variables))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("/nowhere/key.pem", "cannot be read: No such file"),
        ("/dev/zero", "cannot be read: not a regular file"),
        ("nul\0", "cannot be read"),
        ("{folder}/release.key", "no public key of Ed25519"),
        ("{folder}/empty", "has no file ….pem"),
        ("AAAA", "cannot be read: No such file"),
    ],
)
def test_what_is_no_key_is_named(given: str, why: str, key: Path) -> None:
    (key.parent / "empty").mkdir()
    with pytest.raises(SettingsError, match=why):
        read_keys([given.format(folder=key.parent)])


def test_no_more_than_a_hundred_keys_are_tried() -> None:
    with pytest.raises(SettingsError, match="more than 100 keys"):
        read_keys([base64.b64encode(bytes([index]) * 32).decode() for index in range(101)])


def test_verify_says_who_signed(signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEYS", str(key.with_suffix(".pem")))
    monkeypatch.setenv("COLUMNS", "200")
    done = run("verify", "--location", signed.parents[1])
    assert done.exit_code == 0
    [name] = read_keys([str(key.with_suffix(".pem"))])
    assert name in done.stdout
    remove_signature(signed)
    refused = run("verify", "--location", signed.parents[1])
    assert isinstance(refused.exception, SignatureError)
    assert refused.exception.exit_code == 23
    assert "not signed" in refused.stdout


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_private_key_signs_nothing(content: bytes, signed: Path, tmp_path: Path) -> None:
    remove_signature(signed)
    (tmp_path / "bad.key").write_bytes(content)
    refused = run("sign", signed, "--key", tmp_path / "bad.key")
    assert isinstance(refused.exception, SettingsError)
    assert "no private key of Ed25519" in str(refused.exception)
    assert not (signed / SIGNATURE).exists()


def test_cryptography_is_imported_only_where_keys_are_set() -> None:
    program = "import sys, app.inference.bundle as b; b.find_bundle('cluster'); print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
