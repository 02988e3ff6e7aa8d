"""Tools for people who build and try Millrace: the local cloud, the demo, makers of documents. Not in the image."""
