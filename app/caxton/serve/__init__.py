"""`caxton serve`: all processes of a node as children of one foreground command, without root or systemd.

Owns who is started, in which order, and when again. Must never do a child's work: no sockets of theirs, no data.
"""

from caxton.serve.node import run

__all__ = ["run"]
