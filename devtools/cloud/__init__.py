"""Run a local cloud: emulators of AWS on a laptop, with only Python."""
