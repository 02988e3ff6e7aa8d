r"""Attack flows: the clusters of a tenant in order of cause, updated one cluster at a time.

    cluster 1: port scan 10.0.0.9 > web1 --> SQL injection 10.0.0.9 > web1
                                                      |
                                                      |  web1 was the target, then the source: 0.9
                                                      v
    cluster 4:                             many failed logins web1 > db1

- A **step** is one technique between the same two entities within a cluster; steps are the nodes of a flow.
- **Evidence** that one step led to a later one is a shared entity: most of all a target that became a source. It fades
  with the time between them and counts less the more clusters have the entity (`causality.py`).
- Two clusters are **linked** with the probability that at least one piece of evidence between them holds. Clusters
  whose links reach `link_threshold` form one flow (`graph.py`).
- Within a flow, each step has edges from its most probable earlier steps (`view.py`). The usual order of techniques
  breaks ties between steps of the same time and nudges probabilities, no more: alone, it tells the direction of two
  pairs in three (`model/flow/README.md`).

Flows depend only on the clusters that are remembered, not on the order in which those came or how often each was
updated. Which clusters are forgotten depends on the sequence of updates.

    flows.py        Flows: updates, what is news, what is forgotten
    entry.py        what is kept of one cluster; the state as bytes
    causality.py    strength and wording of evidence, usual order of techniques
    graph.py        links between clusters, and the groups that they form
    view.py         a group as a `Flow` with nodes and edges
    stix.py         a `Flow` as a STIX 2.1 bundle of the Attack Flow extension
    stix_check.py   the rules that such a bundle must meet
    config.py       FlowConfig: the settings named above
"""
