"""docs/alert-formats.md, its tables and the readers agree."""

from __future__ import annotations

import pytest

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.formats import FORMATS, Format, read_alert_bytes
from app.domains.alerts.formats.attributes import RESERVED
from app.domains.alerts.formats.recognise import _LINES, _OBJECTS
from devtools.docs.alert_formats import RULES, alert_formats


def test_every_format_is_on_the_page_and_is_looked_for() -> None:
    assert {each.name for each in FORMATS} == {each.name for each in (*_LINES, *_OBJECTS)}
    assert all(f"## {each.title}\n" in alert_formats() for each in FORMATS)


@pytest.mark.parametrize("which", FORMATS, ids=lambda each: each.name)
def test_a_table_names_only_reserved_keys_and_no_path_twice(which: Format) -> None:
    for _, table in which.tables:
        assert set(table.attributes) <= set(RESERVED)
        for paths in (table.id, table.time, table.src, table.dst, table.name, table.tech, *table.attributes.values()):
            assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"", b"\xff", b"x", b'{"id":1,"time":1,"src":"a","dst":"b"}'])
def test_the_reasons_on_the_page_are_the_reasons_there_are(data: bytes) -> None:
    with pytest.raises(AlertFault) as caught:
        read_alert_bytes(data)
    assert f"`{caught.value.reason}`" in RULES
