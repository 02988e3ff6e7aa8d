"""The context of an invocation that Lambda does not make."""

from __future__ import annotations

from app.stream.deadline import Deadline, LocalContext

IN_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "predict",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_FUNCTION_ARN": "arn:aws:lambda:eu-west-1:123456789012:function:predict",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/elsewhere",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/31/[7]abc",
}


def told(context: LocalContext) -> list[str]:
    return [
        context.function_name, context.function_version, context.invoked_function_arn,
        context.memory_limit_in_mb, context.log_group_name, context.log_stream_name,
    ]  # fmt: skip


def test_tells_what_the_environment_says() -> None:
    assert told(LocalContext(environ=IN_LAMBDA)) == list(IN_LAMBDA.values())


def test_and_lambdas_defaults_where_it_says_nothing() -> None:
    arn = "arn:aws:lambda:local:000000000000:function:local"
    expected = ["local", "$LATEST", arn, "128", "/aws/lambda/local", "local"]
    assert told(LocalContext(environ={})) == expected
    assert told(LocalContext(environ=dict.fromkeys(IN_LAMBDA, ""))) == expected


def test_each_has_an_id_of_its_own_unless_it_is_given_one() -> None:
    assert LocalContext().aws_request_id != LocalContext().aws_request_id
    assert LocalContext(request_id="request-1").aws_request_id == "request-1"


def test_its_clock_runs() -> None:
    context = LocalContext(timeout_s=5)
    first = context.get_remaining_time_in_millis()
    assert 4_000 < first <= 5_000
    assert context.get_remaining_time_in_millis() <= first
    assert LocalContext(timeout_s=-1).get_remaining_time_in_millis() == 0
    assert 3 < Deadline.of(context, margin_ms=1_000).remaining_s() <= 4
