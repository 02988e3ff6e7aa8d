"""Run published faults of other libraries, and Millrace's own spine, under the same faults of the same services.

A check that never fails proves nothing: these are the libraries in which records are known to be lost, doubled or put
out of order, so the judge of `plan.py` must find it. Each library runs in an environment of its own (`README.md`).
"""
