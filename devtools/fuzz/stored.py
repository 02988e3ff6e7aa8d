"""What is stored and loaded again: model bundles and packed states."""

from __future__ import annotations

import functools
import hashlib
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.affinity import MATRIX, Affinity
from app.domains.alerts.clusters.clusters import Clusters
from app.domains.alerts.flows.flows import Flows
from app.inference.bundle import Bundle, find_bundle
from app.inference.manifest import MANIFEST, File, Manifest, read_manifest
from app.inference.models import load_columns, load_text
from app.storage.objects import MemoryObjects
from devtools.fuzz.target import memory, ours_alone

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_BYTES = 64 * 1024 * 1024  # of memory: a model's tables
A_BYTE = 400.0
"""Bytes of memory a byte of input: what a small archive inflates to within its budget, as arrays of eight bytes."""


def check_bundle(data: bytes) -> None:
    """Load a manifest, or a model whose file is damaged and whose digest is right: a model, or one line.

    The first byte chooses what the others are: a manifest, or the file of a kind of model.
    """
    kind, content = data[:1], data[1:]
    with memory(BASE_BYTES, A_BYTE, len(data)), ours_alone():
        if kind == b"{":
            read_manifest(data, "bundle")
        elif kind in _LOADERS:
            name, load = _LOADERS[kind]
            load(_bundle({name: content}))


def check_state(data: bytes) -> None:
    """Load packed clusters or flows from any bytes: a state, or one line."""
    kind, content = data[:1], data[1:]
    packed = zlib.compress(content, 1) if kind in {b"c", b"f"} else content
    with memory(BASE_BYTES, A_BYTE, len(data)), ours_alone():
        if kind.lower() == b"c":
            Clusters.load(packed, _affinity()).dump()
        elif kind.lower() == b"f":
            Flows.load(packed, attack_table()).dump()


def _bundle(files: dict[str, bytes]) -> Bundle:
    """Return a bundle of files in memory, with a manifest that is right."""
    digests = {name: File(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = Manifest("fuzz", "run", "model", "2026-01-01T00:00:00Z", [], {}, "", "", digests)
    return Bundle(manifest, MemoryObjects({**files, MANIFEST: msgspec.json.encode(manifest)}))


def _predict(bundle: Bundle, file: str) -> object:
    return load_columns(bundle, file).predict(np.zeros((1, 3)))


_LOADERS: dict[bytes, tuple[str, Callable[[Bundle], object]]] = {
    b"l": ("model.npz", functools.partial(_predict, file="model.npz")),
    b"o": ("model.onnx", functools.partial(_predict, file="model.onnx")),
    b"t": ("text.npz", lambda bundle: load_text(bundle, "text.npz").predict(["an alert's text"])),
    b"a": (MATRIX, Affinity.load),
}


@functools.cache
def _affinity() -> Any:  # noqa: ANN401 - as the class gives it
    return Affinity.load(find_bundle("cluster"))
