"""The monitoring host of the cluster: everything is read, every rule is evaluated, nothing listens to strangers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://caxton_monitoring"]
PARTS = {
    "prometheus": "127.0.0.1:9095",
    "prometheus-alertmanager": "127.0.0.1:9093",
    "prometheus-blackbox-exporter": "127.0.0.1:9115",
}
TARGETS = {
    "caxton-node": {"node1", "node2", "node3"},
    "caxton-host": {"node1", "node2", "node3", "lb1", "lb2"},
    "caxton-probe": {"api"},
}
SECONDS = 90


def asked(host: Host, path: str) -> Any:
    """What Prometheus answers on the monitoring host."""
    return json.loads(host.check_output(f"curl -fsS 'http://{PARTS['prometheus']}/api/v1/{path}'"))["data"]


@pytest.mark.parametrize("unit", [*PARTS, "prometheus-node-exporter"])
def test_each_part_runs_and_starts_at_boot(host: Host, unit: str) -> None:
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled


@pytest.mark.parametrize("unit", PARTS)
def test_pages_are_on_loopback_only(host: Host, unit: str) -> None:
    port = PARTS[unit].rsplit(":", 1)[1]
    assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_every_target_is_up(host: Host) -> None:
    end = time.monotonic() + SECONDS
    while down := [
        (target["labels"]["job"], target["labels"]["instance"], target["lastError"])
        for target in asked(host, "targets")["activeTargets"]
        if target["health"] != "up"
    ]:
        assert time.monotonic() < end, down
        time.sleep(1)


def test_every_node_and_host_is_read_by_itself(host: Host) -> None:
    found = [(one["labels"]["job"], one["labels"]["instance"]) for one in asked(host, "targets")["activeTargets"]]
    assert len(found) == len(set(found))
    for job, wanted in TARGETS.items():
        assert {instance for of, instance in found if of == job} == wanted


def test_every_rule_is_evaluated(host: Host) -> None:
    end = time.monotonic() + SECONDS
    while wrong := [
        (rule["name"], rule["health"], rule.get("lastError"))
        for group in asked(host, "rules")["groups"]
        for rule in group["rules"]
        if rule["health"] != "ok"
    ]:
        assert time.monotonic() < end, wrong
        time.sleep(1)


def test_secrets_are_readable_by_the_alertmanager_only(host: Host) -> None:
    file = host.file("/etc/prometheus/caxton/alertmanager.yml")
    assert (file.user, file.group, file.mode) == ("root", "prometheus", 0o640)
    assert host.file("/var/lib/caxton-ansible").mode == 0o700
