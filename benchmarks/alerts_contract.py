"""Define the candidates, the workloads and the result rows of the alerts' benchmark."""

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
READ, RESOLVED, CLUSTERED, FLOWED, ENCODED, STATE, PUT, REST = (
    "decode and read", "technique", "cluster", "flow", "encode", "state", "seal and put", "the rest",
)  # fmt: skip
STAGES = (READ, RESOLVED, CLUSTERED, FLOWED, ENCODED, STATE, PUT, REST)


def stream_of(role: str) -> str:
    """Return the name of a role's stream in the benchmark's settings."""
    return f"bench-{role}"


@dataclass(frozen=True)
class Sizes:
    """The numbers of alerts to measure.

    Attributes:
        texts: The share of a pass's texts to use, from 0 to 1.
        pipeline: Alerts to send through the whole pipeline.
        compared: Alerts whose outputs are compared first, in events of two sizes.
        staged: Alerts to run with clocks around the stages.
        growth: Numbers of alerts at which growth is recorded.
        pairs: Alerts for the pairwise method, which takes time proportional to their square.
    """

    texts: float = 1.0
    pipeline: int = 100_000
    compared: int = 10_000
    staged: int = 20_000
    growth: tuple[int, ...] = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    pairs: int = 3000

    def up_to(self, most: int) -> Sizes:
        """Return these sizes with each limited to `most` alerts."""
        points = tuple(point for point in self.growth if point <= most)
        if not points[1:]:  # a slope needs at least two
            points = (most // 9, most // 3, most)
        pipeline, compared, staged, pairs = (
            min(each, most) for each in (self.pipeline, self.compared, self.staged, self.pairs)
        )
        return Sizes(self.texts, pipeline, compared, staged, points, pairs)


@dataclass(frozen=True)
class AlertOptions:
    """The options of the command for alerts.

    Attributes:
        sizes: The numbers of alerts to measure.
        data: A folder with the rules' file and the AIT-ADS files; None for the shipped catalogue and invented alerts.
    """

    sizes: Sizes
    data: Path | None


QUICK_SIZES = Sizes(0.1, 20_000, 4000, 4000, (10_000, 30_000, 100_000), 1000)


@dataclass
class TextFigure:
    """One row of the table of techniques.

    Attributes:
        workload: The kind of texts.
        candidate: The candidate's name.
        title: Its title.
        batch: Alerts a call.
        cpu_us: Median CPU of an alert, microseconds.
        wall_us: Median wall clock of an alert.
        passes: Passes that the medians are taken over.
        alerts: Alerts in a pass.
        vs_sklearn: scikit-learn's CPU on new texts in batches of 2,000, divided by this row's, in the same rounds.
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
        """Alerts per second of CPU."""
        return 1e6 / self.cpu_us


@dataclass(frozen=True)
class TextHolder:
    """The size and memory of a candidate that predicts techniques.

    Attributes:
        candidate: The candidate's name.
        title: Its title.
        labels: Techniques that it can predict.
        features: Words and parts of words that it knows.
        modules: Modules that it imports.
        ready_ms: CPU from the process's start until it is ready.
        ready_mb: Resident memory then, MB of 2^20 bytes.
        peak_mb: Peak resident memory at the end.
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
    """The whole pipeline on one shape of alerts with one size of event.

    Attributes:
        shape: The shape of the alerts.
        alerts: Number of alerts.
        per_event: Alerts in an event.
        cpu_us: CPU of an alert, microseconds.
        wall_us: Wall clock of an alert.
        outputs: Records put for each stream role.
        state_bytes: The tenant's state at the end.
        peak_mb: Peak resident memory, MB of 2^20 bytes.
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
        """Alerts per second of CPU."""
        return 1e6 / self.cpu_us


@dataclass(frozen=True)
class Stage:
    """CPU of a pipeline stage per alert, microseconds; measured in a separate pass with clocks in it."""

    stage: str
    cpu_us: float
    share: float


@dataclass(frozen=True)
class Point:
    """The totals of a growing stream at one number of alerts.

    Attributes:
        alerts: Alerts so far.
        cpu_s: CPU of all of them.
        wall_s: Wall clock of all of them.
        resident_mb: Resident memory at this point, MB of 2^20 bytes.
        state_bytes: The size of the tenant's state at this point.
    """

    alerts: int
    cpu_s: float
    wall_s: float
    resident_mb: float | None
    state_bytes: int


@dataclass(frozen=True)
class Growth:
    """The growth of time, memory and state with the alerts.

    Attributes:
        shape: The shape of the alerts.
        points: The totals from 10,000 alerts on.
        cpu_slope: The exponent of the best power law of CPU over alerts; 1 is linear.
        state_slope: The exponent of the state's size between the last two points; 0 is bounded.
    """

    shape: str
    points: list[Point]
    cpu_slope: float
    state_slope: float


@dataclass(frozen=True)
class PairFigure:
    """A row of the table that compares clustering with the pairwise method, on the same alerts.

    Attributes:
        alerts: Number of alerts.
        clusters: Clusters that the alerts are in.
        agreement: The adjusted Rand index between its clusters and the pairwise method's; 1 if they are equal.
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
        """Alerts per second of CPU."""
        return 1e6 / self.cpu_us


@dataclass
class AlertResults:
    """The alerts' results of a run.

    Attributes:
        texts: The table of techniques.
        holders: The size and memory of each candidate for techniques.
        pipeline: The table of the whole pipeline.
        stages: The CPU of its stages.
        growth: The growth of its time, memory and state.
        pairs: The table of clustering.
        agreed: Answers and outputs that were compared before timing; all were equal.
        corpus: A description of the texts that scikit-learn was fitted on.
        source: Whether the alerts are invented or from a data set.
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
