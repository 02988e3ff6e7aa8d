"""Any imported model on a stream: the bundle's manifest says what its records and its results look like."""
