"""Alerts of all formats, as files of alerts are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.formats import read_alert, read_alert_bytes, read_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.alert import Alert, AlertFault


class Formats:
    """Reads alerts of all formats."""

    def read_alert(self, raw: bytes) -> Alert:
        """One alert from its JSON or its line; an element of a list may be a line in quotes.

        Raises:
            AlertFault: It cannot be read.
        """
        if raw[:1] != b'"':
            return read_alert_bytes(raw)
        try:
            line = msgspec.json.decode(raw, type=str)
        except (msgspec.MsgspecError, ValueError):
            return read_alert_bytes(raw)  # it says what is wrong
        return read_alert(line)

    def read_document(self, document: Any) -> tuple[Sequence[Alert], Sequence[tuple[int, AlertFault]]]:  # noqa: ANN401 - any JSON
        """The alerts of a document that is not the seed's, and the place and the fault of each of the others.

        Raises:
            AlertFault: It cannot be read as a whole.
        """
        found = read_document(document)
        return found.alerts, found.faults
