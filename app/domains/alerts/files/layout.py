"""Names of the objects of a run of alerts, and the seven steps.

The names that a user or a job elsewhere meets are those of the seed system.
"""

from __future__ import annotations

import re

from app.errors import UnprocessableError
from app.jobs.layout import INPUT, INTERMEDIATE, Layout, Step

ENRICH = "enrich-with-technique"
PROCESS_ENRICHED = "process-enriched-with-technique"
UPDATE_LOOKUP = "update-lookup-table"
CREATE_CLUSTER = "create-cluster"
PROCESS_CLUSTER = "process-cluster"
CREATE_FLOW = "create-flow"
PROCESS_FLOW = "process-flow"

JOB = "alerts-files"  # how the keys of its heads begin

_TECHNIQUE_RESPONSES = "scratch/response/classification_out/"
_CLUSTER_REQUESTS = "scratch/output/classification/"
_CLUSTER_RESPONSES = "scratch/response/cluster_out/"
_FLOW_REQUESTS = "scratch/output/cluster/"
_FLOW_RESPONSES = "scratch/response/flow_out/"

LAYOUT = Layout(
    Step(ENRICH, INPUT),
    Step(PROCESS_ENRICHED, _TECHNIQUE_RESPONSES, "/input_classification.json.out"),
    Step(UPDATE_LOOKUP, "lookup/", ".csv"),
    Step(CREATE_CLUSTER, _CLUSTER_REQUESTS, "/input.json"),
    Step(PROCESS_CLUSTER, _CLUSTER_RESPONSES, "/input.zip.out"),
    Step(CREATE_FLOW, _FLOW_REQUESTS, "/input_flow.json"),
    Step(PROCESS_FLOW, _FLOW_RESPONSES, "/input_flow.json.out"),
)

_CLUSTER_RESPONSE = re.compile(
    re.escape(_CLUSTER_RESPONSES) + r"(?P<chunk>[^/]+\.\d+)/(?P<version>\d{1,18})/input\.zip\.out"
)


def chunk_alerts(chunk: str) -> str:
    """Return the name of a chunk's alerts."""
    return f"{INTERMEDIATE}{chunk}/original_input.json"


def user_ids(chunk: str) -> str:
    """Return the name of a chunk's list of the users' own ids, by internal id."""
    return f"{INTERMEDIATE}{chunk}/internal_id_to_user_id.json"


def chunk_ranges(run: str) -> str:
    """Return the name of the list of the internal ids in each chunk of a run."""
    return f"{INTERMEDIATE}{run}/internal_id_to_unique_id.json"


def node_features(file_run: str) -> str:
    """Return the name of a file's node features, as they came."""
    return f"{INTERMEDIATE}{file_run}/node_feature_original.json"


def node_columns(file_run: str) -> str:
    """Return the name of the columns of node features in requests for clusters."""
    return f"{INTERMEDIATE}{file_run}/node_feature_lookup.json"


def known_techniques(chunk: str) -> str:
    """Return the name of a chunk's techniques as far as no model was needed."""
    return f"{INTERMEDIATE}{chunk}/known.json"


def techniques(chunk: str) -> str:
    """Return the name of the techniques of a chunk's alerts."""
    return f"{INTERMEDIATE}{chunk}/classification.json"


def technique_request(chunk: str) -> str:
    """Return the name of a chunk's request to a technique job elsewhere."""
    return f"{INTERMEDIATE}{chunk}/input_classification.json"


def technique_response(chunk: str) -> str:
    """Return the name of the object that marks a chunk's techniques as known."""
    return f"{_TECHNIQUE_RESPONSES}{chunk}/input_classification.json.out"


def cluster_request(chunk: str) -> str:
    """Return the name of the object that hands a chunk to clustering."""
    return f"{_CLUSTER_REQUESTS}{chunk}/input.json"


def cluster_response(chunk: str, version: int) -> str:
    """Return the name of the answer about a chunk that makes a version of the tenant's state."""
    return f"{_CLUSTER_RESPONSES}{chunk}/{version:012d}/input.zip.out"


def chunk_and_version(name: str) -> tuple[str, int]:
    """Return the chunk that an answer is about, and the version that it makes.

    Raises:
        UnprocessableError: It is no name of an answer.
    """
    found = _CLUSTER_RESPONSE.fullmatch(name)
    if found is None:
        raise UnprocessableError(f"{_CLUSTER_RESPONSES}…: no response about clusters has this name")
    return found["chunk"], int(found["version"])


def chunk_clusters(chunk: str) -> str:
    """Return the name of a chunk's rows of clusters, once they count."""
    return f"{INTERMEDIATE}{chunk}/clusters.json"


def run_clusters(run: str) -> str:
    """Return the name of a run's clusters."""
    return f"{INTERMEDIATE}{run}/clusters.json"


def flow_request(run: str) -> str:
    """Return the name of the object that marks a run's clusters as complete."""
    return f"{_FLOW_REQUESTS}{run}/input_flow.json"


def flow_response(run: str) -> str:
    """Return the name of the object that marks a run's flows as known."""
    return f"{_FLOW_RESPONSES}{run}/input_flow.json.out"


def run_flows(run: str) -> str:
    """Return the name of a run's flows."""
    return f"{INTERMEDIATE}{run}/flow_output.json"


def tickets(run: str) -> str:
    """Return the name of the run's tickets for systems that come after it."""
    return f"scratch/output/flow/{run}/enrich_alert_input.json"
