"""What the configuration means for systemd's units: limits, sockets and paths as drop-ins.

Owns these drop-ins. Must never start, stop or look at a unit.
"""

from caxton.systemd.directories import Written, mark_read, write
from caxton.systemd.limits import NEEDED, UnitSettings, unit_settings
from caxton.systemd.text import DROP_IN, drop_ins

__all__ = ["DROP_IN", "NEEDED", "UnitSettings", "Written", "drop_ins", "mark_read", "unit_settings", "write"]
