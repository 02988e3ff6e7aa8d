"""Bike-hire demand from weather and, where a record has one, the time."""
