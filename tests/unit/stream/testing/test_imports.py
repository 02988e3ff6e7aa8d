"""The public test kit imports nothing of AWS."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import app.stream.testing
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore", "s3transfer", "urllib3"}))
"""


def test_the_test_kit_imports_nothing_of_aws() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
