"""The local cloud: what stands in for AWS on a laptop with nothing but Python."""
