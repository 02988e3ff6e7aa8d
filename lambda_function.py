"""`lambda_function.lambda_handler`, the name that Lambda's console gives a handler: the same one."""

from app.lambda_function import lambda_handler

__all__ = ["lambda_handler"]
