"""Small files that would become gigabytes: each command ends with one line, within a gigabyte of addresses."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 1024**3
PEAK_MB = 400  # resident, of which numpy and the tables take 80

pytestmark = pytest.mark.slow


COMMAND = f"""
import re, resource, sys
from pathlib import Path
import app.cli

resource.setrlimit(resource.RLIMIT_AS, ({LIMIT_BYTES}, {LIMIT_BYTES}))
peak = Path(sys.argv.pop(1))
try:
    app.cli.main()
finally:
    peak.write_text(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
"""A command within the limit; it leaves the most resident memory that it had, in KiB, in a file."""


@pytest.mark.parametrize(
    ("command", "content", "exit_code"),
    [
        pytest.param("technique", (b'{"input":[', b"[],", 300_000, b"[]]}"), 49, id="lists"),
        pytest.param("run", (b'{"Records":[', b"[],", 4_000_000, b"[]]}"), 40, id="records"),
        pytest.param("run", (b'{"alerts":["', b"a", 300_000_000, b""), 49, id="string"),
        pytest.param("technique", (b'{"input":[', b" ", 300_000_000, b"]}"), 49, id="blanks"),
        pytest.param("run", (b'{"node_feature":{', b'"a":[[]],', 600_000, b'"b":{}},"input":[]}'), 49, id="nodes"),
    ],
)
def test_a_small_file_needs_little_memory(
    tmp_path: Path, command: str, content: tuple[bytes, bytes, int, bytes], exit_code: int
) -> None:
    path, peak = tmp_path / "alerts.gz", tmp_path / "peak"
    begin, unit, count, end = content
    path.write_bytes(gzip.compress(begin + unit * count + end, 6))
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(peak), "alerts", command, "--no-model", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr, done.stdout) == (exit_code, False, "")
    assert done.stderr.splitlines()[-1].startswith(f"millrace: {path}: ")
    assert int(peak.read_text()) < PEAK_MB * 1024
