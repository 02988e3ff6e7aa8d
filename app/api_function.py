"""The Lambda entry point of the API: `app.api_function.lambda_handler`."""

from app import functions
from app.handlers.api.application import Api
from app.handlers.api.lambda_events import LambdaAdapter
from app.handlers.invocation import process_settings
from app.registry import HANDLERS

lambda_handler = LambdaAdapter(lambda: Api(HANDLERS.http_handlers(), process_settings()))
functions.start(lambda_handler)
