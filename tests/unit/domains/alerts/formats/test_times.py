"""Every form of a time that products write is read; where there is none, the alert has its arrival's and says so."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from subprocess import run
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import TIME_FROM, AlertFault
from app.domains.alerts.formats import read_alert
from app.domains.alerts.formats.times import LATEST_SECONDS, seconds_or_none
from tests.unit.domains.alerts.formats.examples import CEF_LINE, EXAMPLES, SEED, TIME

WHOLE = TIME - 0.5  # 2024-05-23T12:54:16Z
MIDNIGHT, MINUTE = WHOLE - 46_456, WHOLE - 16
ARRIVAL = TIME + 3600


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("May 23 2024 12:54:16 GMT+00:00", WHOLE),
        ("May 23 2024 14:54:16 GMT+02:00", WHOLE),
        ("Thu May 23 2024 14:54:16 GMT+0200 (Central European Summer Time)", WHOLE),
        ("May 23 2024 14:54:16+02:00", WHOLE),
        ("2024-05-23 14:54:16+0200", WHOLE),
        ("2024-05-23 07:54:16 -05:00", WHOLE),
        ("2024-05-23 07:54:16 EST", WHOLE),
        ("2024-05-23 14:54:16.500 CEST", TIME),
        ("2024-05-23 08:54:16 America/New_York", WHOLE),
        ("2024-05-23T14:54:16.5[Europe/Berlin]", TIME),
        ("2024-05-23T14:54:16.5+02:00[Europe/Berlin]", TIME),
        ("2024-05-23T12:54:16.500Z[UTC]", TIME),
        ("2024-05-23T12:54:16.500Z UTC", TIME),
        ("2024-05-23 12:54:16.5 UTC", TIME),
        ("2024-05-23 14:54:16.5 +0200 CEST m=+0.5", TIME),
        ("Thu May 23 12:54:16 2024", WHOLE),
        ("Thu May 23 12:54:16 UTC 2024", WHOLE),
        ("Thu, 23 May 2024 12:54:16 GMT", WHOLE),
        ("Thu, 23 May 2024 14:54:16 +0200", WHOLE),
        ("23/May/2024:12:54:16 +0000", WHOLE),
        ("23 May 2024 12:54:16", WHOLE),
        ("23-MAY-2024 12:54:16.5", TIME),
        ("23.05.2024 12:54:16", WHOLE),
        ("23/05/2024 12:54", MINUTE),
        ("5/23/2024 12:54:16 PM", WHOLE),
        ("5/23/2024, 12:54:16\u202fPM", WHOLE),
        ("2024/05/23 12:54:16", WHOLE),
        ("2024-05-23 12:54:16,500", TIME),
        ("2024-05-23 12:54:16,500 +0000", TIME),
        ("May 23 12:54:16,500", TIME),
        ("*May 23 12:54:16.500 UTC:", TIME),
        ("2024 May 23 12:54:16", WHOLE),
        ("2024-05-23 12:53:60", MINUTE),
        ("2024-05-23T12:53:60Z", MINUTE),
        ("2024-05-23-12.54.16.500000", TIME),
        ("23-May-24 12.54.16.500000 PM", TIME),
        ("/Date(1716468856500)/", TIME),
        ("\\/Date(1716468856500+0200)\\/", TIME),
        (133_609_424_565_000_000, TIME),
        ("133609424565000000", TIME),
        (20240523, MIDNIGHT),
        ("20240523", MIDNIGHT),
        (20240523.0, MIDNIGHT),
        ("202405231254", MINUTE),
        ("20240523125416", WHOLE),
        ("20240523125416.5Z", TIME),
        ("20240523T125416Z", WHOLE),
    ],
)
def test_a_time_is_read_as_its_product_meant_it(written: object, seconds: float) -> None:
    alert = read_alert({**SEED, "time": written}, received=ARRIVAL)
    assert alert.time == pytest.approx(seconds, abs=1e-6)
    assert TIME_FROM not in alert.other_attributes


@pytest.mark.parametrize(
    ("written", "is_day"),
    [("05/06/2024 00:00", "2024-05-06"), ("05.06.2024", "2024-06-05"), ("13/06/2024", "2024-06-13")],
)
def test_of_two_numbers_the_month_is_first_with_strokes_and_the_day_with_dots(written: str, is_day: str) -> None:
    found = seconds_or_none(written)
    assert found is not None
    assert datetime.fromtimestamp(found, UTC).date().isoformat() == is_day


UNREADABLE = ["soon", "Thu", "12:54", "May 2024", "20241350", 20241350, "2024-02-30", "23 mai 2024", "-1", True, [1]]


@pytest.mark.parametrize("written", [*UNREADABLE, None, ""])
def test_where_no_time_can_be_read_the_arrival_is_the_time_and_the_alert_says_so(written: object) -> None:
    alert = read_alert({**SEED, "time": written}, received=ARRIVAL)
    assert (alert.time, alert.other_attributes[TIME_FROM]) == (ARRIVAL, "arrival")


@pytest.mark.parametrize("written", UNREADABLE)
def test_without_an_arrival_such_an_alert_is_refused(written: object) -> None:
    with pytest.raises(AlertFault) as caught:
        read_alert({**SEED, "time": written})
    assert caught.value.reason == "bad_time"


def undated(value: Any) -> Any:
    """A record with no time in it that can be read."""
    if isinstance(value, dict):
        return {key: undated(each) for key, each in value.items()}
    if isinstance(value, list):
        return [undated(each) for each in value]
    seconds = seconds_or_none(value, ARRIVAL)
    return "soon" if seconds is not None and abs(seconds - TIME) < 10 * 86_400 else value


@pytest.mark.parametrize("name", [name for name, each in EXAMPLES.items() if isinstance(each, dict)])
def test_no_format_loses_an_alert_for_its_date(name: str) -> None:
    alert = read_alert(undated(EXAMPLES[name]), received=ARRIVAL)
    assert (alert.time, alert.other_attributes[TIME_FROM]) == (ARRIVAL, "arrival")


def test_a_cef_line_without_any_time_is_of_its_arrival() -> None:
    alert = read_alert("CEF:0|Example|Wall|1|1|scan|3|src=192.0.2.1 rt=soon", received=ARRIVAL)
    assert (alert.time, alert.other_attributes[TIME_FROM]) == (ARRIVAL, "arrival")


def test_the_time_of_a_syslog_head_is_better_than_the_arrival() -> None:
    alert = read_alert(CEF_LINE.replace("rt=1716468856500", "rt=soon"), received=ARRIVAL)
    assert (alert.time, alert.other_attributes[TIME_FROM]) == (WHOLE + 4, "transport")


@given(
    st.text(st.characters(max_codepoint=127), max_size=100)
    | st.text(st.sampled_from("0123456789:./-+ TZapmGMTUCestMay[]()"), max_size=80)
    | st.floats()
    | st.integers()
    | st.integers(-(10**40), 10**40)
)
def test_whatever_stands_for_a_time_is_one_within_the_bounds_or_none(value: object) -> None:
    found = seconds_or_none(value, ARRIVAL)
    assert found is None or 0 <= found <= LATEST_SECONDS


@given(st.integers(946_684_800, 2_500_000_000), st.sampled_from(["%d %b %Y %H:%M:%S", "%c", "%m/%d/%Y %I:%M:%S %p"]))
def test_a_date_in_words_is_the_date(seconds: int, form: str) -> None:
    assert seconds_or_none(datetime.fromtimestamp(seconds, UTC).strftime(form)) == seconds


def test_ordinary_times_need_no_library() -> None:
    script = (
        "import sys; from app.domains.alerts.formats.times import seconds_or_none as s; "
        "s(1.0), s('2024-05-23T12:54:16Z'), s('May 23 2024 12:54:16'); print('dateutil' in sys.modules)"
    )
    assert run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.strip() == "False"
