"""Alerts of any format that is in use, as `Alert`: one file a format, each with a table of where its fields are."""

from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.own import techniques_carried as read_techniques_carried
from app.domains.alerts.formats.reading import Document, format_of, read_alert, read_alert_bytes, read_document
from app.domains.alerts.formats.recognise import FORMATS

__all__ = [
    "FORMATS",
    "Document",
    "Format",
    "format_of",
    "read_alert",
    "read_alert_bytes",
    "read_document",
    "read_techniques_carried",
]
