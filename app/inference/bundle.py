"""Finds the bundle that `RUN_ID` and `MODEL_LOCATION` name, and reads its files once their digests are right.

A location holds bundles as `<name>/<run id>/manifest.json`, or is itself one bundle. One in S3 is fetched once, file
by file into a folder under the temporary directory; a process that finds it there reads it from there.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.errors import DigestMismatchError, ModelError, UnknownRunError
from app.inference.manifest import MANIFEST, File, Manifest, check_digest, read_manifest
from app.storage.objects import FolderObjects, Objects, open_objects
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OWN_BUNDLES = Path(__file__).parents[2] / "model" / "bundles"
_MAX_LISTED = 5  # run ids in a message; more would hide it


@dataclass(frozen=True)
class Bundle:
    """A model bundle whose manifest has been read.

    Attributes:
        manifest: What it says of itself.
        objects: Its files.
    """

    manifest: Manifest
    objects: Objects

    def read(self, name: str) -> bytes:
        """A file's bytes, checked against the manifest; what is loaded are these bytes, not the file again.

        Raises:
            DigestMismatchError: They are not what the manifest says.
            ModelError: The file is missing.
        """
        data = self.objects.get(name)
        if data is None:
            raise ModelError(f"{self.objects.root}: {name} is missing; restore the bundle")
        return check_digest(self.manifest, name, data, self.objects.root)

    def verify(self) -> None:
        """Checks every file.

        Raises:
            DigestMismatchError: One is not what the manifest says.
        """
        for name in self.manifest.files:
            self.read(name)


def find_bundle(name: str, run_id: str = "", location: str = "") -> Bundle:
    """Finds a bundle and checks every file's digest.

    Args:
        name: The model's name.
        run_id: Which run; empty means the newest.
        location: A folder or `s3://…` of bundles, or of one; empty means those of this repository.

    Raises:
        UnknownRunError: There is none; the message lists those that there are.
        DigestMismatchError: A file is not what the manifest says.
    """
    root = open_objects(location or str(OWN_BUNDLES))
    manifests = dict(_manifests(root, name))
    wanted = {folder: each for folder, each in manifests.items() if each.run_id == run_id or not run_id}
    if not wanted:
        raise UnknownRunError(_no_such_run(name, run_id, root, list(manifests.values())))
    folder, manifest = max(wanted.items(), key=lambda item: item[1].created)
    place = f"{root.root}/{folder}".rstrip("/")
    bundle = Bundle(manifest, open_objects(place))
    if not isinstance(bundle.objects, FolderObjects):
        bundle = _fetch(bundle)
    bundle.verify()
    return bundle


def list_bundles(location: str = "") -> list[Bundle | ModelError]:
    """Every bundle at a location, newest first; nothing but manifests is read.

    Args:
        location: A folder or `s3://…`; empty means this repository's.

    Returns:
        Bundles, and behind them why each manifest that cannot be read cannot.

    Raises:
        UnknownRunError: There is no such folder.
    """
    root = open_objects(location or str(OWN_BUNDLES))
    if isinstance(root, FolderObjects) and not Path(root.root).is_dir():
        raise UnknownRunError(f"{root.root}: there is no such folder of bundles: check --location or MODEL_LOCATION")
    found: list[Bundle] = []
    faults: list[Bundle | ModelError] = []
    for path in root.names():
        folder, _, file = path.rpartition("/")
        if file != MANIFEST:
            continue
        place = f"{root.root}/{folder}".rstrip("/")
        try:
            found.append(Bundle(read_manifest(root.get(path) or b"", place), open_objects(place)))
        except ModelError as fault:
            faults.append(fault)
    return [*sorted(found, key=lambda each: each.manifest.created, reverse=True), *faults]


def write_bundle(place: Objects, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Writes a bundle, the manifest last: a place without one is no bundle yet.

    Args:
        place: Where it goes: `<name>/<run id>` below a location.
        manifest: What the bundle says of itself, but for its files.
        files: Data by file name.

    Raises:
        ModelError: There is a bundle already; or a file is of a kind that no bundle may hold.
        CloudError: It cannot be written.
    """
    if place.get(MANIFEST) is not None:
        raise ModelError(f"{place.root}: holds a bundle already, which results may name; remove it to write it again")
    digests = {name: File(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = msgspec.structs.replace(manifest, files=digests)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    bundle = Bundle(read_manifest(text, place.root), place)
    for name, data in files.items():
        place.put(name, data)
    place.put(MANIFEST, text)
    bundle.verify()
    return bundle


def _manifests(root: Objects, name: str) -> Iterator[tuple[str, Manifest]]:
    """The bundles at a location, each with its folder below it."""
    own = root.get(MANIFEST)
    if own is not None:
        manifest = read_manifest(own, root.root)
        if manifest.name != name:
            raise ModelError(f"{root.root}: holds a bundle of {manifest.name}, not of {name}")
        yield "", manifest
        return
    for path in root.names(f"{name}/"):
        folder, _, file = path.rpartition("/")
        if file == MANIFEST:
            yield folder, read_manifest(root.get(path) or b"", f"{root.root}/{folder}")


def _fetch(bundle: Bundle) -> Bundle:
    """Copies a bundle under the temporary directory unless it is there already."""
    mark = hashlib.sha256(f"{bundle.objects.root} {bundle.manifest.run_id}".encode()).hexdigest()[:16]
    local = Bundle(bundle.manifest, FolderObjects(Path(tempfile.gettempdir()) / "millrace-models" / mark))
    for name in bundle.manifest.files:
        try:
            local.read(name)
        except (DigestMismatchError, ModelError):
            logger.info("fetching model file", extra={"from": bundle.objects.root, "file": name})
            local.objects.put(name, bundle.read(name))
    return local


def _no_such_run(name: str, run_id: str, root: Objects, found: list[Manifest]) -> str:
    if not found:
        return f"{root.root} holds no bundle of {name}: check MODEL_LOCATION, or train one (model/{name}/train.py)"
    runs = [each.run_id for each in sorted(found, key=lambda each: each.created, reverse=True)]
    more = f" and {len(runs) - _MAX_LISTED} more" if len(runs) > _MAX_LISTED else ""
    listed = ", ".join(runs[:_MAX_LISTED]) + more
    return f"run {run_id!r} of {name} is not at {root.root}; there are {listed}; set no run id for the newest"
