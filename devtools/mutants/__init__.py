"""Put faults into the delivery on purpose, and see whether the checker of `app/stream/testing` finds them.

`python -m devtools.mutants` runs the faults that were once there (`named.py`), ten faults that such code is prone to,
and changes made by rule (`generated.py`). Each runs in a process of its own, which reads one module with the change.
"""
