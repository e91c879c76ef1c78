from __future__ import annotations

import socket
import stat

from support.served_node import run_cli


def test_directories_are_private(make_node) -> None:
    node = make_node().start()
    data = node.directory / "data"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data, data / "modules", data / "run")}
    assert set(modes.values()) == {0o750}
    for name in ("artifacts", "scratch"):
        assert stat.S_IMODE((data / "run" / name).stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((data / "local.db").stat().st_mode) & 0o007 == 0


def test_a_second_node_in_the_same_directory_is_refused_with_the_holders_pid(make_node) -> None:
    node = make_node().start()
    second = node.cli("serve")
    assert (second.returncode, "[CONFLICT]" in second.stderr) == (1, True)
    assert str(node.process.pid) in second.stderr
    assert node.cli("ledger").returncode == 0


def test_a_taken_port_is_refused_by_the_name_of_its_key(make_node) -> None:
    node = make_node()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_cli("serve", env={**node.environ, "CAXTON_NETWORKING__ADMIN_ADDRESS": f"127.0.0.1:{port}"})
    assert done.returncode == 1
    assert "networking.admin_address" in done.stderr
    assert str(port) in done.stderr


def test_a_configuration_that_does_not_hold_starts_nothing(make_node) -> None:
    node = make_node()
    done = run_cli("serve", env={**node.environ, "CAXTON_RUNTIME__MAX_AGENTS": "none"})
    assert (done.returncode, "CONFIG_INVALID" in done.stderr) == (1, True)
    assert not (node.directory / "data").exists()


def test_a_directory_that_cannot_be_made_is_refused(make_node) -> None:
    node = make_node()
    node.write("data", "a file is in the way")
    done = node.cli("serve")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_limits_that_need_a_cgroup_are_warned_about(make_node) -> None:
    node = make_node(CAXTON_RUNTIME__CPU_QUOTA="1").start()
    assert "runtime.cpu_quota" in node.log
    assert "runtime.memory_limit" not in node.log
