r"""Names of accounts as products write them: `CORP\alice`, `alice@example.com`, `uid=1000(alice)`, `WKS-31$`, SIDs."""

from __future__ import annotations

import re

_GENERIC = frozenset(
    """
    admin admins administrator administrateur administrador administratör administratoren amministratore rendszergazda
    guest gast invité invitado user users test default defaultaccount defaultuser0 owner operator public anonymous
    anonymous_logon system système sistema local_service network_service lokaler_dienst netzwerkdienst service everyone
    self unset anyone someone wdagutilityaccount krbtgt
    root toor nobody nogroup daemon bin sys sync games man lp mail news uucp proxy www-data www backup list irc gnats
    messagebus syslog _apt sshd ntp chrony postfix dovecot mysql mariadb postgres redis mongodb apache httpd nginx
    tomcat named bind sa squid snort suricata zeek ossec ossecm ossecr wazuh elasticsearch logstash kibana polkitd dbus
    avahi cups rpc rpcuser nfsnobody halt shutdown ftp adm tty utmp shadow sudo wheel docker
    ubuntu debian centos fedora ec2-user opc cloud-user vagrant pi azureuser core kubernetes-admin system:anonymous
    system:admin system:masters hidden_due_to_security_reasons
    info contact office sales support helpdesk noreply no-reply postmaster mailer-daemon webmaster hostmaster abuse
    """.split()  # noqa: SIM905 - a list of a hundred lines
)
"""Accounts that every machine of a kind has, so that two machines with one have nothing in common: of Windows, of Unix
and its services, of images of clouds. Also what GuardDuty writes for a principal that it hides, and mailboxes that
every domain has."""
_GENERIC_DOMAINS = frozenset(
    (
        "nt authority", "nt-autorität", "autorite nt", "autorité nt", "nt service", "nt virtual machine",
        "window manager", "font driver host", "iis apppool", "builtin", "vordefiniert", "apppool",
    )
)  # fmt: skip
_GENERIC_PATTERN = re.compile(
    r"dwm-\d+|umfd-\d+|systemd-[a-z-]+|iusr(?:_.*)?|iwam_.*|aspnet|healthmailbox.*|defaultapppool|krbtgt/.*|\d{1,4}|65534"
    r"|s-1-(?!5-21-|12-1-).*|s-1-5-21-.*-(?:500|501|502|503)"
)
"""Accounts of sessions and services by pattern, ids of local Unix accounts, and well-known SIDs: other than a domain's
or Entra's, and of a domain Administrator (500), Guest (501), krbtgt (502) and DefaultAccount (503)."""
_UNIX = re.compile(r"(?P<before>[^()]+)\(uid=\d+\)|e?uid=\d+\((?P<within>[^()]+)\).*|\(?(?:e|a)?uid=(?P<id>\d+)\)?")
DISTINGUISHED = re.compile(r"(?:uid|cn|userid)=(?P<name>[^,/]+)(?:[,/].*)?")
"""A distinguished name in lower case, from the most specific part on."""
SERVICES = frozenset(("host", "http", "https", "cifs", "ldap", "dns", "termsrv", "wsman", "rpcss", "gc", "mssqlsvc"))
"""Classes of services in names of Kerberos: `cifs/fs1.corp.example.com` is an account of the host."""


def account_name(lower: str) -> str:
    """Return the name of an account in lower case without its domain; empty if it is generic.

    A machine's account ends in `$`, as in Active Directory; accounts of a host's services and of Kubernetes' nodes
    become such names.
    """
    if found := _UNIX.fullmatch(lower) or DISTINGUISHED.fullmatch(lower):
        lower = next(each for each in found.groups() if each)
    lower = lower.rpartition("|")[2]  # claims of SharePoint: `i:0#.f|membership|alice@example.com`
    domain, _, name = lower.rpartition("\\")
    if domain.strip(".\\") in _GENERIC_DOMAINS:
        return ""
    if name.startswith("system:node:"):
        return f"{name.removeprefix('system:node:')}$"
    service, _, host = name.partition("/")
    if host and service in SERVICES:
        return f"{re.split('[/@:]', host)[0]}$"
    name = name.removeprefix("smtp:").removeprefix("mailto:")
    name = name.partition("@")[0].strip() or name.strip()
    return "" if name.replace(" ", "_") in _GENERIC or _GENERIC_PATTERN.fullmatch(name) else name
