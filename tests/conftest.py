"""What every test stands on.

Owns the test process's own signals. Must never hold fixtures: those live beside their users and in support/.
"""

from __future__ import annotations

import signal

# A shell starts what it runs in the background with SIGINT ignored, and every child inherits that. Programs that end
# on an interrupt are tested with real ones, also by `make test &`.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
