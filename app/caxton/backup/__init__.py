"""Snapshot, verify, list, retention, restore, and the drill that proves that a backup restores.

Owns the files of the backup directory, and the swap of a node's state for that of a backup. Must never write to the
database of a node that runs, nor know SQL: `store` does.
"""

from caxton.backup.configuration import back_up_configuration
from caxton.backup.drill import drill
from caxton.backup.listing import Listed, list_backups
from caxton.backup.restore import Restored, restore
from caxton.backup.state import MadeBackup, back_up_state, reserve_of
from caxton.backup.verify import Verified, find, verify

__all__ = [
    "Listed",
    "MadeBackup",
    "Restored",
    "Verified",
    "back_up_configuration",
    "back_up_state",
    "drill",
    "find",
    "list_backups",
    "reserve_of",
    "restore",
    "verify",
]
