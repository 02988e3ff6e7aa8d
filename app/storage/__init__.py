"""Objects (a folder or S3), and state by key (DynamoDB)."""
