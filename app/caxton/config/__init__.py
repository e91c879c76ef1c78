"""Configuration: one frozen model per TOML section; load, check, show.

Owns every key of production.toml. Must never import another Caxton package, `caxton.protocol.errors` excepted.
"""

from caxton.config.certificates import (
    Certificate,
    link_context,
    read_certificate,
    server_context,
    unreadable,
    why_unusable,
)
from caxton.config.clustering import is_loopback, node_name, require_gossip_key
from caxton.config.kinds import reachable, split_address
from caxton.config.loading import Loaded, load
from caxton.config.paths import Paths
from caxton.config.private_files import exposure
from caxton.config.public_keys import public_key
from caxton.config.reach import public_connection
from caxton.config.rules import serf_profile
from caxton.config.sections import (
    PUBLIC,
    RELOADABLE,
    SECRETS,
    Backup,
    Config,
    Coordination,
    Messaging,
    Networking,
    Observability,
    Runtime,
    Security,
    changed,
    defaults,
    reloaded,
)
from caxton.config.show import MASK, Shown, show
from caxton.config.units import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "MASK",
    "PUBLIC",
    "RELOADABLE",
    "SECRETS",
    "Backup",
    "Certificate",
    "Config",
    "Coordination",
    "Loaded",
    "Messaging",
    "Networking",
    "Observability",
    "Paths",
    "Runtime",
    "Security",
    "Shown",
    "changed",
    "defaults",
    "exposure",
    "format_duration",
    "format_size",
    "is_loopback",
    "link_context",
    "load",
    "node_name",
    "parse_duration",
    "parse_size",
    "public_connection",
    "public_key",
    "reachable",
    "read_certificate",
    "reloaded",
    "require_gossip_key",
    "serf_profile",
    "server_context",
    "show",
    "split_address",
    "unreadable",
    "why_unusable",
]
