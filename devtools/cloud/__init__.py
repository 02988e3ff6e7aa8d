"""The local cloud: emulators of AWS on a laptop, with nothing but Python."""
