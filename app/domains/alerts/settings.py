"""The environment variables of the alerts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from app.settings import about

CLOCK_SKEW_S = 300.0  # as Kerberos allows by default: clocks that are kept are far closer, others are off by hours

MOST_TENANTS = 250
"""Tenants of one file. A service provider has hundreds. Each costs some 26 objects and seven steps, however few alerts
it has, and a line of 90 bytes is enough to name one."""


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The variables of the pipelines, handlers and commands for alerts."""

    alerts_tenant: Annotated[str, about("the tenant of an alert that names none")] = "default"
    alerts_tenant_from: Annotated[
        Literal["key", "alert", "both"] | None,
        about(
            "where the tenant of alerts on a stream is taken from: `key`, the partition key, whatever an alert says; "
            "`alert`, its own text, whatever the key is; `both`: they must agree, and a record in which they do not is "
            "set aside. Unset, `both` for the pipeline `alerts`, and `alert` for `alerts-technique` and files"
        ),
    ] = None
    alerts_most_tenants: Annotated[
        int,
        msgspec.Meta(ge=1, le=100_000),
        about("the number of tenants that the alerts of one file, or of one command's input, may name"),
    ] = MOST_TENANTS
    alerts_chunk: Annotated[
        int,
        msgspec.Meta(ge=1, le=100_000),
        about("the number of alerts that one step processes at a time when alerts come as a file"),
    ] = 20_000
    alerts_clock_skew: Annotated[
        float,
        msgspec.Meta(ge=0, le=86_400),
        about(
            "the seconds by which an alert may be dated after its arrival; with a later date it is clustered as of its "
            "arrival"
        ),
    ] = CLOCK_SKEW_S
    alerts_formats: Annotated[
        str,
        about(
            "formats of alerts of one's own, tried before all others: TOML files, or folders of them, with `:` between "
            "them (`docs/own-formats.md`)"
        ),
    ] = ""
    incident_risk_threshold: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=100)] | None,
        about(
            "the risk from which on linked alerts are an incident: the sum of their severities, each 0 to 1; unset, 2"
        ),
    ] = None
    incident_tactic_threshold: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=20)] | None,
        about("the number of tactics from which on half of that risk is enough; unset, 3"),
    ] = None
    incident_critical_severity: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=101)] | None,
        about("the severity, 0 to 100, from which on a single alert is an incident; 101 for none; unset, 90"),
    ] = None
    lookup_table: Annotated[
        str,
        about(
            "the techniques that analysts have chosen for alerts, used before the model: a DynamoDB table, or a file "
            "`….csv`"
        ),
    ] = ""
    lookup_tenant: Annotated[
        str,
        about(
            "the only tenant whose corrections `update-lookup-table` and `millrace alerts correct` write; unset, they "
            "write those of any tenant, and those for all"
        ),
    ] = ""
    technique_run_id: Annotated[
        str, about("the run id of the model that predicts an alert's technique; unset, the newest bundle")
    ] = ""
    rules_run_id: Annotated[
        str,
        about(
            "the run id of one's own detection rules (`millrace model learn technique`), which come before those that "
            "Millrace ships; unset, the newest bundle, if there is one"
        ),
    ] = ""
    technique_least_confidence: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
        about(
            "the confidence, 0 to 1, below which the technique model's prediction is not used; unset, the value in the "
            "model's bundle; 0 uses every prediction"
        ),
    ] = None
    cluster_run_id: Annotated[
        str, about("the run id of the learned affinities that group alerts into clusters; unset, the newest bundle")
    ] = ""
