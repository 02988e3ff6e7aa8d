"""Security alerts: their ATT&CK techniques, the incidents that they form, and the order of an attack."""
