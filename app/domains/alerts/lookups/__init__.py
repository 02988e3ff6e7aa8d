"""The lookup table: analysts' corrections of alert techniques, stored in a CSV file or in DynamoDB."""
