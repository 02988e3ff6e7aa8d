#!/bin/sh
# In Lambda there is a runtime API to ask; elsewhere the emulator stands in for it.
if [ $# -ne 1 ]; then
  echo "the handler's name is to be the one argument" >&2
  exit 142
fi
export _HANDLER="$1"
if [ -n "${AWS_LAMBDA_RUNTIME_API-}" ]; then
  exec /var/runtime/bootstrap
fi
exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
