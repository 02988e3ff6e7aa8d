"""The doctor: what loses or holds up records, here, in the streams and in a deployed function, and what mends it."""
