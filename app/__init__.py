"""Millrace: models behind an Amazon Kinesis stream, in-process, with nothing lost.

The packages, from the top floor down; each imports only from floors below it (`docs/architecture.md` has a picture):

    lambda_function, api_function, router_function   the entry points that Lambda calls
    cli, doctor                                      the commands that a person calls
    pytest_plugin                                    fixtures for tests of a pipeline of one's own
    functions, registry                              the start of a function; the list of domains
    domains                                          pipelines and handlers, a folder for each domain
    handlers, jobs                                   typed Lambda handlers, HTTP; files that pass through steps
    domain                                           what a domain declares
    stream, inference                                the delivery spine and the local mapping; model bundles
    storage                                          objects, tables, state
    aws, settings, errors, telemetry, text, cache    what everything stands on
"""
