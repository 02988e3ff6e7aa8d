"""Corrections that analysts made: checked, read from CSV, kept in a file or in a DynamoDB table."""
