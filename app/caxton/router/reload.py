"""SIGHUP: the configuration is read again, and what can change without a restart does.

Owns what a reload reaches in the router. Must never end the process: a bad file is reported, the old one holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from caxton.config import Loaded, changed, show
from caxton.protocol.errors import CaxtonError
from caxton.provenance import Trust
from caxton.router import provenance
from caxton.router.desk import Desk
from caxton.telemetry import set_level

log = logging.getLogger(__name__)


def reload(desk: Desk, load: Callable[[], Loaded]) -> None:
    """Applies the reloadable keys that changed; names the others."""
    try:
        loaded = load()
        config = loaded.config
        trust = Trust.load(config.security.trusted_keys)
    except CaxtonError as error:
        log.error("reload refused, the configuration stays as it was: %s", error.message)
        desk.audit.event("config.reload", outcome=error.code.value)
        return
    applied, waiting = changed(desk.config, config)
    desk.config, desk.trust, desk.settings = config, trust, show(loaded)
    desk.core.reconfigure(config)
    if "observability.log_level" in applied:
        set_level(config.observability.log_level)
    if desk.cluster is not None:
        desk.cluster.gossip.reconfigure(config.coordination)
        desk.cluster.beats.expect(config.coordination.expected_nodes)
        desk.cluster.pulling.expect(config.coordination.expected_nodes)
    log.warning("configuration reloaded; changed: %s", ", ".join(applied) or "nothing")
    if refused := provenance.refused(desk):
        log.warning("these run until they are ended, and could not be started again: %s", ", ".join(refused))
    if waiting:
        log.warning("changed, but in force only after a restart: %s", ", ".join(waiting))
    desk.audit.event("config.reload", applied=applied, after_restart=waiting)
    desk.events.publish("node.reloaded", {"node": desk.node, "applied": applied, "after_restart": waiting})
