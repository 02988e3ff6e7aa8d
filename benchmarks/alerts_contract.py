"""What the parts of the alerts' benchmark agree on: candidates, workloads, and the rows that a run finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

TECHNIQUE, MODEL, SKLEARN = "alerts_technique", "alerts_model", "alerts_sklearn"
PIPELINE = "alerts_pipeline"
CLUSTER, PAIRWISE = "alerts_cluster", "alerts_pairwise"
"""Candidates, by their modules in `benchmarks.peers`."""

TITLES = {
    TECHNIQUE: "(d) Millrace",
    MODEL: "(d1) its model alone",
    SKLEARN: "(k) scikit-learn",
    PIPELINE: "(d) Millrace, the pipeline",
    CLUSTER: "(d2) Millrace",
    PAIRWISE: "(n) each alert with all before it",
}

NEW, STRANGE, MOSTLY_KNOWN, KNOWN, FOLDED = "new", "new words too", "90 % known", "known", "known once folded"
WORKLOADS = (NEW, STRANGE, MOSTLY_KNOWN, KNOWN, FOLDED)
ONE, SMALL, LARGE = 1, 500, 2000
"""Alerts a call: one by one, and two usual sizes of an event."""

MIX, SCANNER, DIFFERENT = "a day's mix", "one scanner", "all different"
SHAPES = (MIX, SCANNER, DIFFERENT)

TENANT = "bench"
READ, TOLD, CLUSTERED, FLOWED, ENCODED, STATE, PUT, REST = (
    "decode and read", "technique", "cluster", "flow", "encode", "state", "seal and put", "the rest",
)  # fmt: skip
STAGES = (READ, TOLD, CLUSTERED, FLOWED, ENCODED, STATE, PUT, REST)


def stream_of(role: str) -> str:
    """The stream of a role, as the benchmark's settings name it."""
    return f"bench-{role}"


@dataclass(frozen=True)
class Sizes:
    """How many alerts are measured.

    Attributes:
        texts: Part of the texts of a pass.
        pipeline: Alerts through the whole pipeline.
        compared: Alerts whose outputs are compared first, however they are cut.
        staged: Alerts with clocks around the stages.
        growth: Where growth is looked at.
        pairs: Alerts that the pairwise way survives.
    """

    texts: float = 1.0
    pipeline: int = 100_000
    compared: int = 10_000
    staged: int = 20_000
    growth: tuple[int, ...] = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    pairs: int = 3000

    def up_to(self, most: int) -> Sizes:
        """The same with at most so many alerts of anything."""
        points = tuple(point for point in self.growth if point <= most)
        if not points[1:]:  # a slope takes two at the least
            points = (most // 9, most // 3, most)
        pipeline, compared, staged, pairs = (
            min(each, most) for each in (self.pipeline, self.compared, self.staged, self.pairs)
        )
        return Sizes(self.texts, pipeline, compared, staged, points, pairs)


@dataclass(frozen=True)
class AlertOptions:
    """The options of the command for alerts.

    Attributes:
        sizes: How many.
        data: A folder with the rules' file and the AIT-ADS files; None for what is shipped or invented.
    """

    sizes: Sizes
    data: Path | None


QUICK_SIZES = Sizes(0.1, 20_000, 4000, 4000, (10_000, 30_000, 100_000), 1000)


@dataclass
class TextFigure:
    """One row of the table of techniques.

    Attributes:
        workload: What the texts were.
        candidate: The candidate's name.
        title: Its title.
        batch: Alerts a call.
        cpu_us: Median CPU of an alert, microseconds.
        wall_us: Median wall clock of an alert.
        passes: How many passes the medians are of.
        alerts: How many alerts a pass had.
        vs_sklearn: scikit-learn's CPU on new texts in batches of 2,000 by this one's, in the same rounds.
    """

    workload: str
    candidate: str
    title: str
    batch: int
    cpu_us: float
    wall_us: float
    passes: int
    alerts: int
    vs_sklearn: float | None = None

    @property
    def a_second(self) -> float:
        """Alerts a second of CPU."""
        return 1e6 / self.cpu_us


@dataclass(frozen=True)
class TextHolder:
    """What a candidate holds to tell techniques; it is not a matter of speed.

    Attributes:
        candidate: The candidate's name.
        title: Its title.
        labels: Techniques that it can tell.
        features: Words and pieces of words that it knows.
        modules: How many modules it imports.
        ready_ms: CPU from the process's start until it is ready.
        ready_mb: Resident memory then, MB of 2^20 bytes.
        peak_mb: The most that was resident until the end.
    """

    candidate: str
    title: str
    labels: int
    features: int
    modules: int
    ready_ms: float
    ready_mb: float | None
    peak_mb: float | None


@dataclass(frozen=True)
class PipelineFigure:
    """The whole pipeline on one shape of alerts and one size of event.

    Attributes:
        shape: What the alerts were.
        alerts: How many.
        per_event: How many in an event.
        cpu_us: CPU of an alert, microseconds.
        wall_us: Wall clock of an alert.
        outputs: Records put for each stream role.
        state_bytes: The tenant's state at the end.
        peak_mb: The most memory that was resident.
    """

    shape: str
    alerts: int
    per_event: int
    cpu_us: float
    wall_us: float
    outputs: dict[str, int]
    state_bytes: int
    peak_mb: float | None

    @property
    def a_second(self) -> float:
        """Alerts a second of CPU."""
        return 1e6 / self.cpu_us


@dataclass(frozen=True)
class Stage:
    """What a stage of the pipeline takes of an alert, microseconds of CPU; from a pass of its own with clocks in it."""

    stage: str
    cpu_us: float
    share: float


@dataclass(frozen=True)
class Point:
    """How far a growing stream has come.

    Attributes:
        alerts: How many so far.
        cpu_s: CPU of all of them.
        wall_s: Wall clock of all of them.
        resident_mb: Memory that is resident now.
        state_bytes: The tenant's state now.
    """

    alerts: int
    cpu_s: float
    wall_s: float
    resident_mb: float | None
    state_bytes: int


@dataclass(frozen=True)
class Growth:
    """How time, memory and state grow with the alerts.

    Attributes:
        shape: What the alerts were.
        points: At 10,000 alerts and on.
        cpu_slope: The exponent that fits CPU over alerts best; 1 is linear.
        state_slope: The same of the state from the last two points; 0 is bounded.
    """

    shape: str
    points: list[Point]
    cpu_slope: float
    state_slope: float


@dataclass(frozen=True)
class PairFigure:
    """Clustering alone and the pairwise way, on the same alerts.

    Attributes:
        alerts: How many.
        clusters: How many clusters the alerts are in.
        agreement: The adjusted Rand index of its clusters and those of the pairwise way; 1 is the same.
    """

    candidate: str
    title: str
    alerts: int
    cpu_us: float
    passes: int
    clusters: int
    agreement: float
    times_pairwise: float | None

    @property
    def a_second(self) -> float:
        """Alerts a second of CPU."""
        return 1e6 / self.cpu_us


@dataclass
class AlertResults:
    """What a run found of the alerts.

    Attributes:
        texts: The table of techniques.
        holders: What each candidate of it holds.
        pipeline: The whole pipeline.
        stages: What its stages take.
        growth: How it grows.
        pairs: Clustering and the pairwise way.
        agreed: How many answers and outputs were compared before anything was timed; all agreed.
        corpus: What scikit-learn was fitted on.
        source: Whether the alerts are invented or a data set's.
    """

    texts: list[TextFigure] = field(default_factory=list)
    holders: list[TextHolder] = field(default_factory=list)
    pipeline: list[PipelineFigure] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    pairs: list[PairFigure] = field(default_factory=list)
    agreed: int = 0
    corpus: str = ""
    source: Literal["invented", "AIT-ADS"] = "invented"
