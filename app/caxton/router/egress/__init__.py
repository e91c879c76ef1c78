"""Outbound HTTP for agents: the only code of the node that connects to addresses that a guest chose.

Owns what may be asked for, where a connection may lead, and what is kept of it. Nothing outside this folder
may open a connection. Must never know what an answer means to the guest.
"""

from caxton.router.egress.origins import check_grants
from caxton.router.egress.service import Egress

__all__ = ["Egress", "check_grants"]
