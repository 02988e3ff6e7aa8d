"""Open ZIP archives that others have written; their readers bound how much of a member they inflate."""

from __future__ import annotations

import io
import zipfile

from app.errors import BudgetError
from app.text import quoted

MOST_MEMBERS = 1_000  # of an archive: its directory is read as a whole, into half a kilobyte each
_ENTRY = b"PK\x01\x02"  # begins each member's entry in the directory
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def open_archive(data: bytes) -> zipfile.ZipFile:
    """Open a ZIP archive.

    Raises:
        BudgetError: It has too many members.
        ValueError: A member is compressed otherwise than by deflate: LZMA takes a dictionary of the size that the
            archive names, up to 4 GB.
        zipfile.BadZipFile: It is damaged, or something else.
    """
    if data.count(_ENTRY) > MOST_MEMBERS:
        raise BudgetError(f"more than {MOST_MEMBERS} members in an archive")
    archive = zipfile.ZipFile(io.BytesIO(data))
    for each in archive.infolist():
        if each.compress_type not in _METHODS:
            raise ValueError(f"{quoted(each.filename)}: stored by another method than deflate")
    return archive
