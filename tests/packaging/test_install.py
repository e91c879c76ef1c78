"""The package on a fresh machine without a way out: what is there afterwards, and that it works."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import caxton
from support.installed_node import InstalledNode

SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"
IMPORT_ALL = """
import importlib, pkgutil, sys, caxton
assert sys.flags.isolated
names = [one.name for one in pkgutil.walk_packages(caxton.__path__, "caxton.") if not one.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), [path for path in sys.path if "site-packages" in path])
"""


def test_it_installs_without_a_network_and_is_ready_within_seconds(machine: InstalledNode, package: Path) -> None:
    assert "default" not in machine.sh("ip route")
    machine.install(package)
    begun = time.monotonic()
    machine.until_ready()
    assert time.monotonic() - begun < 30
    assert set(machine.states().values()) == {"active"}
    assert machine.sh("systemctl --failed --no-legend --plain") == ""
    assert machine.sh("caxton --version").split()[-1] == caxton.__version__


def test_every_module_can_be_imported_from_the_installed_tree(node: InstalledNode) -> None:
    printed = node.sh(f"cd / && /usr/lib/caxton/bin/python3 -I -c '{IMPORT_ALL}'")
    count, paths = printed.split(" ", 1)
    assert int(count) > 150
    assert paths.startswith("['/usr/lib/caxton/lib/python3.")
    assert paths.count("site-packages") == 1


def test_systemd_finds_nothing_wrong_with_the_units(node: InstalledNode) -> None:
    assert node.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/caxton*.* 2>&1") == ""


def test_an_agent_is_compiled_in_its_jail_and_answers(node: InstalledNode) -> None:
    answer = node.invoke("echo", "hello")
    assert answer is not None
    assert answer[0] == 200
    heads = '"message":"audit head '  # warnings, so that no log_level leaves an anchor of the audit out
    assert node.sh(f"journalctl -p warning -o cat -u 'caxton*' | grep -vF '{heads}' || :") == ""


def test_files_belong_to_the_node_and_are_for_nobody_else(node: InstalledNode) -> None:
    shown = node.sh("stat -c '%n %U:%G %a' /opt/caxton /opt/caxton/* /opt/caxton/config/*").splitlines()
    assert {line.split(" ", 1)[1] for line in shown if not line.startswith("/opt/caxton/config/")} == {
        "caxton:caxton 750"
    }
    assert "/opt/caxton/config/production.toml caxton:caxton 640" in shown
    assert node.sh("stat -c '%U %a' /run/caxton/router.sock /run/caxton-executor/executor.sock").splitlines() == [
        "caxton 660",
        "caxton-executor 660",
    ]
    assert node.sh("stat -c '%U %a' /var/cache/caxton-executor") == "caxton-executor 700"
    for user in ("caxton", "caxton-executor"):
        assert node.sh(f"getent passwd {user}").endswith("nologin")


def test_nothing_of_the_package_lies_below_opt(node: InstalledNode) -> None:
    assert node.sh("dpkg -L caxton | grep '^/opt' || true") == ""


def test_the_guides_scripts_are_there_and_the_units_back_up_and_prove_it(node: InstalledNode) -> None:
    node.sh("systemctl start caxton-backup.service", timeout=300)
    assert node.sh("ls /opt/caxton/backups | grep -c '^state_.*gz$'") == "1"
    assert node.sh("ls /opt/caxton/backups | grep -c '^config_.*gz$'") == "1"
    node.sh("systemctl start caxton-restore-drill.service", timeout=300)
    status = json.loads(node.sh("cat /opt/caxton/backups/status.json"))
    assert status["drill"]["code"] is None
    node.sh("/opt/caxton/scripts/backup-config.sh && /opt/caxton/scripts/backup-state.sh", timeout=300)
    assert node.sh("find /opt/caxton/backups ! -user caxton") == ""


def test_the_timers_wait_for_their_time(node: InstalledNode) -> None:
    shown = node.states("caxton-backup.timer", "caxton-restore-drill.timer")
    assert set(shown.values()) == {"active"}


def test_running_the_postinst_again_changes_nothing(node: InstalledNode) -> None:
    seen = (
        "ls -lR --time-style=+ /opt/caxton/config /opt/caxton/bin /opt/caxton/scripts /etc/systemd/system; id caxton"
    )
    before = node.sh(seen)
    for _ in range(2):
        node.sh("DPKG_MAINTSCRIPT_PACKAGE=caxton /var/lib/dpkg/info/caxton.postinst configure 0.3.0")
        node.until_ready()
    assert node.sh(seen) == before
    assert set(node.states().values()) == {"active"}


def test_a_secret_in_the_environment_file_reaches_the_api_and_is_not_missed_by_the_executor(
    node: InstalledNode,
) -> None:
    config = "/opt/caxton/config"
    node.sh(
        f"cp -a {config}/production.toml /root/; printf '[security]\\njwt_secret = \"${{JWT_SECRET}}\"\\n'"
        f" >{config}/production.toml; printf 'JWT_SECRET={SECRET}\\n' >{config}/caxton.env"
        f"; chown root:caxton {config}/caxton.env; chmod 640 {config}/caxton.env"  # others may not read it
    )
    try:
        node.sh("systemctl restart caxton")
        node.until_ready()
        assert with_token(node) == 200
        pid = node.pid("caxton-executor.service")
        assert SECRET not in node.sh(f"cat /proc/{pid}/environ | tr '\\0' '\\n'")
        assert SECRET not in node.sh("ps axww -o args")
    finally:
        node.sh(f"rm {config}/caxton.env; cp -a /root/production.toml {config}/; systemctl restart caxton")
        node.until_ready()


def test_a_secret_may_be_a_credential_of_systemd(node: InstalledNode) -> None:
    node.sh(f"umask 077; mkdir -p /etc/credstore; printf %s {SECRET} >/etc/credstore/caxton.jwt_secret")
    try:
        node.sh("systemctl restart caxton")
        node.until_ready()
        assert with_token(node) == 200
    finally:
        node.sh("rm /etc/credstore/caxton.jwt_secret; systemctl restart caxton")
        node.until_ready()
    assert with_token(node) == 401


def test_root_alone_reads_the_first_key_and_has_it_until_an_administrator_has_one(node: InstalledNode) -> None:
    file = "/var/lib/caxton/bootstrap_key"
    node.sh(f"systemctl start caxton-bootstrap; test ! -e {file}")  # these tests have an administrator's key
    for item in json.loads(node.sh("caxton --output json key list")):
        node.sh(f"caxton -q key revoke {item['key_id']}")
    try:
        node.sh("systemctl start caxton-bootstrap")
        assert node.sh(f"stat -c '%a %U' {file} $(dirname {file})").split() == ["600", "root", "700", "root"]
        assert node.sh(f"runuser -u caxton -- cat {file} 2>/dev/null || echo refused") == "refused"
        first = node.sh(f"cat {file}")
        assert node.sh(f"CAXTON_API_KEY={first} caxton --output json agent list").startswith("[")
    finally:
        node.make_key()
    seen = f"{{ CAXTON_API_KEY={first} caxton agent list 2>&1 || true; }}"
    node.sh(f"for n in $(seq 20); do {seen} | grep -q UNAUTHORIZED && exit; sleep 0.2; done; exit 1")
    node.sh(f"systemctl restart caxton; until test ! -e {file}; do sleep 0.2; done")
    node.until_ready()


def test_root_signs_tokens_with_the_secret_that_systemd_has(node: InstalledNode) -> None:
    node.sh(f"umask 077; mkdir -p /etc/credstore; printf %s {SECRET} >/etc/credstore/caxton.jwt_secret")
    try:
        node.sh("systemctl restart caxton")
        node.until_ready()
        token = node.sh("caxton -q token create --subject me --role viewer")
        assert node.sh(f"CAXTON_TOKEN={token} caxton --output json agent list").startswith("[")
        assert "CONFIG_INVALID" in node.sh(
            "runuser -u caxton -- caxton token create --subject me --role viewer 2>&1 || true"
        )
    finally:
        node.sh("rm /etc/credstore/caxton.jwt_secret; systemctl restart caxton")
        node.until_ready()


def with_token(node: InstalledNode) -> int:
    """The status of a request with a token that is signed with SECRET."""
    token = node.sh(f"CAXTON_SECURITY__JWT_SECRET={SECRET} caxton -q token create --subject me --role admin")
    connection = http.client.HTTPConnection(node.address, 8080, timeout=30)
    connection.request("GET", "/api/v1/agents", headers={"Authorization": f"Bearer {token}", "Connection": "close"})
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_comes_back_by_itself_after_a_power_cut(node: InstalledNode) -> None:
    node.lab.kill(node.host)
    node.lab.start(node.host)
    node.until_ready()
    answer = node.invoke("echo", "still here")
    assert answer is not None
    assert answer[0] == 200
    assert set(node.states().values()) == {"active"}
