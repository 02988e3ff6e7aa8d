"""Typed Lambda handlers: a class a function, with its request and response, run the same way everywhere.

`base` is the class, `invocation` what every call is given and what is done around it, `request` what a request may
come as; `sources` are batches of SQS, DynamoDB and others, `api` is HTTP. `registry` finds handlers, `router` calls
them by name.
"""
