"""The members of a document beside its alerts, within budgets: settings, node features, an object's own text."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import msgspec

from app.budgets import MOST_ELEMENTS, elements_of
from app.domains.alerts.alert import LARGEST_ALERT_BYTES
from app.domains.alerts.formats.envelopes import NODES
from app.domains.alerts.formats.reading import LARGEST_RECORD_BYTES
from app.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.formats.scanner import Scanner

LARGEST_SETTINGS_BYTES = 64 * 1024 * 1024  # of all documents of a file together
MOST_SETTINGS_ELEMENTS = 2 * MOST_ELEMENTS  # of all documents of a file together: 100,000 nodes of nine features
LARGEST_HELD_BYTES = 64 * 1024 * 1024  # of the alerts of a document that wait until its node features are known
SETTINGS = (NODES, "cluster_config", "config")
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class BrokenPartError(Exception):
    """A part of a document other than its alerts cannot be read; the message is one line without values."""


class FileSettings:
    """The settings of all documents of a file.

    Attributes:
        node_feature: Features by node; a node without an object is left out.
        cluster_config: Settings for clusters.
        config: Settings for flows.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.node_feature: dict[str, dict[str, Any]] = {}
        self.cluster_config: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self._bytes, self._elements = LARGEST_SETTINGS_BYTES, MOST_SETTINGS_ELEMENTS

    def add(self, members: dict[str, bytes]) -> None:
        """Add those of a document, as JSON.

        Raises:
            BrokenPartError: One has a wrong type.
        """
        nodes, cluster_config, config = (_object(members, name) for name in SETTINGS)
        self.node_feature |= {node: each for node, each in nodes.items() if isinstance(each, dict)}
        self.cluster_config |= cluster_config
        self.config |= config

    def read(self, name: str, scanner: Scanner) -> bytes:
        """Read a member that is one of them.

        Raises:
            BrokenJsonError: It does not end.
            BudgetError: All of the file together are too large.
        """
        value, size = scanner.value(self._bytes)
        self._bytes -= size
        self._elements -= elements_of(value) if value is not None else 0
        if value is None or self._elements < 0:
            raise BudgetError(
                f"{name}: more than {LARGEST_SETTINGS_BYTES} bytes or {MOST_SETTINGS_ELEMENTS} values of settings in "
                "one file; leave out the nodes that its alerts do not name"
            )
        return value


class Parts:
    """The members of one document.

    Attributes:
        has_input: Whether it has a list of alerts.
        is_held: Whether all alerts that are to be read at the document's end are held; False where they are too large.
        settings: Settings and node features by name, as JSON.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.has_input = False
        self.is_held = True
        self._held, self._ends = bytearray(), array("q")  # one after the other, since an object a piece takes more
        self.settings: dict[str, bytes] = {}
        self._text: bytearray | None = bytearray(b"{")

    def hold(self, scanner: Scanner) -> None:
        """Read a list of alerts, to be handed on later.

        Raises:
            BrokenJsonError: It does not end, or a comma is missing.
        """
        for element, _ in scanner.elements(LARGEST_ALERT_BYTES):
            if self.is_held:
                self._held += element or b""
                self._ends.append(len(self._held))
                self.is_held = len(self._held) <= LARGEST_HELD_BYTES
        if not self.is_held:
            self._held, self._ends = bytearray(), array("q")

    def elements(self) -> Iterator[bytes | None]:
        """Yield the elements of the lists of alerts; one that is too large is None."""
        start = 0
        for end in self._ends:
            yield bytes(self._held[start:end]) or None
            start = end

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add a member to the text of an object without a list of alerts; None is one that is too large."""
        if self._text is None or self.has_input:
            return
        if value is None or len(self._text) + len(key) + len(value) > LARGEST_RECORD_BYTES:
            self._text = None
        else:
            self._text += b"%b:%b," % (key, value)

    def text(self) -> bytes | None:
        """Return the object as JSON; None where it is too large to be read whole."""
        if self._text is None:
            return None
        return bytes(self._text).removesuffix(b",") + b"}"


def _object(members: dict[str, bytes], name: str) -> dict[str, Any]:
    """Return a member that is an object; null, or none, is an empty one."""
    try:
        return msgspec.json.decode(members.get(name, b"null"), type=dict[str, Any] | None) or {}
    except UNREADABLE as error:
        raise BrokenPartError(f"{name}: expected an object, {{…}}, of JSON that can be read: {error}") from None
