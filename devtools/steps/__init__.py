"""Steps that regular expressions take, counted: no clock decides whether a pattern is linear."""
