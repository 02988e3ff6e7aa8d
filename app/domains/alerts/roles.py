"""The stream roles of the pipelines of alerts; by themselves, so that start-up checks need import nothing else."""

from __future__ import annotations

ENRICHED, INCIDENTS, TICKETS = "enriched", "incidents", "tickets"
"""Alerts with their techniques; changes of clusters and flows; what a ticket is made from."""

TECHNIQUE_ROLES = (ENRICHED,)
"""The roles of `alerts-technique`."""
ALERT_ROLES = (ENRICHED, INCIDENTS, TICKETS)
"""The roles of `alerts`."""
