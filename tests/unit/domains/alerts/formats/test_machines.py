"""An alert's aliases: names and addresses that it states to be one machine, and nothing that merely stands beside."""

from __future__ import annotations

from typing import Any

import pytest

from app.domains.alerts.formats import read_alert

_ECS: dict[str, Any] = {"@timestamp": "2026-03-01T10:00:00Z", "event": {"kind": "alert"}, "rule": {"name": "Odd logon"}}
_WAZUH: dict[str, Any] = {
    "timestamp": "2026-03-01T10:00:00.000+0000", "id": "1", "rule": {"level": 5, "description": "Logon", "id": "60106"},
    "manager": {"name": "wazuh-manager"}, "location": "EventChannel",
}  # fmt: skip
_OCSF: dict[str, Any] = {
    "class_uid": 2004,
    "time": 1772359200000,
    "finding_info": {"uid": "f1", "title": "Odd process"},
}
_INTERFACE = {"privateIpAddress": "10.0.0.5", "privateDnsName": "ip-10-0-0-5.ec2.internal", "publicIp": "203.0.113.9"}
_GUARDDUTY: dict[str, Any] = {
    "id": "g1", "type": "Recon:EC2/Portscan", "title": "Port scan", "accountId": "123456789012", "region": "eu-west-1",
    "updatedAt": "2026-03-01T10:00:00Z", "service": {"serviceName": "guardduty"},
    "resource": {"instanceDetails": {"instanceId": "i-0abcdef0123456789", "networkInterfaces": [_INTERFACE]}},
}  # fmt: skip
_ASFF: dict[str, Any] = {
    "SchemaVersion": "2018-10-08", "Id": "a1", "AwsAccountId": "123456789012", "Title": "Port open",
    "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/guardduty", "UpdatedAt": "2026-03-01T10:00:00Z",
    "Resources": [
        {"Id": "arn:aws:iam::123456789012:role/web", "Type": "AwsIamRole"},
        {
            "Id": "arn:aws:ec2:eu-west-1:123456789012:instance/i-0abcdef0123456789", "Type": "AwsEc2Instance",
            "Details": {"AwsEc2Instance": {"IpV4Addresses": ["10.0.0.5", "203.0.113.9"]}},
        },
    ],
}  # fmt: skip
_INSTANCE_ARN = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0abcdef0123456789"
_GRAPH: dict[str, Any] = {
    "id": "d1", "serviceSource": "microsoftDefenderForEndpoint", "createdDateTime": "2026-03-01T10:00:00Z",
    "title": "Odd process",
    "evidence": [
        {"deviceDnsName": "wks-31.corp.example.com", "hostName": "wks-31", "ipInterfaces": ["10.20.0.31", "127.0.0.1"]},
        {"deviceDnsName": "wks-40.corp.example.com", "hostName": "wks-40", "lastIpAddress": "10.20.0.40"},
    ],
}  # fmt: skip

_OWN = ["fe80::1", "172.17.0.1"]

STATED: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "ecs": (
        {**_ECS, "host": {"name": "WKS-31", "hostname": "wks-31.corp.example.com", "ip": ["10.20.0.31", *_OWN]}},
        [("WKS-31", "10.20.0.31"), ("wks-31.corp.example.com", "10.20.0.31")],
    ),
    "ecs, dotted": (
        {**_ECS, "host.name": "wks-31", "host.ip": "10.20.0.31", "source.ip": "10.20.0.40", "source.domain": "wks-40"},
        [("wks-31", "10.20.0.31"), ("wks-40", "10.20.0.40")],
    ),
    "ecs, a domain outside": (
        {**_ECS, "host": {"name": "wks-31"}, "destination": {"domain": "cdn.example.net", "ip": "203.0.113.80"}}, [],
    ),
    "wazuh": ({**_WAZUH, "agent": {"id": "007", "name": "web1", "ip": "10.20.0.5"}}, [("web1", "10.20.0.5")]),
    "wazuh, the manager itself": ({**_WAZUH, "agent": {"id": "000", "name": "wazuh-manager"}}, []),
    "wazuh, an agent of any address": ({**_WAZUH, "agent": {"id": "008", "name": "web1", "ip": "any"}}, []),
    "wazuh, a logon from a workstation": (
        {
            **_WAZUH, "agent": {"id": "009", "name": "dc1", "ip": "10.20.0.2"},
            "data": {"win": {"eventdata": {"workstationName": "WKS-31", "ipAddress": "::ffff:10.20.0.31"}}},
        },
        [("dc1", "10.20.0.2"), ("WKS-31", "::ffff:10.20.0.31")],
    ),
    "wazuh, a remote desktop's logon": (
        {
            **_WAZUH, "agent": {"id": "009", "name": "dc1", "ip": "10.20.0.2"},
            "data": {
                "win": {
                    "system": {"computer": "DC1.corp.example.com"},
                    "eventdata": {"logonType": "10", "workstationName": "DC1", "ipAddress": "10.20.0.31"},
                }
            },
        },
        [("dc1", "10.20.0.2")],
    ),
    "ocsf, several evidences": (
        {
            **_OCSF,
            "evidences": [
                {"src_endpoint": {"hostname": "wks-31", "ip": "10.20.0.31"}, "dst_endpoint": {"ip": "10.20.0.5"}},
                {"src_endpoint": {"hostname": "wks-40", "ip": "10.20.0.40"}},
            ],
            "device": {"hostname": "web1", "ip": "10.20.0.5", "instance_uid": "i-0abcdef0123456789"},
        },
        [
            ("wks-31", "10.20.0.31"), ("wks-40", "10.20.0.40"), ("web1", "10.20.0.5"),
            ("i-0abcdef0123456789", "10.20.0.5"),
        ],
    ),
    "guardduty": (_GUARDDUTY, [("i-0abcdef0123456789", "10.0.0.5"), ("i-0abcdef0123456789", "203.0.113.9")]),
    "asff": (_ASFF, [(_INSTANCE_ARN, "10.0.0.5"), (_INSTANCE_ARN, "203.0.113.9")]),
    "cef": (
        "CEF:0|Vendor|Product|1|100|Odd logon|5|rt=1772359200000 shost=wks-31 src=10.20.0.31 dhost=web1 dst=10.20.0.5",
        [("wks-31", "10.20.0.31"), ("web1", "10.20.0.5")],
    ),
    "defender": (
        _GRAPH,
        [
            ("wks-31.corp.example.com", "10.20.0.31"), ("wks-31", "10.20.0.31"),
            ("wks-40.corp.example.com", "10.20.0.40"), ("wks-40", "10.20.0.40"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_an_alert_states_which_names_and_addresses_are_one_machine(name: str) -> None:
    record, aliases = STATED[name]
    assert read_alert(record).aliases == aliases
