"""Import models from elsewhere as bundles: find, open if allowed, convert, compare, write.

Only the command imports this package, and only when it runs: what it needs (MLflow, scikit-learn, skl2onnx, onnx) is
installed where models are trained, never where they serve.
"""
