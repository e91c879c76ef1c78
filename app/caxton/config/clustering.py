"""What must hold of a node that is one of several: refusals and warnings.

Owns the checks that `cluster_enabled` brings. Must never ask for a secret where no process needs it: most have none.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Final

from caxton.config.certificates import names_of, readable
from caxton.config.kinds import split_address
from caxton.config.problems import Problem, invalid, quoted
from caxton.config.sections import NODE_ID, Config
from caxton.config.units import format_duration

_BEATS: Final = 4
"""So many heartbeats may be missing until a node is."""


def check_cluster(config: Config) -> list[Problem]:
    """Everything that makes it impossible to be one of several nodes, of the values that every process has."""
    own, net = config.coordination, config.networking
    if not own.cluster_enabled:
        return []
    problems = []
    if not net.tls_enabled:
        problems.append(Problem("networking.tls_enabled", "false", "true, because cluster_enabled = true"))
    elif net.tls_ca_path is None:
        problems.append(Problem("networking.tls_ca_path", "nothing", "a path, because cluster_enabled = true"))
    if not is_loopback(own.gossip_rpc_address):
        found = "a loopback address such as 127.0.0.1:7373"
        problems.append(Problem("coordination.gossip_rpc_address", own.gossip_rpc_address, found))
    if own.detection_timeout < _BEATS * own.heartbeat_interval:
        found = format_duration(own.detection_timeout)
        expected = f"at least {_BEATS} times heartbeat_interval ({format_duration(own.heartbeat_interval)})"
        problems.append(Problem("coordination.detection_timeout", found, expected))
    name = node_name(config)
    if own.node_id is None and re.fullmatch(NODE_ID, name, re.ASCII) is None:
        found = f"nothing, and the host is called {quoted(name)}"
        problems.append(Problem("coordination.node_id", found, "the node's name: a-z 0-9 . -, as in its certificate"))
    return problems


def cluster_warnings(config: Config) -> list[str]:
    """A certificate that is another node's: the others would not let this one in."""
    path = config.networking.tls_cert_path
    if not config.coordination.cluster_enabled or path is None or not readable(path):
        return []
    try:
        common, names = names_of(path)
    except (OSError, ValueError):
        return []  # said elsewhere
    name = node_name(config)
    if common == name and name in names:
        return []
    found = f"{common or 'nobody'} ({', '.join(sorted(names)) or 'no DNS names'})"
    return [
        f"networking.tls_cert_path: {path} is for {found}; "
        f"the other nodes let {name} in with a certificate that has it as common name and as DNS name"
    ]


def require_gossip_key(config: Config) -> None:
    """`CONFIG_INVALID` when serf would talk to other hosts in the clear."""
    own = config.coordination
    if own.cluster_enabled and own.encrypt_key is None and not is_loopback(own.bind_addr):
        expected = f"a key, because bind_addr {own.bind_addr} can be reached from other hosts"
        problem = Problem("coordination.encrypt_key", "nothing", expected, "make one: openssl rand -base64 32")
        raise invalid("cluster", [problem])


def node_name(config: Config) -> str:
    """The node's name in the cluster: `node_id`, else the host's."""
    return config.coordination.node_id or host_name()


def host_name() -> str:
    """What this host calls itself."""
    return os.uname().nodename


def is_loopback(address: str) -> bool:
    """Whether `host:port` can be reached from this host only; a name counts when it is `localhost`."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
