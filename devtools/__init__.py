"""What serves the people who build and try Millrace: the local cloud, and makers of documents. Not in the image."""
