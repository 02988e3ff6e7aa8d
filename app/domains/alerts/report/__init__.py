"""Incidents for people and their tools: an HTML page, a layer for ATT&CK Navigator, files for Attack Flow Builder."""
