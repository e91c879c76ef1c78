"""What is said to the service manager."""

from __future__ import annotations

import pytest

from caxton.telemetry import notify
from support.manager import listening


def test_the_service_manager_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        assert notify.notify("READY=1")
        assert manager.hear() == "READY=1"
        monkeypatch.setenv("NOTIFY_SOCKET", f"{manager.path}.absent")
        assert not notify.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify.notify("READY=1")


def test_a_status_is_said_once_and_life_only_while_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        vitals = notify.Vitals()
        assert vitals.pause == 0.1
        for well in (True, False, True):
            vitals.beat("ready", well=well)
        assert [manager.hear() for _ in range(3)] == ["STATUS=ready", "WATCHDOG=1", "WATCHDOG=1"]


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [("30000000", None, 15.0), ("30000000", "1", None), ("0", None, None), ("", None, None), ("x", None, None)],
)
def test_the_watchdog_is_fed_twice_a_period(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str | None, expected: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_interval() == expected
