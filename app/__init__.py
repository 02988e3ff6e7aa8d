"""Millrace: models behind an Amazon Kinesis stream, in-process, with nothing lost.

The rooms, from the top floor down; each imports only from floors below it:

    5  lambda_function, cli, runtime, cloud   what a person or AWS starts
    4  pipelines                              what happens to records, one folder a domain
    2  stream, inference                      the delivery spine; model bundles
    1  storage, aws, telemetry, settings, errors
"""
