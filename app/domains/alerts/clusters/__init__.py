r"""Online clustering: group alerts of the same activity, one alert at a time, in bounded memory.

    source > target  alert type      time ------------------------------>
    10.0.0.9 > web1  port scan       o   o   o   o                           opens cluster 1
    10.0.0.9 > web1  login failed                 \_ o   o                   1 s apart, affinity 0.9: joins 1
    nas1 > nas1      disk full                             o                 no link is cheap enough: opens 2
    10.0.0.9 > web1  port scan                         \_ o   o              same signature, 2 s apart: joins 1

Terms:

- An **alert signature** is the combination of type, source, target and entities. Only the latest alert of each recent
  signature is compared with new alerts, so a scan of a thousand alerts costs one comparison.
- **Entities** are the hosts, users and file hashes of an alert. A shared entity links alerts the more, the rarer it
  is.
- The **affinity** of two alert types, 0 to 1, is how often they occur together: learned without labels by
  `model/cluster/`, or taken from the similarity of their names and techniques where training has not seen them.
- The **pace** of a type is what a second of waiting counts for it: less than 1 for rare types, if `patience` is set.
- **Recurring types** are the alert types that keep coming at one target, as those of a scan do. When they change,
  another activity has begun, even if it raises some of the same alerts.

For each alert (`Clusters.add`):

1. An alert with the signature and second of an earlier one is a duplicate: it is counted, and that is all.
2. The clock moves, and the target's recurring types are worked out.
3. The alert is compared with the latest signatures (`Links.find`). The cost of a link, in seconds, is

       gap in time * pace                        * own, for the same type at the same target
       + theta_s * (1 - affinity)                * outsider, for a type that is not among the recurring ones
       + recurrence_s * (1 - similarity)         of the recurring types then and now, at the same target
       - entity_s * rarity                       of the rarest shared entity

4. Every link that costs less than `merge * delta_s` is certain: all clusters that such links lead to become one, which
   keeps the smallest id. Without one, the alert joins the cluster of the cheapest link that costs less than `delta_s`.
5. Without any link, an alert of a recurring type joins the cluster that the same recurring types had before, as a scan
   goes on after a disturbance (`PatternMemory`). Any other alert opens a cluster.
6. Signatures older than `reach_s` and clusters without an alert for `expiry_s` are forgotten, the oldest first also
   when there are too many.

The result depends neither on how the alerts are cut into calls nor on the time of day: the only clock is the alerts'.
An alert dated beyond its arrival counts as of that clock and the time passed since (`State.event_time`): its own time
is not used, so that wrong dates move no clock ahead.

    clusters.py     Clusters: the steps above
    links.py        step 3, with an early end of the search
    affinity.py     affinities of alert types
    entities.py     rarity of entities
    recurrence.py   recurring types and recalled patterns
    state.py        the records in memory and their limits
    packing.py      the state as bytes
    config.py       ClusterConfig: the settings named above
"""
