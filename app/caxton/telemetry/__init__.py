"""Logs, metrics and spans of a process.

Owns formats and names of what is told to the outside. Must never decide anything.
"""

from caxton.telemetry.logs import event, set_level, set_up_logging
from caxton.telemetry.text import escape_controls, timestamp

__all__ = ["escape_controls", "event", "set_level", "set_up_logging", "timestamp"]
