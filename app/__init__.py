"""Millrace: models behind an Amazon Kinesis stream, in-process, with nothing lost.

The rooms, from the top floor down; each imports only from floors below it:

    5  lambda_function, api_function, router_function   what Lambda starts
       cli, doctor, cloud                               what a person starts
       runtime, registry                                every pipeline and every handler, by name
    4  pipelines                                        what happens to records, one folder a domain
    3  handlers                                         typed Lambda handlers, their sources, HTTP
    2  stream, inference                                the delivery spine and the local mapping; model bundles
    1  storage, aws, telemetry, settings, errors

`runtime_client` stands beside `lambda_function`, for Lambda's own client; `inference.importing` is
imported by `model import`, training and the benchmarks alone, since it needs what the image does without.
"""
