"""Write findings of AWS: GuardDuty, and Security Hub's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.stories.network import chance_of
from model.stories.products.site import iso, rule_number

if TYPE_CHECKING:
    from model.stories.events import Event
    from model.stories.products.site import Record, Site

_FINDING_TYPES = {
    "T1595": "Recon:EC2/PortProbeUnprotectedPort",
    "T1046": "Recon:EC2/Portscan",
    "T1110": "UnauthorizedAccess:EC2/SSHBruteForce",
    "T1071": "Backdoor:EC2/C&CActivity.B",
    "T1496": "CryptoCurrency:EC2/BitcoinTool.B",
    "T1048": "Trojan:EC2/DNSDataExfiltration",
    "T1078": "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS",
    "T1530": "Exfiltration:S3/AnomalousBehavior",
}
"""GuardDuty's type for a technique; others are a behaviour of the network."""


def _finding_type(event: Event) -> str:
    other = "Discovery:IAMUser/AnomalousBehavior" if event.kind == "cloud" else "Behavior:EC2/NetworkPortUnusual"
    return _FINDING_TYPES.get(event.technique.partition(".")[0], other)


def guardduty(site: Site, event: Event) -> Record:
    """Write a finding of GuardDuty: the instance's id with its private address, or a key of an account."""
    address, peer = site.address(event.host, event), site.address(event.peer, event)
    instance = event.host.instance or f"i-{chance_of(event.host.name).getrandbits(64):016x}"
    if event.kind == "cloud":
        action = {
            "actionType": "AWS_API_CALL",
            "awsApiCallAction": {"api": "ListBuckets", "remoteIpDetails": {"ipAddressV4": peer or address}},
        }
        resource = {
            "resourceType": "AccessKey",
            "accessKeyDetails": {"userName": event.user or "role", "accessKeyId": f"AKIA{instance[2:].upper()}"},
            "instanceDetails": {"instanceId": instance},
        }
    else:
        action = {
            "actionType": "NETWORK_CONNECTION",
            "networkConnectionAction": {
                "connectionDirection": "INBOUND" if event.inbound else "OUTBOUND",
                "remoteIpDetails": {"ipAddressV4": peer or address},
                "localIpDetails": {"ipAddressV4": address},
                "localPortDetails": {"port": event.port},
                "remotePortDetails": {"port": event.port},
            },
        }
        resource = {
            "resourceType": "Instance",
            "instanceDetails": {"instanceId": instance, "networkInterfaces": [{"privateIpAddress": address}]},
        }
    return {
        "schemaVersion": "2.0",
        "accountId": site.network.account,
        "region": "eu-central-1",
        "id": site.uuid().replace("-", ""),
        "type": _finding_type(event),
        "severity": (1, 2, 5, 8, 8.9)[event.level],
        "createdAt": iso(event.time),
        "updatedAt": iso(event.time + 300),
        "title": f"{event.title}: {instance}.",
        "description": f"{event.title} was seen at {instance}.",
        "resource": resource,
        "service": {
            "serviceName": "guardduty",
            "eventFirstSeen": iso(event.time),
            "eventLastSeen": iso(event.time),
            "resourceRole": "TARGET" if event.inbound else "ACTOR",
            "action": action,
            "archived": False,
            "count": 1,
        },
    }


def asff(site: Site, event: Event) -> Record:
    """Write a finding of Security Hub: addresses, and the instance by its ARN."""
    source, target = site.ends(event)
    host, account, uid = event.host, site.network.account, site.uuid()
    instance = host.instance or f"i-{chance_of(host.name).getrandbits(64):016x}"
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"arn:aws:securityhub:eu-central-1:{account}:finding/{uid}",
        "ProductArn": "arn:aws:securityhub:eu-central-1::product/aws/guardduty",
        "GeneratorId": f"rule-{rule_number(event, 100, 999)}",
        "AwsAccountId": account,
        "Types": ["TTPs/Discovery"],
        "CreatedAt": iso(event.time),
        "UpdatedAt": iso(event.time),
        "Severity": {
            "Label": ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")[event.level],
            "Normalized": (0, 20, 50, 75, 95)[event.level],
        },
        "Title": event.title,
        "Description": f"{event.title} on {instance}.",
        "Network": {"SourceIpV4": source, "DestinationIpV4": target, "DestinationPort": event.port},
        "Resources": [
            {
                "Type": "AwsEc2Instance",
                "Id": f"arn:aws:ec2:eu-central-1:{account}:instance/{instance}",
                "Details": {"AwsEc2Instance": {"IpV4Addresses": [site.address(host, event)]}},
            }
        ],
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"},
    }
