"""HTTP for typed handlers: one ASGI application, in Lambda behind any of its HTTP sources and on a laptop.

`handler` is the class to write, `application` the API, `lambda_events` its adapter for Lambda, `server` its server.
"""
