"""Read alerts of any supported format as `Alert`: one module per format, each with a table of its fields' paths."""

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
