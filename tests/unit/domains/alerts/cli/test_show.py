"""What a person sees of clusters and flows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app.domains.alerts.cli.show import cluster_table, draw, hosts, print_flow
from app.domains.alerts.incidents import ClusterSummary, Flow, FlowEdge, FlowNode, Step
from app.domains.alerts.report.words import lasting, name_of, technique_name
from app.text import one_line

START_S = 1_715_673_600.0


def node(number: int, name: str = "a step", technique: str = "T1046") -> FlowNode:
    step = Step(technique, name, "ws-1", "db1", START_S + number, START_S + number, 1 + number, number)
    return FlowNode(f"1-{number}", 1, "discovery" if technique else "", step)


def flow(nodes: int, edges: list[tuple[int, int, float]]) -> Flow:
    made = tuple(FlowEdge(f"1-{one}", f"1-{other}", p, f"{one} led to {other}") for one, other, p in edges)
    return Flow(1, (1,), 0.75, tuple(map(node, range(nodes))), made, START_S, START_S + nodes)


def cluster(**changed: object) -> ClusterSummary:
    values = {
        "cluster_id": 7, "alerts": 3, "start_time": START_S, "end_time": START_S + 75, "srcs": ("ws-1",),
        "dsts": ("db1",), "entities": ("ws-1", "db1"), "techniques": ("T1003.001",), "tactics": ("credential-access",),
        "steps": (),
    }  # fmt: skip
    return ClusterSummary(**(values | changed))  # type: ignore[arg-type]


def printed(*shown: object) -> str:
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        for each in shown:
            console.print(each, soft_wrap=True)
    return captured.get()


def test_a_flow_is_drawn_from_its_first_step_to_its_last() -> None:
    lines = printed(*draw(flow(4, [(0, 1, 0.9), (1, 2, 0.4), (0, 2, 0.8), (1, 3, 0.5)]))).splitlines()
    assert lines[0].startswith(
        "flow 1  4 steps of cluster 1, an attack with probability 0.75, from 2024-05-14 08:00:00"
    )
    steps = [line for line in lines if re.search(r"\d\d:\d\d:\d\d  discovery", line)]
    assert [line.split()[-2] for line in steps if "times" in line] == ["2", "4", "3"]  # the branch of step 2, then 3
    assert "0.90 0 led to 1" in lines[2]
    assert "0.80 from step 1: 0 led to 2" in "\n".join(lines)
    assert "0.40" not in "\n".join(lines)  # the most probable of two ways is shown


def test_a_long_flow_is_cut_and_says_so() -> None:
    lines = printed(*draw(flow(50, [(each, each + 1, 0.9) for each in range(49)]), most=10)).splitlines()
    assert lines[-1].strip() == "… and 40 more steps"


@given(st.data(), st.integers(1, 25))
def test_each_step_is_drawn_once_however_they_hang_together(data: st.DataObject, count: int) -> None:
    pairs = st.integers(0, count - 1).flatmap(lambda one: st.tuples(st.integers(0, one), st.just(one)))
    found = (
        data.draw(st.lists(pairs.filter(lambda pair: pair[0] < pair[1]), max_size=40, unique=True)) if count > 1 else []
    )
    text = printed(*draw(flow(count, [(one, other, data.draw(st.floats(0.01, 1))) for one, other in found])))
    numbers = [int(found[1]) for found in re.finditer(r"(\d+) \d\d:\d\d:\d\d  discovery", text)]
    assert numbers == list(range(1, count + 1))


def test_what_an_alert_says_cannot_speak_to_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[red]\r\nnext\u202e"
    assert one_line(evil) == "�]0;owned�[red] next�"
    made = flow(0, [])
    shown = printed(*draw(Flow(1, (1,), 1.0, (node(0, evil),), (), made.start_time, made.end_time)))
    shown += printed(cluster_table([cluster(srcs=(evil,))], "clusters"))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]" in shown  # as text, not as a colour


def test_a_table_has_a_row_a_cluster() -> None:
    shown = printed(cluster_table([cluster(), cluster(cluster_id=8, techniques=("T1059", "T9999"))], "two"))
    assert "T1003.001 OS Credential Dumping: LSASS Memory" in shown
    assert "ws-1 → db1" in shown
    assert "1 min 15 s" in shown
    assert "T9999" in shown


def test_names_of_techniques() -> None:
    assert technique_name("T1059") == "T1059 Command and Scripting Interpreter"
    assert name_of("T1059.001") == "Command and Scripting Interpreter: PowerShell"
    assert (name_of("T9999"), technique_name("T9999")) == ("", "T9999")


def test_many_hosts_are_counted() -> None:
    assert hosts(cluster(srcs=tuple("abcdef"), dsts=("x",))) == "a, b, c, d, +2 → x"
    assert hosts(cluster(srcs=("x",), dsts=("x",))) == "x"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3_725, "1 h 02 min"), (100_000, "1 d 3 h")],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


@pytest.mark.parametrize("width", [40, 80])
def test_tables_and_flows_keep_to_the_terminals_width(width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(cluster_table([cluster(srcs=("a-long-name.example.com",) * 4)], "clusters"))
        print_flow(console, flow(9, [(each, each + 1, 0.9) for each in range(8)]))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len([line for line in lines if re.search(r"\d\d:\d\d:\d\d  disc", line)]) == 9
