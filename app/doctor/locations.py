"""Checks of the folders and buckets that a process writes to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.doctor.finding import Finding, Severity
from app.errors import MillraceError, SettingsError
from app.storage.objects import FolderObjects, Objects, open_objects

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from app.doctor.setup import Setup

LAMBDA_FOLDERS = ("/mnt/",)  # where a function may mount a file system that outlives it


def examine_location(setup: Setup, variable: str, why: str) -> Generator[str | Finding, None, Objects | None]:
    """Check that a location can be written, without writing to it; `examine_names` says if it cannot be one.

    Args:
        setup: The process that has the variable.
        variable: The variable that names the location, which is set.
        why: The consequence, if it cannot be written.

    Returns:
        Its objects; None if they cannot be used, or are a function's folder, which is elsewhere.
    """
    location = str(getattr(setup.settings, variable.lower()))
    where, instead = f"{variable} {location}", setup.change(**{variable: bucket_for(variable)})
    try:
        objects = open_objects(location)
    except SettingsError:
        return None
    try:
        if isinstance(objects, FolderObjects):
            if setup.in_lambda:
                return None
            _check_folder(objects.folder)
        else:
            objects.check()
    except MillraceError as error:
        bucket = location.removeprefix("s3://").partition("/")[0]
        make = f"aws s3 mb s3://{bucket}" if location.startswith("s3://") else f"mkdir -p {location}"
        yield Finding(Severity.ERROR, where, str(error), why, f"{make}, or {instead}")
        return None
    yield f"{where}: {'can be written' if isinstance(objects, FolderObjects) else 'the bucket is there'}"
    return objects


def examine_names(setup: Setup) -> Iterator[Finding]:
    """Find locations that are not valid, and folders that a function in Lambda cannot write or would lose."""
    for variable in ("QUARANTINE_LOCATION", "STATE_LOCATION"):
        location = str(getattr(setup.settings, variable.lower()))
        if not location or (variable == "STATE_LOCATION" and not setup.settings.state_table):
            continue
        mend = setup.change(**{variable: bucket_for(variable)})
        try:
            objects = open_objects(location)
        except SettingsError as error:
            yield Finding(Severity.ERROR, setup.where, f"{variable}: {error}", "nothing starts", mend)
            continue
        if setup.in_lambda and isinstance(objects, FolderObjects) and not location.startswith(LAMBDA_FOLDERS):
            yield Finding(
                Severity.ERROR,
                setup.where,
                f"{variable} is the folder {location}",
                "a function's disk can be written in /tmp alone, which is lost with the function; only a file system "
                "mounted below /mnt stays",
                mend,
            )


def bucket_for(variable: str) -> str:
    """Return what a variable that names a location may be set to."""
    return f"s3://BUCKET/{variable.partition('_')[0].lower()}"


def _check_folder(folder: Path) -> None:
    """Raise an error unless a folder can be written, or made where there is none yet."""
    nearest = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    if not nearest.is_dir():
        raise SettingsError(f"{folder}: {nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SettingsError(f"{folder}: {nearest} may not be written: check its owner and mode")
