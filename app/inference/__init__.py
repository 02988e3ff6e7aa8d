"""Model bundles: found, verified against their digests, loaded from data-only files, run on columns."""
