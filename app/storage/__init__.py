"""Objects (a folder or S3) and tables (DynamoDB): what outlives an invocation."""
