"""One alert a format, all of them made up: a login attack from 192.0.2.10 on port 22 of 198.51.100.7."""

from __future__ import annotations

from typing import Any

from tests.unit.domains.alerts.formats.product_examples import ENDS, PRODUCT_EXAMPLES

TIME = 1_716_468_856.5  # 2024-05-23T12:54:16.5Z
ATTACKER, VICTIM = "192.0.2.10", "198.51.100.7"
ISO = "2024-05-23T12:54:16.500Z"

SEED: dict[str, Any] = {
    "id": 25485,
    "time": TIME,
    "src": ATTACKER,
    "dst": VICTIM,
    "name": "SSH brute force against web1",
    "tech": ["T1110.001"],
    "other_attributes_dict": {"port": 22, "priority": 1, "user": "ann", "process.command_line": "sshd -D"},
}
OWN: dict[str, Any] = {
    "id": "a-1",
    "time": TIME,
    "src": ATTACKER,
    "dst": VICTIM,
    "name": "SSH brute force against web1",
    "tech": ["T1110.001"],
    "other_attributes": {"port": 22, "user": "ann"},
    "tenant": "acme",
    "technique": {"ids": ["T1110.001"], "source": "alert", "confidence": 1.0},
}
CEF_LINE = (
    "<134>May 23 12:54:20 gw1 CEF:0|Example|Wall|1.0|100|SSH brute force|7|"
    "rt=1716468856500 src=192.0.2.10 spt=40022 dst=198.51.100.7 dpt=22 suser=ann externalId=77 "
    "msg=Many failed logins cs1Label=MITRE cs1=T1110.001"
)
CEF: dict[str, Any] = {
    "externalId": "77",
    "time": "1716468856.5",
    "sourceAddress": ATTACKER,
    "sourcePort": "40022",
    "destinationAddress": VICTIM,
    "destinationPort": "22",
    "deviceProduct": "Wall",
    "name": "SSH brute force",
    "severity": "7",
    "suser": "ann",
    "signatureId": "100",
    "transport": "tcp",
    "fileHash": "",
    "cs1": "T1110.001",
}
OCSF: dict[str, Any] = {
    "class_uid": 2004,
    "activity_id": 1,
    "time": 1716468856500,
    "severity_id": 4,
    "severity": "High",
    "message": "Many failed logins",
    "metadata": {"product": {"name": "Example EDR"}, "tenant_uid": "acme", "version": "1.3.0"},
    "cloud": {"account": {"uid": "111122223333"}},
    "finding_info": {
        "uid": "f-1",
        "title": "SSH brute force",
        "desc": "Many failed logins from one address",
        "analytic": {"uid": "r-100", "name": "ssh-brute-force"},
        "attacks": [
            {"tactics": [{"uid": "TA0006"}], "technique": {"uid": "T1110"}, "sub_technique": {"uid": "T1110.001"}},
            {"technique": {"uid": "T1078"}},
        ],
    },
    "evidences": [
        {"process": {"cmd_line": "sshd -D", "file": {"hashes": [{"algorithm_id": 3, "value": "ab" * 32}]}}},
        {
            "src_endpoint": {"ip": ATTACKER, "port": 40022},
            "dst_endpoint": {"ip": VICTIM, "port": 22},
            "actor": {"user": {"name": "ann"}},
        },
    ],
    "device": {"hostname": "web1.example.com"},
}
ECS: dict[str, Any] = {
    "@timestamp": "2024-05-23T12:59:00.000Z",
    "kibana.alert.uuid": "k-1",
    "kibana.alert.original_time": ISO,
    "kibana.alert.rule.name": "SSH brute force",
    "kibana.alert.reason": "Many failed logins on web1",
    "kibana.alert.risk_score": 73,
    "kibana.alert.severity": "high",
    "kibana.alert.rule.rule_id": "r-100",
    "kibana.alert.rule.tags": ["OS: Linux", "attack.t1078"],
    "kibana.alert.rule.threat": [
        {"technique": [{"id": "T1110", "subtechnique": [{"id": "T1110.001", "name": "Password Guessing"}]}]}
    ],
    "source": {"ip": ATTACKER, "port": 40022},
    "destination": {"ip": VICTIM, "port": 22},
    "host": {"name": "web1"},
    "user.name": "ann",
    "process": {"command_line": "sshd -D", "hash": {"sha256": "ab" * 32}},
    "organization": {"id": "acme"},
}
SURICATA: dict[str, Any] = {
    "timestamp": "2024-05-23T13:54:16.500000+0100",
    "flow_id": 586497171462735,
    "event_type": "alert",
    "src_ip": ATTACKER,
    "src_port": 40022,
    "dest_ip": VICTIM,
    "dest_port": 22,
    "proto": "TCP",
    "host": "sensor-1",
    "alert": {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2001219,
        "rev": 20,
        "signature": "EXAMPLE SCAN Potential SSH Scan",
        "category": "Attempted Information Leak",
        "severity": 2,
        "metadata": {"mitre_technique_id": ["T1110"], "mitre_tactic_id": ["TA0006"]},
    },
    "http": {"hostname": "www.example.com", "url": "/login", "http_user_agent": "curl/8"},
    "tls": {"fingerprint": "aa:bb"},
    "fileinfo": {"sha256": "ab" * 32},
}
SNORT = (
    "05/23/24-12:54:16.500000  [**] [1:2001219:20] EXAMPLE SCAN Potential SSH Scan [**] "
    "[Classification: Attempted Information Leak] [Priority: 2] {TCP} 192.0.2.10:40022 -> 198.51.100.7:22"
)
GUARDDUTY: dict[str, Any] = {
    "schemaVersion": "2.0",
    "accountId": "111122223333",
    "region": "eu-west-1",
    "id": "16afba5c5c43e07c9e3e5e2e544e95df",
    "type": "UnauthorizedAccess:EC2/SSHBruteForce",
    "severity": 2,
    "title": "192.0.2.10 is performing SSH brute force attacks against i-0example.",
    "description": "Many failed logins",
    "createdAt": "2024-05-23T12:50:00.000Z",
    "updatedAt": "2024-05-23T13:00:00.000Z",
    "resource": {
        "resourceType": "Instance",
        "instanceDetails": {
            "instanceId": "i-0example",
            "networkInterfaces": [{"privateIpAddress": VICTIM, "publicIp": "203.0.113.9"}],
        },
    },
    "service": {
        "serviceName": "guardduty",
        "resourceRole": "TARGET",
        "eventLastSeen": ISO,
        "count": 7,
        "action": {
            "actionType": "NETWORK_CONNECTION",
            "networkConnectionAction": {
                "connectionDirection": "INBOUND",
                "protocol": "TCP",
                "localPortDetails": {"port": 22, "portName": "SSH"},
                "remotePortDetails": {"port": 40022},
                "remoteIpDetails": {"ipAddressV4": ATTACKER},
            },
        },
    },
}
ASFF: dict[str, Any] = {
    "SchemaVersion": "2018-10-08",
    "Id": "arn:aws:securityhub:eu-west-1:111122223333:finding/f-1",
    "ProductArn": "arn:aws:securityhub:eu-west-1::product/example/edr",
    "ProductName": "Example EDR",
    "GeneratorId": "r-100",
    "AwsAccountId": "111122223333",
    "Types": ["TTPs/Credential Access/T1110.001"],
    "CreatedAt": "2024-05-23T12:50:00.000Z",
    "UpdatedAt": ISO,
    "Severity": {"Label": "HIGH", "Normalized": 70},
    "Title": "SSH brute force",
    "Description": "Many failed logins",
    "Network": {
        "Direction": "IN",
        "Protocol": "TCP",
        "SourceIpV4": ATTACKER,
        "SourcePort": 40022,
        "DestinationIpV4": VICTIM,
        "DestinationPort": 22,
    },
    "Resources": [{"Type": "AwsEc2Instance", "Id": "arn:aws:ec2:eu-west-1:111122223333:instance/i-0example"}],
}
WAZUH: dict[str, Any] = {
    "timestamp": "2024-05-23T12:54:16.500+0000",
    "id": "1716468856.49031",
    "rule": {
        "id": "5763",
        "level": 10,
        "description": "sshd: brute force trying to get access to the system.",
        "groups": ["syslog", "sshd"],
        "mitre": {"id": ["T1110"], "tactic": ["Credential Access"], "technique": ["Brute Force"]},
        "firedtimes": 1,
    },
    "agent": {"id": "001", "name": "web1", "ip": VICTIM},
    "manager": {"name": "wazuh-manager"},
    "decoder": {"name": "sshd"},
    "full_log": "Failed password for ann from 192.0.2.10 port 40022 ssh2",
    "data": {"srcip": ATTACKER, "srcport": "40022", "srcuser": "ann"},
    "location": "/var/log/auth.log",
}

EXAMPLES: dict[str, dict[str, Any] | str] = {
    "seed": SEED,
    "millrace": OWN,
    "cef_line": CEF_LINE,
    "cef": CEF,
    "ocsf": OCSF,
    "ecs": ECS,
    "suricata": SURICATA,
    "snort": SNORT,
    "guardduty": GUARDDUTY,
    "asff": ASFF,
    "wazuh": WAZUH,
    **PRODUCT_EXAMPLES,
}
"""By the format's name."""
EXPECTED_ENDS = dict.fromkeys(EXAMPLES, (ATTACKER, VICTIM)) | ENDS
"""Source and target by the format's name."""
