from __future__ import annotations

import subprocess
import sys


def test_sources_that_call_nothing_load_no_client_and_no_numbers() -> None:
    code = (
        "import sys\n"
        "from app.handlers.sources import batch, dynamodb, eventbridge, s3, sns, sqs\n"
        "print(sorted({'botocore', 'numpy', 'aws_lambda_powertools', 'pydantic'} & {*sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
