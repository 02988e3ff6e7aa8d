"""Models from elsewhere into bundles: found, opened if that is allowed, converted, compared, written.

Only the command imports this room, and only when it runs: what it needs (MLflow, scikit-learn, skl2onnx, onnx) is
installed where models are trained, never where they serve.
"""
