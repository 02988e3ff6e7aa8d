"""Alerts of any format, documents and files of them, and tenants."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import Alert, AlertFault, EnrichedAlert
from app.domains.alerts.formats import read_alert_bytes
from app.domains.alerts.formats.file import AlertFile
from app.domains.alerts.formats.inflate import BrokenGzipError, PackedFileError
from app.domains.alerts.formats.parts import BrokenPartError
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.formats.scanner import BrokenJsonError
from app.domains.alerts.records import read_record
from app.domains.alerts.tenancy import TenantRule, key_of
from devtools.fuzz.target import memory, ours_alone, promise
from devtools.fuzz.text import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME = 1_700_000_000.0  # seconds since 1970: when the made-up alerts arrive
BASE_BYTES = 8 * 1024 * 1024  # of memory: tables that are loaded when the first alert of a product comes
A_BYTE = 200.0  # of memory a byte of input: an empty list of JSON takes two bytes, and 56 as an object
_BLOCK_BYTES = 1024
_PARTS = ("", "cluster/1", "flow/1")


def check_alert(data: bytes) -> None:
    """Read a stream's record: alerts that read back the same, or one fault; memory in proportion to its bytes."""
    with memory(BASE_BYTES, A_BYTE, len(data)), ours_alone(AlertFault):
        for found in read_record(data, TIME):
            alert = found.alert if isinstance(found, EnrichedAlert) else found
            promise(_reads_back(alert), "an alert that was read is read as another one when it is written")


def check_document(data: bytes) -> None:
    """Read a file of alerts in blocks: items in order, or one fault; memory in proportion to its bytes."""
    with memory(BASE_BYTES, A_BYTE, len(data)):
        whole = _items(data, len(data) or 1)
        if whole is None:
            return
        parts = _items(data, _BLOCK_BYTES)
        promise(parts == whole, "a file cut into other blocks has other alerts")


def _items(data: bytes, block_bytes: int) -> list[bytes] | None:
    """Return what a file holds, each as JSON or the reason of its fault; None where the file as a whole is faulty."""
    found: list[bytes] = []
    with ours_alone(BrokenJsonError, BrokenGzipError, PackedFileError, BrokenPartError):
        for items in AlertFile(_blocks(data, block_bytes), PieceReader(received=TIME)):
            found += [each.fault.reason.encode() if each.fault else msgspec.json.encode(each.alert) for each in items]
        return found
    return None


def _blocks(data: bytes, block_bytes: int) -> Iterator[bytes]:
    return iter(partial(io.BytesIO(data).read, block_bytes), b"")


def _reads_back(alert: Alert) -> bool:
    return read_alert_bytes(msgspec.json.encode(alert)) == alert


def check_tenants(data: bytes) -> None:
    """Make keys of two tenants and their incidents: no two are one, and neither takes the other's alerts."""
    one, _, other = text_of(data).partition("\n")
    if not one or not other or one == other:
        return
    keys = {key_of(tenant, part) for tenant in (one, other) for part in _PARTS}
    promise(len(keys) == 2 * len(_PARTS), "two tenants, or parts of them, have one key")
    rule = TenantRule("both")
    promise(rule.assign(_named(one), key_of(one)) == one, "an alert does not reach its own tenant")
    with contextlib.suppress(AlertFault):
        rule.assign(_named(other), key_of(one))
        promise(None, "an alert reaches a tenant that it does not name")


def _named(tenant: str) -> Alert:
    return Alert(id=1, time=TIME, src="192.0.2.1", dst="192.0.2.2", name="Port scan", tenant=tenant)
