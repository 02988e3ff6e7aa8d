"""The doctor: checks for whatever loses or holds up records, here and in a deployed function, and how to mend it."""
