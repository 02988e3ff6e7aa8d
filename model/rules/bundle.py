"""Write what was learned from one's own rules as a bundle."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.inference.bundle import write_bundle
from app.inference.manifest import MANIFEST, Field, Manifest
from app.storage.objects import open_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOTICE = (
    "Learned from detection rules that one organization has, for its own use: each rule stays under the licence of its "
    "owner, and this is not for passing on"
)


def write(
    name: str,
    model: str,
    files: Mapping[str, bytes],
    output: str,
    say: Callable[[str], None],
    *,
    metrics: Mapping[str, float] | None = None,
    attribution: str = NOTICE,
) -> str:
    """Write a bundle whose run id is a digest of its data, and return the id; one that is there is left as it is.

    Args:
        name: The bundle's name.
        model: The kind of model.
        files: Data by file name; a card (`.md`) is no part of the digest.
        output: A folder or `s3://…` of bundles.
        say: Called with a line about the bundle.
        metrics: Metrics for its manifest.
        attribution: The line that the licences ask for.

    Raises:
        CloudError: It cannot be written.
    """
    data = sorted(each for each in files if not each.endswith(".md"))
    digest = hashlib.sha256(b"".join(hashlib.sha256(files[each]).digest() for each in data)).hexdigest()
    run_id = digest[:32]
    objects = open_objects(f"{output.rstrip('/')}/{name}/{run_id}")
    if objects.exists(MANIFEST):
        say(f"bundle: {objects.root}: nothing is new, so it stays as it is")
        return run_id
    manifest = Manifest(
        name=name,
        run_id=run_id,
        model=model,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        signature=[Field("text", "string")],
        metrics=dict(metrics or {}),
        training_data_sha256=digest,
        attribution=attribution,
        files={},
    )
    write_bundle(objects, manifest, files)
    say(f"bundle: {objects.root}: {sum(map(len, files.values())) / 1e6:.1f} MB")
    return run_id
