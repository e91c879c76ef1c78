"""Run by test_binding_rules: thousands of host calls under a hail of signals, with the worker's handlers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "app"))

from caxton.executor.binding.selfcheck import known_answer
from caxton.executor.worker.process import _signal_pipe

_signal_pipe()
threading.Thread(
    target=lambda: [
        (os.kill(os.getpid(), n), time.sleep(0.001)) for _ in range(300) for n in (signal.SIGTERM, signal.SIGINT)
    ],
).start()
answers = {known_answer() for _ in range(300)}
print("alive" if answers == {1119} else answers)
