"""What tells the technique of a text: the catalogue of known rules, and the model."""
