"""serf's configuration, out of ours.

Owns the files of a serf agent: configuration and token below the run directory, keyring, tags and snapshot below the
data directory. Must never write a key or a token where others can read it.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Final

from caxton import __version__
from caxton.cluster.gossip.addresses import api_address, gossip_address, other_seeds
from caxton.cluster.gossip.members import Tags, kept
from caxton.config import Config, node_name, require_gossip_key, serf_profile
from caxton.config.paths import Paths
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.peers import LINK_VERSION
from caxton.telemetry import event

RETRY_INTERVAL: Final = "2s"
RECONNECT_INTERVAL: Final = "5s"
FORGET_AFTER: Final = "168h"
"""How long a failed or gone member is remembered, as long as a tombstone of the registry."""
_LEVELS: Final = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERR", "critical": "ERR"}


def config_file(paths: Paths) -> Path:
    """What serf reads."""
    return paths.run / "serf.json"


def token_file(paths: Paths) -> Path:
    """What opens serf's RPC; made anew at each start of serf."""
    return paths.run / "serf.token"


def read_token(paths: Paths) -> str:
    """The token of the running agent. `UNREACHABLE` when none has been started."""
    try:
        return token_file(paths).read_text("ascii").strip()
    except (OSError, ValueError):
        raise CaxtonError(
            Code.UNREACHABLE, f"serf is not running here, or is another user's: cannot read {token_file(paths)}"
        ) from None


def write(config: Config) -> Path:
    """Writes everything that serf starts from; where its configuration is. `CONFIG_INVALID` for what cannot be."""
    require_gossip_key(config)
    paths = config.paths
    paths.run.mkdir(mode=0o750, parents=True, exist_ok=True)
    paths.gossip.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = secrets.token_urlsafe(32)
    encrypted = _write_keyring(paths.gossip / "keyring.json", config.coordination.encrypt_key)
    _write_tags(paths.gossip / "tags.json", config)
    _replace(token_file(paths), token)
    _replace(config_file(paths), json.dumps(settings(config, token, encrypted=encrypted), indent=1))
    return config_file(paths)


def settings(config: Config, token: str, *, encrypted: bool) -> dict[str, Any]:
    """serf's own settings, never the key among them: serf takes a key or a keyring, and only a keyring rotates."""
    own, paths = config.coordination, config.paths
    found: dict[str, Any] = {
        "node_name": node_name(config),
        "bind": own.bind_addr,
        "advertise": gossip_address(config),
        "rpc_addr": own.gossip_rpc_address,
        "rpc_auth": token,
        "profile": serf_profile(own.gossip_interval, own.probe_interval),
        "tags_file": str(paths.gossip / "tags.json"),
        "snapshot_path": str(paths.gossip / "snapshot"),
        "retry_join": other_seeds(config),
        "retry_interval": RETRY_INTERVAL,
        "reconnect_interval": RECONNECT_INTERVAL,
        "reconnect_timeout": FORGET_AFTER,
        "tombstone_timeout": FORGET_AFTER,
        "rejoin_after_leave": True,
        "leave_on_terminate": False,
        "skip_leave_on_interrupt": True,
        "disable_coordinates": True,
        "log_level": _LEVELS[config.observability.log_level],
    }
    return found | ({"keyring_file": str(paths.gossip / "keyring.json")} if encrypted else {})


def own_tags(config: Config) -> Tags:
    """What this node says of itself before its router says more."""
    return Tags(api_address(config), LINK_VERSION, __version__)


def _write_keyring(path: Path, key: str | None) -> bool:
    """The keys that serf knows; whether there are any.

    serf writes this file when keys rotate. A key of the configuration that it lacks comes first: somebody changed it
    there, or the keys rotated while this node was away.
    """
    if key is None:
        path.unlink(missing_ok=True)
        return False
    known = _read(path, list)
    if known and key not in known:
        event("serf's keyring gets the key of the configuration, which it lacked, as the first", keys=len(known) + 1)
    _replace(path, json.dumps(known if key in known else [key, *known]))
    return True


def _write_tags(path: Path, config: Config) -> None:
    """serf keeps its tags here while it runs; what the router said last holds until it says more."""
    _replace(path, json.dumps(own_tags(config).as_tags() | kept(_read(path, dict))))


def _read(path: Path, kind: type[Any]) -> Any:
    """What serf wrote; nothing when a power cut made it unreadable, since serf would not start with it."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return kind()
    return found if isinstance(found, kind) and all(isinstance(item, str) for item in found) else kind()


def _replace(path: Path, text: str) -> None:
    """Replaces a file whole; it is its owner's alone."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
