r"""Attack flows: the incidents of a tenant, each drawn as steps in order of cause; updated one cluster at a time.

    10.0.0.9 > web1  port scan --> 10.0.0.9 > web1  SQL injection
                                                      |
                                                      |  40 min later: web1 was the target, then the source: 0.9
                                                      v
    web1 > db1                                     many failed logins

- A **step** is the alerts of one type between the same two entities within a cluster, often a single alert; steps are
  the nodes of a flow (`node.py`).
- **Frequent** types of alerts link nothing: those that come at many places at many times, or again and again at one. A
  burst at many places at one time, as of an outbreak, is not frequent, nor is a victim to which much happens
  (`common.py`).
- **Evidence** that one step led to a later one is a shared entity: most of all a target that became a source. It fades
  with the time between them, and counts less the more different others meet at the entity (`causality.py`).
- Two steps are **linked** if the probability that at least one piece of evidence between them holds reaches
  `link_threshold` (`graph.py`).
- Linked steps are an **incident** if one of them is critical, or if their types add up to enough risk (`risk.py`).
- Steps of frequent types, or below the severity that links, belong to an incident if most of their type came at its
  machines meanwhile; the others are its context, which is counted (`context.py`).
- Within a flow, each step has edges from its most probable earlier steps (`view.py`). The usual order of techniques
  breaks ties between steps of the same time and nudges probabilities, no more (`model/flow/README.md`).

Flows depend only on the steps that are remembered, not on the order in which those came or how often each was updated.
Which steps are forgotten depends on the sequence of updates.

    flows.py        Flows: updates, what is news, what is forgotten
    clock.py        the latest end of a cluster, by which old steps are forgotten
    node.py         a step with its entities; the state as bytes
    common.py       frequent types of alerts, and entities at which many others meet
    causality.py    strength and wording of evidence, usual order of techniques
    graph.py        links between steps, and the groups that they form
    severity.py     severity of a step
    risk.py         what makes linked steps an incident
    context.py      steps that link nothing: which of them belong to a flow
    view.py         linked steps as a `Flow` with nodes and edges
    stix.py         a `Flow` as a STIX 2.1 bundle of the Attack Flow extension
    stix_check.py   the rules that such a bundle must meet
    config.py       FlowConfig: the settings named above
"""
