"""Find the bundle that `RUN_ID` and `MODEL_LOCATION` name, and read its files after checking their digests.

A location holds bundles as `<name>/<run id>/manifest.json`, or is itself one bundle. One in S3 is fetched once, file
by file into a folder under the temporary directory; a process that finds it there reads it from there.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from app.errors import (
    DigestMismatchError,
    DiskError,
    MillraceError,
    ModelError,
    SignatureError,
    UnknownRunError,
)
from app.inference.manifest import MANIFEST, MOST_MANIFEST_BYTES, File, Manifest, check_digest, is_folder, read_manifest
from app.inference.signing import (
    SHIPPED,
    SIGNATURE,
    SIGNATURE_BYTES,
    read_keys,
    sign_manifest,
    signer_of,
)
from app.storage.files import is_directory, private_folder
from app.storage.objects import FolderObjects, Objects, open_objects, read_up_to
from app.telemetry import logger
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.inference.signing import Keys

T = TypeVar("T")
OWN_BUNDLES = Path(__file__).parents[2] / "model" / "bundles"
MOST_BUNDLES = 1_000  # of a model, or listed, at one location: each manifest is read
_DAY_S = 86_400  # clocks are set wrong by hours
_MAKERS = {  # other bundles are imported
    "bike": "./scripts/train.sh",
    "cluster": "model/cluster/train.py",
    "rules": "`./scripts/learn_rules.sh technique`",
    "technique": "model/technique/train.py",
}
_MAX_LISTED = 5  # run ids in a message; more would hide it


@dataclass(frozen=True)
class Bundle:
    """A model bundle whose manifest has been read.

    Attributes:
        manifest: The bundle's manifest.
        objects: The bundle's files.
    """

    manifest: Manifest
    objects: Objects

    def read(self, name: str) -> bytes:
        """Return a file's bytes, checked against the manifest; these are loaded, the file is not read again.

        Raises:
            DigestMismatchError: They are not the bytes that the manifest names.
            ModelError: The file is missing.
        """
        expected = self.manifest.files.get(name)
        data = read_up_to(self.objects, name, expected.size_bytes + 1 if expected else 0)
        if data is None:
            raise ModelError(f"{self.objects.root}: {name} is missing; restore the bundle")
        return check_digest(self.manifest, name, data, self.objects.root)

    def load(self, build: Callable[[Bundle], T]) -> T:
        """Build a model from the bundle's files, whatever they hold; what is run is built here, and nowhere else.

        Raises:
            ModelError: The files are damaged, or do not fit together; the line begins with the bundle's location.
        """
        where = self.objects.root
        try:
            return build(self)
        except ModelError as error:
            if str(error).startswith(where):
                raise
            raise ModelError(f"{where}/{error}") from error
        except MillraceError:
            raise
        except Exception as error:  # numpy, zipfile, ONNX Runtime: what a damaged file makes them raise has no end
            raise ModelError(
                f"{where}: cannot be used ({type(error).__name__}): restore it, or make it again"
            ) from error

    def verify(self) -> None:
        """Check every file.

        Raises:
            DigestMismatchError: A file is not the one that the manifest names.
        """
        for name in self.manifest.files:
            self.read(name)


def find_bundle(name: str, run_id: str = "", location: str = "", keys: Sequence[str] = ()) -> Bundle:
    """Find a bundle and check every file's digest.

    Args:
        name: The model's name.
        run_id: The run; empty means the newest.
        location: A folder or `s3://…` of bundles, or of one; empty means this repository's.
        keys: `MODEL_KEYS`, of which one must have signed the bundle; without any, no signature is asked for.

    Raises:
        UnknownRunError: No bundle matches; the message lists those that exist.
        SignatureError: One that matches is not signed by any of the keys.
        DigestMismatchError: A file is not the one that the manifest names.
    """
    root = open_objects(location or str(OWN_BUNDLES))
    trusted = _trusted(root, keys)
    manifests = dict(_manifests(root, name, run_id, trusted))
    wanted = {folder: each for folder, each in manifests.items() if each.run_id == run_id or not run_id}
    if not wanted:
        raise UnknownRunError(_no_such_run(name, run_id, root, list(manifests.values())))
    folder, manifest = max(wanted.items(), key=lambda item: item[1].created_s)
    if not run_id and manifest.created_s > time.time() + _DAY_S:
        logger.warning("the newest bundle is dated in the future: set its run id", extra={"run_id": manifest.run_id})
    bundle = Bundle(manifest, open_objects(f"{root.root}/{folder}".rstrip("/")))
    if not isinstance(bundle.objects, FolderObjects):
        bundle = _fetch(bundle)
    bundle.verify()
    return bundle


def find_bundle_if_any(name: str, run_id: str = "", location: str = "", keys: Sequence[str] = ()) -> Bundle | None:
    """Find a bundle as `find_bundle` does; return None if no run is named and the location has no bundle of the model.

    Raises:
        UnknownRunError: There is no bundle of the run.
        SignatureError: One that matches is not signed by any of the keys.
        DigestMismatchError: A file is not the one that the manifest names.
    """
    if not run_id:
        root = open_objects(location or str(OWN_BUNDLES))
        own = _manifest_of(root, "", _trusted(root, keys))
        if own is not None and own.name != name:
            return None  # the location is one bundle, of another model
        if own is None and not _folders(root, f"{name}/"):
            return None
    return find_bundle(name, run_id, location, keys)


def list_bundles(location: str = "") -> list[Bundle | ModelError]:
    """Return every bundle at a location, newest first; only manifests are read.

    Args:
        location: A folder or `s3://…`; empty means this repository's.

    Returns:
        Bundles, then an error for each manifest that cannot be read.

    Raises:
        UnknownRunError: The folder does not exist.
    """
    root = open_objects(location or str(OWN_BUNDLES))
    if isinstance(root, FolderObjects) and not is_directory(Path(root.root)):
        raise UnknownRunError(f"{root.root}: there is no such folder of bundles: check --location or MODEL_LOCATION")
    found: list[Bundle] = []
    faults: list[Bundle | ModelError] = []
    for folder in _folders(root):
        try:
            manifest = _manifest_of(root, folder)
        except ModelError as fault:
            faults.append(fault)
        else:
            if manifest is not None:  # it was removed since it was listed
                found.append(Bundle(manifest, open_objects(f"{root.root}/{folder}".rstrip("/"))))
    return [*sorted(found, key=lambda each: each.manifest.created_s, reverse=True), *faults]


def write_bundle(objects: Objects, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle, its manifest last: without one it is no bundle yet.

    Args:
        objects: The bundle's own folder or prefix, `<name>/<run id>` below a location.
        manifest: The manifest, without files.
        files: Data by file name.

    Raises:
        ModelError: A bundle exists already, or a file is of a kind that no bundle may hold.
        CloudError: It cannot be written.
    """
    if objects.exists(MANIFEST):
        raise ModelError(f"{objects.root}: holds a bundle already, which results may name; remove it to write it again")
    digests = {name: File(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = msgspec.structs.replace(manifest, files=digests)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    bundle = Bundle(read_manifest(text, objects.root), objects)
    for name, data in files.items():
        objects.put(name, data)
    objects.put(MANIFEST, text)
    bundle.verify()
    return bundle


def sign_bundle(location: str, key_file: Path) -> tuple[Bundle, str]:
    """Check a bundle's files and sign its manifest.

    Args:
        location: The bundle's own folder or `s3://…`.
        key_file: The private key, in PEM.

    Returns:
        The bundle, and the fingerprint of the key.

    Raises:
        UnknownRunError: There is no bundle.
        ModelError: It cannot be used.
        SettingsError: The file holds no private key.
    """
    objects = open_objects(location)
    data = read_up_to(objects, MANIFEST, MOST_MANIFEST_BYTES + 1)
    if data is None:
        raise UnknownRunError(f"{objects.root}: holds no {MANIFEST}: name the folder of one bundle")
    bundle = Bundle(read_manifest(data, objects.root), objects)
    bundle.verify()
    signature, signer = sign_manifest(data, key_file)
    objects.put(SIGNATURE, signature)
    return bundle, signer


def bundle_signer(bundle: Bundle, keys: Sequence[str]) -> str:
    """Return the fingerprint of the key of `MODEL_KEYS` that signed a bundle, or `SHIPPED`.

    Raises:
        SettingsError: A key cannot be read.
        SignatureError: None of them signed it.
    """
    trusted = _trusted(bundle.objects, keys)
    if trusted is None:
        return SHIPPED
    data = read_up_to(bundle.objects, MANIFEST, MOST_MANIFEST_BYTES)
    return _check_signature(bundle.objects, "", data or b"", trusted)


def _trusted(root: Objects, keys: Sequence[str]) -> Keys | None:
    """Return the keys of which one must have signed the bundles at a location; None if none need have."""
    if not keys or (SHIPPED in keys and _is_shipped(root)):
        return None
    return read_keys(keys)


def _is_shipped(root: Objects) -> bool:
    return isinstance(root, FolderObjects) and root.folder.resolve().is_relative_to(OWN_BUNDLES.resolve())


def _check_signature(objects: Objects, folder: str, manifest: bytes, keys: Keys) -> str:
    """Return the fingerprint of the key that signed a manifest; refuse one that none of the keys signed."""
    name = f"{folder}/{SIGNATURE}".lstrip("/")
    signature = read_up_to(objects, name, SIGNATURE_BYTES + 1)
    found = signer_of(manifest, signature, keys)
    if found is None:
        why = "there is none" if signature is None else "it is of another key or manifest"
        raise SignatureError(
            f"{objects.root}/{name}: no signature by a key of MODEL_KEYS ({why}): sign the bundle with `millrace model "
            "sign`, or name the key of who did"
        )
    return found


def _manifest_of(objects: Objects, folder: str = "", keys: Keys | None = None) -> Manifest | None:
    """Return the manifest in a folder, or None where there is none.

    Raises:
        SignatureError: None of the keys signed it; it was not read further then.
        ModelError: It cannot be used.
    """
    where = f"{objects.root}/{folder}".rstrip("/")
    data = read_up_to(objects, f"{folder}/{MANIFEST}".lstrip("/"), MOST_MANIFEST_BYTES + 1)
    if data is not None and len(data) > MOST_MANIFEST_BYTES:
        raise ModelError(f"{where}/{MANIFEST}: has more than {MOST_MANIFEST_BYTES // 2**20} MB: restore the bundle")
    if data is not None and keys is not None:
        _check_signature(objects, folder, data, keys)
    return None if data is None else read_manifest(data, where)


def _folders(objects: Objects, prefix: str = "") -> list[str]:
    """Return the folders with a manifest.

    Raises:
        ModelError: They are too many to read each.
    """
    paths = (path.rpartition("/") for path in objects.names(prefix))
    found = list(itertools.islice((folder for folder, _, file in paths if file == MANIFEST), MOST_BUNDLES + 1))
    if len(found) > MOST_BUNDLES:
        raise ModelError(
            f"{objects.root}/{prefix}: has more than {MOST_BUNDLES:,} bundles: set the run id, or move some"
        )
    return found


def _manifests(root: Objects, name: str, run_id: str, keys: Keys | None) -> Iterator[tuple[str, Manifest]]:
    """Yield the bundles of a model at a location, each with its folder below it; that of a run alone if it is there."""
    manifest = _manifest_of(root, "", keys)
    if manifest is not None:
        if manifest.name != name:
            raise ModelError(f"{root.root}: holds a bundle of {manifest.name}, not of {name}")
        yield "", manifest
        return
    folder = f"{name}/{run_id}"
    manifest = _manifest_of(root, folder, keys) if is_folder(run_id) else None
    if manifest is not None and manifest.run_id == run_id:
        yield folder, manifest
        return
    for folder in _folders(root, f"{name}/"):
        manifest = _manifest_of(root, folder, keys)
        if manifest is not None and manifest.name == name:
            yield folder, manifest


def _fetch(bundle: Bundle) -> Bundle:
    """Copy a bundle under the temporary directory unless it is there already."""
    folder = hashlib.sha256(f"{bundle.objects.root} {bundle.manifest.run_id}".encode()).hexdigest()[:16]
    try:
        models = private_folder("millrace-models")
    except OSError as error:
        raise DiskError(f"{error.filename}: {error.strerror}") from None
    local = Bundle(bundle.manifest, FolderObjects(models / folder))
    for name in bundle.manifest.files:
        try:
            local.read(name)
        except (DigestMismatchError, ModelError):
            logger.info("fetching model file", extra={"from": bundle.objects.root, "file": name})
            local.objects.put(name, bundle.read(name))
    return local


def _no_such_run(name: str, run_id: str, root: Objects, found: list[Manifest]) -> str:
    if not found:
        wanted = f", and the run id {quoted(run_id)}" if run_id else ""
        maker = _MAKERS.get(name, "./scripts/import_model.sh")
        return (
            f"{root.root} holds no bundle of {name}: check MODEL_LOCATION{wanted}; `millrace model list` shows all "
            f"there are, and {maker} makes one"
        )
    runs = [each.run_id for each in sorted(found, key=lambda each: each.created_s, reverse=True)]
    more = f" and {len(runs) - _MAX_LISTED} more" if len(runs) > _MAX_LISTED else ""
    names = ", ".join(runs[:_MAX_LISTED]) + more
    return f"run {quoted(run_id)} of {name} is not at {root.root}; there are {names}; set no run id for the newest"
