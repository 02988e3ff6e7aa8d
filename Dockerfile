# The Lambda image. `docker build -t millrace:v1 .` needs BuildKit, which is the default since Docker 23.
#
#   BASE               another image with the same contract: task root, entry point, emulator (docs/decisions/0010-image.md);
#                      with its digest (…:3.13@sha256:…), a build is of the same base again
#   BOTOCORE_SERVICES  the services whose descriptions botocore and boto3 keep, or `all`
#
# Where a registry of packages is behind a private CA:  docker build --secret id=build_ca,src=ca.pem …
ARG BASE=public.ecr.aws/lambda/python:3.13

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/runtime.txt ./
RUN --mount=type=secret,id=build_ca,target=/run/secrets/build_ca \
    if [ -s /run/secrets/build_ca ]; then export PIP_CERT=/run/secrets/build_ca; fi; \
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --root-user-action=ignore \
      --require-hashes --no-deps --only-binary=:all: --target packages -r runtime.txt

# Only what no import at run time reaches.
ARG BOTOCORE_SERVICES="kinesis s3 dynamodb sqs sns lambda sts sso sso-oidc signin"
RUN cd packages \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 && rm -rf bin boto3/examples numpy/_core/include numpy/f2py onnxruntime/datasets onnxruntime/quantization onnxruntime/tools \
      onnxruntime/transformers \
 && if [ "$BOTOCORE_SERVICES" != all ]; then \
      for service in botocore/data/*/ boto3/data/*/; do \
        case " $BOTOCORE_SERVICES " in *" $(basename "$service") "*) ;; *) rm -rf "$service" ;; esac; \
      done; \
    fi

COPY LICENSE NOTICE lambda_function.py task/
COPY app task/app
COPY model/bundles task/model/bundles
# Bytecode that is never checked against its source: nothing can write it later, and a copy may change times.
# Rights do not follow the umask of whoever made the checkout: Lambda runs as a user of its own.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash packages task \
 && chmod -R a+rX,go-w packages task

FROM ${BASE}
COPY --chmod=755 scripts/entry_point.sh /millrace-entry-point.sh
COPY --from=build /build/packages/ ${LAMBDA_TASK_ROOT}/
COPY --from=build /build/task/ ${LAMBDA_TASK_ROOT}/
# ONNX Runtime reports to its maker by default, and keeps an id for that on disk.
ENV ORT_DISABLE_TELEMETRY=1
# Nobody's: numbers, so that Kubernetes too can tell that it is not root. Lambda has a user of its own instead.
USER 993:990
# Lambda, the emulator or the command line, by what it is given (docs/decisions/0018-entry-point.md).
ENTRYPOINT ["/millrace-entry-point.sh"]
CMD ["app.lambda_function.lambda_handler"]
