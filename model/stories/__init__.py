"""Stories of attacks among everyday alerts, to measure incidents with: `python -m model.stories`."""
