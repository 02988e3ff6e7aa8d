"""docs/alert-formats.md: that it is what the tables say, and that the tables are what the readers read."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.formats import FORMATS, Format, page, read_alert_bytes
from app.domains.alerts.formats.attributes import RESERVED
from app.domains.alerts.formats.recognise import _LINES, _OBJECTS

ROOT = Path(__file__).parents[5]
PAGE = ROOT / "docs" / "alert-formats.md"


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text() == page.markdown(), "run: python -m app.domains.alerts.formats.page > docs/alert-formats.md"


def test_every_format_is_on_the_page_and_is_looked_for() -> None:
    assert {each.name for each in FORMATS} == {each.name for each in (*_LINES, *_OBJECTS)}
    assert all(f"## {each.title}\n" in page.markdown() for each in FORMATS)


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
    assert f"`{caught.value.reason}`" in page.RULES
