"""Files that pass through steps, for any domain.

A file is put under `input/`. The first step cuts it into runs (one a tenant) and each run into chunks; each step writes
the object that starts the next one, so nothing waits and nothing polls:

    layout    names of objects, and which step an object starts
    plan      the runs of a file and the chunks of a run, written once
    head      a tenant's newest state, committed under a condition: here a chunk counts, once
    context   the objects, the state store and the deadline of one step
    events    a bucket's notification as a handler's request
    driver    all steps of a file in one process

A step may be called at any time and any number of times: it looks at the objects that are there, does the missing part,
and writes the same bytes under the same names. `app/domains/alerts/files` is the first user.
"""
