"""Typed Lambda handlers: one class for each function, which runs alike in Lambda, on the command line and in tests.

`base` is the class, `invocation` what every call is given and what is done around it, `request` what a request may
come as; `sources` are batches of SQS, DynamoDB and others, `api` is HTTP. `registry` finds handlers, `router` calls
them by name.
"""
