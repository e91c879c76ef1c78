"""The command line: each verb calls one function.

Owns words, tables and exit codes. Must never hold logic that another program would need.
"""

from caxton.cli.root import main

__all__ = ["main"]
