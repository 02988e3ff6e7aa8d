"""What is where: the name of every object of a run, and which step an object starts.

A run is one tenant's alerts of one file as it was: the same file put again under the same name is the same run, so an
event that is delivered again finds everything done. Names of the seed's system are kept where a user or an outside job
meets them.
"""

from __future__ import annotations

import hashlib
import re

ENRICH = "enrich-with-technique"
PROCESS_ENRICHED = "process-enriched-with-technique"
UPDATE_LOOKUP = "update-lookup-table"
CREATE_CLUSTER = "create-cluster"
PROCESS_CLUSTER = "process-cluster"
CREATE_FLOW = "create-flow"
PROCESS_FLOW = "process-flow"

INPUT, LOOKUP, OUTPUT, SKIPPED, STATE = "input/", "lookup/", "output/", "skipped_events/", "state/"
INTERMEDIATE = "scratch/intermediate/"
TECHNIQUE_RESPONSE = "scratch/response/classification_out/"
CLUSTER_REQUEST = "scratch/output/classification/"
CLUSTER_RESPONSE = "scratch/response/cluster_out/"
FLOW_REQUEST = "scratch/output/cluster/"
TICKETS = "scratch/output/flow/"  # what comes after a run reads it there
FLOW_RESPONSE = "scratch/response/flow_out/"

STARTS: tuple[tuple[str, str, str], ...] = (
    (INPUT, "", ENRICH),
    (TECHNIQUE_RESPONSE, "/input_classification.json.out", PROCESS_ENRICHED),
    (LOOKUP, ".csv", UPDATE_LOOKUP),
    (CLUSTER_REQUEST, "/input.json", CREATE_CLUSTER),
    (CLUSTER_RESPONSE, "/input.zip.out", PROCESS_CLUSTER),
    (FLOW_REQUEST, "/input_flow.json", CREATE_FLOW),
    (FLOW_RESPONSE, "/input_flow.json.out", PROCESS_FLOW),
)
"""How the name of an object begins, how it ends, and which handler its arrival starts."""

_STEM_CHARACTERS = 40  # of the file's own name: enough to know it again in a list of runs
_TENANT_CHARACTERS = 40
_DIGEST_CHARACTERS = 16  # 64 bits: two of a billion runs share a name with a chance of 3 %
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_DIGESTED = re.compile(rf"-[0-9a-f]{{{_DIGEST_CHARACTERS}}}$")
_TOP = re.compile(r"(^|/)(?=(?:input|lookup|scratch)/)")


def split_location(key: str) -> tuple[str, str, str] | None:
    """An object's key as the prefix of everything here, the name below it, and the step that it starts.

    A folder in the prefix or below may itself be called `input`: the first split that gives a step is taken, so that a
    key has one reading only.

    Returns:
        None where the object starts no step.
    """
    if key.endswith("/"):  # a folder as consoles make them
        return None
    for found in _TOP.finditer(key):
        name = key[found.end(1) :]
        for begin, end, step in STARTS:
            if name.startswith(begin) and name.endswith(end) and len(name) > len(begin) + len(end) - bool(end):
                return key[: found.end(1)].rstrip("/"), name, step
    return None


def file_run(name: str, digest: str) -> str:
    """The run of a file's alerts that name no tenant.

    Args:
        name: The input object's name.
        digest: SHA-256 of its bytes, in hexadecimal digits.
    """
    stem = _UNSAFE.sub("-", name.rpartition("/")[2].partition(".")[0])[:_STEM_CHARACTERS].strip("-") or "file"
    return f"{stem}-{_short(f'{digest} {name}')}"


def tenant_run(run: str, tenant: str) -> str:
    """The run of a file's alerts of one named tenant."""
    return f"{run}--{tenant_slug(tenant)}"


def tenant_slug(tenant: str) -> str:
    """A tenant as part of a name: itself where it is short and plain, otherwise with a digest that tells it apart.

    A plain one that ends as such a digest does gets its own, so that nobody can name himself like another.
    """
    plain = _UNSAFE.sub("-", tenant)[:_TENANT_CHARACTERS]
    return plain if plain == tenant and not _DIGESTED.search(plain) else f"{plain}-{_short(tenant)}"


def manifest_name(run: str) -> str:
    """The name of the list of a run's results; where it is, the run is complete."""
    return f"{OUTPUT}{run}/manifest.json"


def unique_id(run: str, chunk: int) -> str:
    """The unique id of a chunk of a run, counted from 0."""
    return f"{run}.{chunk:05d}"


def split_unique_id(unique: str) -> tuple[str, int]:
    """A chunk's run and its place in it.

    Raises:
        ValueError: It is no chunk's unique id.
    """
    run, _, chunk = unique.rpartition(".")
    if not run:
        raise ValueError(unique)
    return run, int(chunk)


def uid_of(name: str, step: str) -> str:
    """The chunk or the run that an object is of: what stands where its step's names differ."""
    begin, _, _ = next(each for each in STARTS if each[2] == step)
    return name.removeprefix(begin).partition("/")[0]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
