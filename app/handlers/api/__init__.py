"""HTTP on top of the typed handlers: API Gateway's REST and HTTP APIs, Lambda function URLs, and a server on loopback.

`handler` is the class to write; `resolver` answers events with the handlers that it is given, on Powertools' routing.
What Powertools leaves open stands beside it: `event` (what was asked), `binding` (a typed request from path, query and
body), `routes`, `access`, `headers`, `cors`, `problem` (answers that are no success), `openapi`, and `server`.
"""
