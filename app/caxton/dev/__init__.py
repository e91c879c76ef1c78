"""One agent at a desk: the node's own executor, private to one command, and what its executions did and cost.

Owns the part of a router that one agent alone needs. Must never touch a node, or keep anything after it ended.
"""

from caxton.dev.desk import Agent, Desk, desk
from caxton.dev.report import Report

__all__ = ["Agent", "Desk", "Report", "desk"]
