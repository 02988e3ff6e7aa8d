"""Handlers that move data between files and S3.

`operations` has those that read and write JSON at one place.
"""
