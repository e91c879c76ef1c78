"""The whole way on loopback: a real node, the exporters, Prometheus, the alertmanager, and who is told."""

from __future__ import annotations

import os
import signal

import httpx
import pytest

from support.monitoring import Alert, alerts, metric_names, needs, with_prefix
from support.monitoring_stack import EXPORTERS, PREFIX, PROGRAMS, TOKEN, Receiver, Stack, render, with_low_disk
from support.served_node import ServedNode, until

pytestmark = [needs(*PROGRAMS, *EXPORTERS, "openssl", "serf"), pytest.mark.timeout(300)]


def test_each_program_accepts_its_file(stack: Stack) -> None:
    for done in stack.check():
        assert done.returncode == 0, done.stdout + done.stderr


def test_everything_is_scraped(stack: Stack) -> None:
    up = until(lambda: len(found := stack.value("up == 1")) == 6 and found, "six targets are up", 60)
    found = {(one["metric"]["job"], one["metric"]["instance"]) for one in up}
    assert {("caxton-node", "node1"), ("caxton-host", "this-host"), ("caxton-probe", "vip")} < found


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_every_metric_of_an_alert_exists(alert: Alert, series: dict[str, set[str]]) -> None:
    conditional = {f"{PREFIX}_not_ready"}  # only while there is a reason: the test below makes one
    assert not metric_names(with_prefix(alert.expr, PREFIX)) - conditional - set(series)


def test_an_operator_is_told_of_a_pause_and_of_its_end(stack: Stack, node: ServedNode, receiver: Receiver) -> None:
    admin = f"http://{node.environ['CAXTON_NETWORKING__ADMIN_ADDRESS']}/api/v1/admin"
    assert httpx.post(f"{admin}/pause").status_code == 200
    authorization, alert = receiver.wait_for("CaxtonPausedTooLong", "firing")
    assert authorization == f"Bearer {TOKEN}"
    assert (alert["labels"]["instance"], alert["labels"]["severity"]) == ("node1", "warning")
    assert httpx.post(f"{admin}/resume").status_code == 200
    receiver.wait_for("CaxtonPausedTooLong", "resolved")


def test_a_reason_why_a_node_is_not_ready_is_named(stack: Stack, node: ServedNode, receiver: Receiver) -> None:
    assert node.process is not None
    node.write("node.toml", with_low_disk("1000TB"))
    node.process.send_signal(signal.SIGHUP)
    _, alert = receiver.wait_for("CaxtonNodeNotReady", "firing")
    assert alert["labels"]["reason"] == "low_disk"
    node.write("node.toml", with_low_disk("1MB"))
    node.process.send_signal(signal.SIGHUP)
    receiver.wait_for("CaxtonNodeNotReady", "resolved")


def test_a_killed_node_is_told(stack: Stack, node: ServedNode, receiver: Receiver) -> None:
    """Last here: the node is gone afterwards."""
    assert node.process is not None
    for pid in [node.process.pid, *node.descendants()]:
        os.kill(pid, signal.SIGKILL)
    _, alert = receiver.wait_for("CaxtonNodeDown", "firing")
    assert (alert["labels"]["instance"], alert["labels"]["severity"]) == ("node1", "critical")
    assert alert["annotations"]["runbook"] == "/usr/share/doc/caxton/operations.md#caxtonnodedown"


def test_secrets_and_mail_are_where_they_belong(stack: Stack) -> None:
    mail = {
        "caxton_monitoring_emails": ["ops@example.com"],
        "caxton_monitoring_smtp": {"smarthost": "mail:25", "from": "a@b", "username": "u", "password": "geheim"},
    }
    for template in ("prometheus.yml.j2", "blackbox.yml.j2", "alertmanager.yml.j2"):
        text = render(template, {**stack.variables, **mail})
        assert (TOKEN in text, "geheim" in text) == (("alertmanager" in template),) * 2
