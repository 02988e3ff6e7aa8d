"""The page of incidents: readable at one step and at two hundred, complete without anything else, and harmless."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.incidents import ClusterChange
from app.domains.alerts.report import page as page_module
from app.domains.alerts.report.incident import Incident, by_severity
from app.domains.alerts.report.kept import ALERTS_A_STEP, KeptAlerts
from app.domains.alerts.report.page import MOST_INCIDENTS, MOST_STEPS, incident_page
from app.domains.alerts.report.summary import summarize
from tests.flows_for_tests import TECHNIQUES, flow_of, step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.domains.alerts.incidents import Flow, Step

START_S = 1_715_673_600.0  # 2024-05-14 08:00:00
EVIL = '"><img src=x onerror=alert(1)>\x1b[31m</pre></style><script>alert(2)</script>\u202e&amp;\x9b\x00'
VOID = frozenset(("meta", "br", "img"))


class Parsed(HTMLParser):
    """A page's elements, checked to be closed in order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page.decode())
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data + "\n"


def steps_of(count: int, *, name: str = "An alert", severity: int | None = None) -> list[Step]:
    """Steps on seven machines, with a night between two of them."""
    made = []
    for number in range(count):
        time = START_S + 90 * number + (50_000 if number > count // 2 else 0)
        machine = f"wks-{number % 7}"
        each = step(
            time, TECHNIQUES[number % len(TECHNIQUES)], f"wks-{(number - 1) % 7}", machine, alerts=1 + number % 3
        )
        made.append(msgspec.structs.replace(each, name=name, severity=severity))
    return made


def page_of(flows: Sequence[Flow], kept: KeptAlerts | None = None, title: str = "alerts.json", **names: Any) -> bytes:
    kept = kept or KeptAlerts(of_steps=True)
    incidents = [Incident(number, flow, "default", **names) for number, flow in enumerate(by_severity(flows), 1)]
    summary = summarize(500, 2, {"default": ([], flows)}, kept.most_severe())
    return incident_page(title, summary, incidents, lambda each: kept.of(each.tenant, each.flow))


def alert(number: int, name: str = "An alert", severity: int | None = None, **changed: Any) -> EnrichedAlert:
    made = Alert(id=number, time=START_S + number, src="a", dst="b", name=name, severity=severity, **changed)
    return EnrichedAlert(made, Techniques(("T1059",), Techniques.ALERT, 1.0, (1.0,)))


def test_incidents_stand_with_the_most_severe_first_and_say_why() -> None:
    low = flow_of(steps_of(3), flow_id=1, severity=20)
    high = flow_of(steps_of(1, severity=95), flow_id=50, severity=95, reasons=["T1003.006 is critical by itself"])
    parsed = Parsed(page_of([low, high]))
    text = parsed.text
    assert text.index("Incident 1: ") < text.index("T1003.006 is critical by itself") < text.index("Incident 2: ")
    assert "critical 95" in text
    assert "2 incidents: 1 critical, 1 low." in text
    assert "Of 500 alerts, 7 are in incidents, 0 in clusters that are none, and 496 stand alone." in text
    assert "2 alerts could not be read." in text
    assert text.count("Steps in time") == 2


@pytest.mark.parametrize("count", [1, 20, 200])
def test_each_step_stands_in_the_table_and_once_on_the_lanes(count: int) -> None:
    parsed = Parsed(page_of([flow_of(steps_of(count))]))
    circles = [value for name, value in parsed.attributes if name == "class" and value and value.startswith("step ")]
    assert len(circles) == count
    rows = [line for line in parsed.text.splitlines() if line.startswith("2024-05-1")]
    assert len(rows) > count
    pictures = parsed.tags.count("svg")
    assert pictures == -(-count // 24)
    assert [name for name, _ in parsed.attributes].count("aria-labelledby") == pictures + 1  # and the section


def test_a_long_pause_is_a_gap_with_its_length() -> None:
    assert "13 h 54 min" in Parsed(page_of([flow_of(steps_of(20))])).text


def test_machines_have_the_names_that_alerts_state_with_their_address() -> None:
    flow = flow_of(
        [step(START_S, "T1059", "10.20.0.31", "::ffff:10.20.0.31"), step(START_S + 9, "T1003", "WKS-31", "-")]
    )
    parsed = Parsed(page_of([flow], names={"10.20.0.31": "wks-31"}))
    assert "wks-31 (10.20.0.31)" in parsed.text
    assert [value for _, value in parsed.attributes if value and value.startswith("lane-")] == ["lane-0"]


def test_without_an_incident_the_page_says_what_there_is() -> None:
    kept = KeptAlerts(of_steps=True)
    for number in range(30):
        name = f"Type {chr(97 + number)}"
        kept.add(alert(number, name, severity=number), "default", ClusterChange(number, opened=True))
    text = Parsed(page_of([], kept)).text
    assert "No alerts were found to belong together" in text
    assert "500 stand alone" in text
    assert "The most severe alerts, one of each type" in text
    assert text.count("stands alone") == 10


def test_a_page_needs_nothing_else_and_forbids_it() -> None:
    kept = KeptAlerts(of_steps=True)
    kept.add(alert(1, "see https://evil.example/x"), "default", ClusterChange(1, opened=True))
    parsed = Parsed(page_of([flow_of(steps_of(5))], kept))
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "image", "use"} & set(parsed.tags)
    assert all(value and value.startswith("#") for name, value in parsed.attributes if name in {"href", "src"})
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "style"]
    assert "default-src 'none'; style-src 'unsafe-inline'" in [value for _, value in parsed.attributes]
    assert "url(" not in page_module._style()


@pytest.mark.parametrize("evil", [EVIL, EVIL.upper(), "\ud800", "]]>", "<!--", "</svg><svg onload=alert(1)>"])
def test_what_an_alert_says_is_text(evil: str) -> None:
    kept = KeptAlerts(of_steps=True)
    made = alert(1, evil, 95, severity_from=evil, other_attributes={"note": evil})
    kept.add(made, "default", ClusterChange(1, opened=True), evil.encode("utf-8", "replace"))
    hostile = step(START_S, "T1059", evil, evil + "x")
    hostile = msgspec.structs.replace(hostile, name=evil, entities=(evil,))
    flow = flow_of([hostile, hostile], reasons=[evil])
    plain = Parsed(page_of([flow_of([step(START_S, "T1059", "a", "b")] * 2, reasons=["x"])], kept))
    parsed = Parsed(page_of([flow], kept, title=evil, names={evil: evil}))
    assert sorted(set(parsed.tags)) == sorted(set(plain.tags))
    assert all(letter.isprintable() or letter in "\n\t" for letter in parsed.text)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]


@given(st.text(max_size=60))
def test_no_text_of_an_alert_becomes_an_element(text: str) -> None:
    named = msgspec.structs.replace(step(START_S, "T1059", text, "b"), name=text)
    tags = Parsed(page_of([flow_of([named])], title=text)).tags
    assert set(tags) <= set(Parsed(page_of([flow_of([step(START_S, "T1059", "c", "b")])])).tags)


def test_large_results_are_bounded_and_say_so() -> None:
    flows = [flow_of(steps_of(2), flow_id=10 * number) for number in range(MOST_INCIDENTS + 3)]
    flows.append(flow_of(steps_of(MOST_STEPS + 50), flow_id=100_000))
    page = page_of(flows)
    text = Parsed(page).text
    assert "4 more incidents are less severe and only listed above." in text
    assert "50 more steps are not shown" in text
    assert len(page) < 2_000_000


def test_a_noisy_type_is_once_among_the_most_severe() -> None:
    kept = KeptAlerts(of_steps=False)
    for number in range(50):
        kept.add(alert(number, f"Noise {number}", 90 - number % 2), "default", ClusterChange(number, opened=True))
    kept.add(alert(99, "Quiet", 20), "default", ClusterChange(99, opened=True))
    assert [(each.severity, each.alert.alert.id, each.alike) for each in kept.most_severe()] == [
        (90, 0, 50),
        (20, 99, 1),
    ]


def test_a_short_and_a_full_name_are_one_machine_within_an_incident() -> None:
    flow = flow_of(
        [step(START_S, "T1059", "db1", "db1.lan.example"), step(START_S + 9, "T1003", "www.example.com", "-")]
    )
    assert list(Incident(1, flow).machines) == ["db1", "www.example.com"]


def test_the_first_alerts_of_each_step_are_kept_through_merges() -> None:
    kept = KeptAlerts(of_steps=True)
    for number in range(100):
        kept.add(alert(number, f"Login {number} failed"), "default", ClusterChange(1, opened=not number))
    kept.add(alert(200, "Another", 95), "default", ClusterChange(2, opened=True))
    kept.add(alert(300, "Login 300 failed"), "default", ClusterChange(1, merged=(2,)))
    named = [msgspec.structs.replace(step(START_S, "", "a", "b"), name=name) for name in ("Login 0 failed", "Another")]
    both, one = (flow_of(each, in_cluster=1) for each in (named, named[1:]))
    names = [each.alert.alert.name for each in kept.of("default", both)]
    assert names == [*(f"Login {number} failed" for number in range(ALERTS_A_STEP)), "Another"]
    assert [each.alert.alert.name for each in kept.of("default", one)] == ["Another"]
    assert [each.cluster for each in kept.most_severe()] == [1]
    assert kept.of("other", both) == []


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(("width", "height"), [(1200, 800), (390, 844)])
def test_a_browser_opens_it_and_runs_nothing(tmp_path: Path, width: int, height: int) -> None:
    assert CHROMIUM is not None
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    path = tmp_path / "page.html"
    path.write_bytes(page_of([flow_of(steps_of(30, name=evil, severity=80), severity=80)], title=evil))
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
         f"--window-size={width},{height}", "--dump-dom", f"file://{path}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    dom = Parsed(done.stdout.encode())
    assert "script" not in dom.tags
    assert "<title>Incidents: &lt;script&gt;" in done.stdout  # no script has set another
    assert dom.tags.count("svg") == 2
