"""The tests that call Ansible itself need the controller's programs; those that only read YAML do not."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from support import controller


@pytest.fixture
def call() -> Callable[..., CompletedProcess[str]]:
    reason = controller.missing()
    if reason:
        pytest.skip(reason)
    return controller.call
