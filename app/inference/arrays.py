"""Arrays of an `.npz`, read within a budget: what a file claims is checked before anything is inflated.

An `.npz` is a zip of `.npy` files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Zeros
deflate a thousandfold, a header may claim any shape, and a zip's directory may claim any size: so each header is read
from its first bytes alone, its shape must come to the size in the directory, and no more than that is inflated.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import ModelError
from app.storage.archive import open_archive
from app.text import one_line

if TYPE_CHECKING:
    import zipfile

    from numpy.typing import NDArray

MOST_ARRAY_BYTES = 256 * 1024 * 1024  # of a file's arrays as models hold them: four times Millrace's largest
_HELD_BYTES = 8  # of a number in a model at most, however small it is in its file
_HEADER_BYTES = 4096  # of an `.npy`: those of plain arrays have 128
_KINDS = "biufU"  # booleans, whole numbers, floats, text: no objects, records or dates


def read_arrays(data: bytes, file: str, names: set[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of an `.npz` by name, other arrays in it are not read.

    Args:
        data: The file.
        file: Its name, for error messages.
        names: Names that it must hold. One with a `?` at its end is left out where the file has none.

    Raises:
        ModelError: The file is of another kind, lacks an array, or is over the budget.
    """
    try:
        arrays = _read_all(data, {name.removesuffix("?") for name in names})
    except Exception as error:  # noqa: BLE001 - zipfile, zlib and numpy's reader of headers share no base but this
        raise ModelError(
            f"{file}: not an .npz of plain arrays: {one_line(str(error)) or type(error).__name__}"
        ) from None
    missing = {name for name in names if not name.endswith("?")} - arrays.keys()
    if missing:
        raise ModelError(f"{file}: lacks {', '.join(sorted(missing))}")
    return arrays


def _read_all(data: bytes, names: set[str]) -> dict[str, NDArray[Any]]:
    with open_archive(data) as archive:
        members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("two arrays of one name")
        arrays: dict[str, NDArray[Any]] = {}
        left = MOST_ARRAY_BYTES
        for name in names & members.keys():
            arrays[name] = array = _read(archive, members[name], left)
            left -= array.size * max(array.itemsize, _HELD_BYTES)
    return arrays


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_bytes: int) -> NDArray[Any]:
    with archive.open(member) as stream:
        start = io.BytesIO(stream.read(_HEADER_BYTES))  # no more, whatever length the header claims
        version = np.lib.format.read_magic(start)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(start, max_header_size=_HEADER_BYTES)
        if dtype.kind not in _KINDS or not dtype.itemsize:
            raise ValueError(f"{member.filename}: holds {dtype}, neither numbers nor text")
        if math.prod(shape) * dtype.itemsize != member.file_size - start.tell() or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename}: its header does not come to its size")
        # An empty array may have other sides without end.
        if math.prod(max(length, 1) for length in shape) * max(dtype.itemsize, _HELD_BYTES) > most_bytes:
            raise ValueError(f"more than {MOST_ARRAY_BYTES // 2**20} MB of arrays")
    with archive.open(member) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):  # here zipfile compares the checksum
            raise ValueError(f"{member.filename}: is longer than its header says")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{member.filename}: holds what is no finite number")
    return array
