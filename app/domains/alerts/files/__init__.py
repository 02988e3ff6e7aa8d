"""Files of alerts: an object under `input/` comes out as clusters, flows and tickets under `output/`."""
