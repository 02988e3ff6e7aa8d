"""Techniques of alerts: from analysts' corrections, a catalogue of detection rules, and a text model.

resolver.py     TechniqueResolver: asks the sources in their order
catalogue.py    techniques of detection rules by id and title
model.py        TechniqueModel: scores of a text
features.py     tokens of a text, for training and serving
decision.py     from scores to techniques and confidences
"""
