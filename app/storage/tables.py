"""DynamoDB tables for pipelines that keep state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.errors import CloudError

if TYPE_CHECKING:
    from typing import Any

STATE_KEY = "state_key"  # the partition key that `DynamoDbState` reads by
WAIT_S = 60  # DynamoDB itself takes some ten seconds


def create_state_table(table: str, wait_s: int = WAIT_S) -> bool:
    """Creates a table for `STATE_TABLE`, paid by the request, and waits until it is active.

    Returns:
        False when it was there already.

    Raises:
        CloudError: It does not become active in time, or cannot be created, or is there with another key.
    """
    dynamodb = aws.client("dynamodb")
    made = True
    try:
        try:
            dynamodb.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": STATE_KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": STATE_KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except dynamodb.exceptions.ResourceInUseException:
            made = False
        waiter: Any = dynamodb.get_waiter("table_exists")
        waiter.wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": wait_s})
        keys = dynamodb.describe_table(TableName=table)["Table"]["KeySchema"]
    except (BotoCoreError, ClientError) as error:
        raise aws.explained(error, f"state table {table}") from error
    if [key["AttributeName"] for key in keys] != [STATE_KEY]:
        raise CloudError(f"state table {table}: its key is not {STATE_KEY} alone; give another name")
    return made
