"""Templates of event source mappings, and the filters in them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cfnlint.decode import decode  # type: ignore[import-untyped] # before memory is counted, since it is large

from app.stream.mapping.filters import compile_criteria
from app.stream.mapping.settings import settings_of
from app.stream.mapping.template import load_mappings
from devtools.fuzz.target import memory, ours_alone

BASE_BYTES = 8 * 1024 * 1024  # of memory: the parser of YAML
A_BYTE = 400.0  # of memory a byte of input: a node of YAML has its place in the text beside its value


def check_template(data: bytes) -> None:
    """Read a template or the API's output, and use its filters: settings, or one line; memory by its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.json"
        path.write_bytes(data)
        with memory(BASE_BYTES, A_BYTE, len(data)), ours_alone():
            for each in load_mappings(path, parameters={"Name": "value"}):
                criteria = settings_of(each.values).filter_criteria
                compile_criteria(criteria)({"kinesis": {"partitionKey": "1", "sequenceNumber": "1", "data": ""}}, data)


def _warm() -> None:
    """Parse YAML once, since the first time more is imported."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("Resources: {}")
        file.flush()
        decode(file.name)


_warm()
