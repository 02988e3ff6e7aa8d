"""The name that Lambda's console gives a handler: `lambda_function.lambda_handler`, which is the stream's."""

from app.lambda_function import lambda_handler

__all__ = ["lambda_handler"]
