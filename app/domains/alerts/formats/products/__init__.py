"""Formats of single products: features to recognize them by, and tables of paths."""

from app.domains.alerts.formats.products import (
    aminer,
    cloudtrail,
    crowdstrike,
    falco,
    github,
    hayabusa,
    microsoft,
    office365,
    okta,
    snort_json,
    splunk,
    thehive,
    zeek,
)

PRODUCTS = (
    *microsoft.FORMATS,
    *crowdstrike.FORMATS,
    splunk.FORMAT,
    zeek.FORMAT,
    snort_json.FORMAT,
    falco.FORMAT,
    aminer.FORMAT,
    hayabusa.FORMAT,
    thehive.FORMAT,
    office365.FORMAT,
    *cloudtrail.FORMATS,
    okta.FORMAT,
    *github.FORMATS,
)
"""In the order in which they are tried; those of Panther come before the logs that Panther passes on."""
