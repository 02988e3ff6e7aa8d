"""Alerts of any format that is in use, as `Alert`: one file a format, each with a table of where its fields are."""

from app.pipelines.alerts.formats.document import Document, read_document
from app.pipelines.alerts.formats.format import Format
from app.pipelines.alerts.formats.own import techniques_carried as read_techniques_carried
from app.pipelines.alerts.formats.reading import format_of, read_alert, read_alert_bytes
from app.pipelines.alerts.formats.recognise import FORMATS

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
