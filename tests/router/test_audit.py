"""What the router records: before it acts, and how it ended; through crashes, storms and a full disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.audit import verify
from caxton.audit.files import parse_heads
from caxton.audit.log import Log
from caxton.protocol.access import Caller, Role, Scope
from caxton.protocol.audit import AuditListing, AuditNote, AuditNotes, Phase, Record
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import encode_frame
from caxton.protocol.operations import (
    OPERATIONS,
    Call,
    DeadPurge,
    Drain,
    Fail,
    Invoke,
    KeyCreate,
    Named,
    Nothing,
    Remove,
    Reply,
    SetLogLevel,
    Stop,
)
from caxton.protocol.versions import ConfigChange, Update
from caxton.router.auditing.actions import AUDITED, NOT_AUDITED
from caxton.router.operations.table import STREAMS, STREAMS_FOR_CALLER
from support.audit_files import draft, files, records, rewrite
from support.desk_node import RouterNode, deploy, invoke, job, message, refusal, submit, until
from support.random_arguments import Maker
from support.router_client import RouterClient
from support.router_modules import BAD_INIT, ECHO, SLEEPER, wasm

LONG = SLEEPER.replace("700000", "20000000")
"""Sleeps 20 s."""
SECRET = "n0-b0dy-may-see-this"


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as started:
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def audit_of(node: RouterNode) -> Path:
    return node.data / "audit"


def last(node: RouterNode, action: str, phase: Phase = Phase.ENDED) -> Record:
    return [record for record in records(audit_of(node)) if (record.action, record.phase) == (action, phase)][-1]


def ask_as(client: RouterClient, caller: Caller, op: str, args: Any) -> Any:
    """One operation on behalf of somebody, as the API asks it."""
    client.socket.sendall(encode_frame(Call(1_000, op, msgspec.msgpack.encode(args), caller)))
    answer = client.receive()
    if isinstance(answer, Fail):
        raise CaxtonError.from_body(answer.error)
    assert isinstance(answer, Reply)
    return msgspec.json.decode(answer.result)


# ---- which -----------------------------------------------------------------------------------------


def test_every_operation_is_recorded_or_says_why_not() -> None:
    assert set(AUDITED) | set(NOT_AUDITED) == set(OPERATIONS)
    assert not set(AUDITED) & set(NOT_AUDITED)
    assert all(len(reason) > 8 for reason in NOT_AUDITED.values())


def test_what_is_not_recorded_is_answered_as_ever() -> None:
    """Every operation once: one record of a beginning before the answer where the table says so, and else none."""
    arguments = Maker(random.Random(3), ["somebody"], ["talk"])
    begun: dict[str, list[str]] = {}
    with RouterNode() as node, node.client() as client:
        for op, (kind, _) in OPERATIONS.items():
            before = len(records(audit_of(node)))
            call = client.send(op, _some(arguments, kind))
            if op in STREAMS or op in STREAMS_FOR_CALLER:
                client.hang_up(call)
                client.call("stats")
            else:
                with suppress(CaxtonError):
                    client.answer(call)
            found = records(audit_of(node))[before:]
            begun[op] = [record.action for record in found if record.phase is Phase.BEGUN]
    assert begun == {op: [AUDITED[op].name] if op in AUDITED else [] for op in OPERATIONS}


def _some(maker: Maker, kind: type[msgspec.Struct]) -> Any:
    while True:
        with suppress(msgspec.ValidationError):
            return maker.struct(kind)


def test_what_is_out_of_reach_never_begins(node: RouterNode, client: RouterClient) -> None:
    """The API notes the refusal, and counts: a denied caller cannot fill the disk."""
    before = len(records(audit_of(node)))
    bound = Caller("x", Role.OPERATOR, "north")
    for op, args in (("node.pause", Nothing()), ("agent.stop", Stop("south/a")), ("agent.stop", Stop("a"))):
        with pytest.raises(CaxtonError):
            ask_as(client, bound, op, args)
    assert len(records(audit_of(node))) == before


def test_messages_leave_no_record(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "quiet", ECHO)
    before = len(records(audit_of(node)))
    submit(client, "quiet", 100)
    invoke(client, "quiet")
    client.call("ledger")
    assert len(records(audit_of(node))) == before


def test_who_from_where_and_how_it_ended(node: RouterNode, client: RouterClient) -> None:
    somebody = Caller("ci", Role.DEPLOYER, "team", None, "key:3fa2", "192.0.2.7", "request-1")
    with pytest.raises(CaxtonError):
        ask_as(client, somebody, "agent.remove", Remove("team/nobody", purge=True))
    begun, ended = records(audit_of(node))[-2:]
    assert (begun.phase, begun.outcome, ended.phase, ended.of) == (Phase.BEGUN, None, Phase.ENDED, begun.seq)
    assert (ended.action, ended.target, ended.outcome) == ("agent.remove", "team/nobody", "AGENT_NOT_FOUND")
    assert msgspec.to_builtins(ended.actor) == {
        "subject": "ci", "role": "deployer", "namespace": "team", "credential": "key:3fa2", "address": "192.0.2.7",
    }  # fmt: skip
    assert (ended.request_id, ended.details["purge"]) == ("request-1", True)


def test_what_is_granted_is_recorded_and_no_value_that_may_be_secret(node: RouterNode, client: RouterClient) -> None:
    made = deploy(
        client, "granted", ECHO, env={"TOKEN": SECRET}, config={"password": SECRET}, args=[SECRET],
        grants={"send": ["other"], "http": ["https://example.com"], "secrets": ["db"]},
        self_test={"content": {"text": SECRET}},
    )  # fmt: skip
    ended = last(node, "agent.deploy")
    assert ended.details["module_sha256"] == made["module_sha256"]
    assert ended.details["version"] == 1
    assert ended.details["grants"]["http"] == ["https://example.com"]
    assert ended.details["grants"]["secrets"] == ["db"]
    assert ended.details["env"] == ["TOKEN"]
    change = ConfigChange(env={"OTHER": SECRET}, grants=msgspec.UNSET)
    client.call("agent.update", Update("granted", change, wasm(ECHO), wait_seconds=30.0))
    assert last(node, "agent.update").details["env"] == ["OTHER"]
    submit(client, "granted", 1)
    key = client.call("key.create", KeyCreate("somebody", Scope(Role.ADMIN), 60.0))
    assert last(node, "key.create").details["key_id"] == key["key_id"]
    text = b"".join(path.read_bytes() for path in files(audit_of(node)))
    assert SECRET.encode() not in text
    assert key["key"].encode() not in text


def test_what_an_operator_does_to_the_node(node: RouterNode, client: RouterClient) -> None:
    client.call("node.pause")
    client.call("node.resume")
    client.call("node.drain", Drain(0.0))
    client.call("node.undrain")
    client.call("node.log_level", SetLogLevel("debug"))
    client.call("node.log_level", SetLogLevel("info"))
    refusal(client, "dead.purge", DeadPurge())
    client.call("dead.purge", DeadPurge(agent="quiet"))
    done = [record for record in records(audit_of(node)) if record.phase is Phase.ENDED]
    assert [(record.action, record.outcome) for record in done[-8:]] == [
        ("node.pause", "ok"), ("node.resume", "ok"), ("node.drain", "ok"), ("node.undrain", "ok"),
        ("node.log_level", "ok"), ("node.log_level", "ok"), ("dead.purge", "INVALID_REQUEST"), ("dead.purge", "ok"),
    ]  # fmt: skip


def test_a_job_has_a_record_of_its_end(node: RouterNode, client: RouterClient) -> None:
    made = deploy(client, "slowly", ECHO, wait_seconds=0.0)
    job(client, made["job_id"])
    refused = deploy(client, "broken", BAD_INIT, wait_seconds=0.0)
    job(client, refused["job_id"])
    ends = until(lambda: _ends(node, {made["job_id"], refused["job_id"]}))
    assert last(node, "agent.deploy").outcome == "accepted"
    assert ends[made["job_id"]].outcome == "ok"
    assert ends[made["job_id"]].target == "slowly"
    assert ends[refused["job_id"]].outcome in set(Code)


def _ends(node: RouterNode, jobs: set[str]) -> dict[str, Record] | None:
    found = {one.details["job_id"]: one for one in records(audit_of(node)) if one.action == "job.end"}
    return found if jobs <= set(found) else None


def test_who_hangs_up_leaves_an_end_that_nobody_knows(node: RouterNode, client: RouterClient) -> None:
    deploy(client, "sleeper", LONG)
    with node.client() as other:
        other.send("invoke", Invoke(message("sleeper"), 30.0))
        until(lambda: client.call("stats")["core"]["in_flight"])
        call = other.send("agent.stop", Stop("sleeper", 20.0))
        until(lambda: records(audit_of(node))[-1].action == "agent.stop")
        other.hang_up(call)
        until(lambda: any(one.action == "agent.stop" and one.outcome == "unknown" for one in records(audit_of(node))))


# ---- lists and notes -------------------------------------------------------------------------------


def test_the_list_is_for_whoever_reaches_the_whole_node(client: RouterClient) -> None:
    """Which roles that takes is a matter of the route: the API's table of permissions."""
    for bound in (Caller("x", Role.ADMIN, "north"), Caller("x", Role.AGENT_CLIENT, agents=("*",))):
        with pytest.raises(CaxtonError) as caught:
            ask_as(client, bound, "audit.list", AuditListing())
        assert caught.value.code is Code.FORBIDDEN
    assert ask_as(client, Caller("x", Role.ADMIN), "audit.list", AuditListing())["items"]


def test_pages_over_the_socket(client: RouterClient) -> None:
    for number in range(5):
        refusal(client, "agent.start", Named(f"page-{number}"))
    found, cursor = [], None
    while True:
        page = client.call("audit.list", AuditListing(limit=2, cursor=cursor, target="page-*"))
        found += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert [item["target"] for item in found] == [f"page-{number}" for number in reversed(range(5))]
    assert refusal(client, "audit.list", AuditListing(cursor="nonsense")).code is Code.INVALID_REQUEST


def test_only_processes_of_the_node_note_and_only_what_they_may(client: RouterClient) -> None:
    note = AuditNotes([AuditNote(action="token.create", target="me")])
    with pytest.raises(CaxtonError) as caught:
        ask_as(client, Caller("x", Role.ADMIN, credential="key:1"), "audit.note", note)
    assert caught.value.code is Code.FORBIDDEN
    forged = AuditNotes([AuditNote(action="agent.deploy", target="me")])
    assert refusal(client, "audit.note", forged).code is Code.INVALID_REQUEST
    client.call("audit.note", note)


def test_a_storm_makes_few_records(node: RouterNode, client: RouterClient) -> None:
    """Ten thousand from a thousand addresses; what cannot be named one by one is counted."""
    before = len(records(audit_of(node)))
    for first in range(0, 10_000, 500):
        notes = [
            AuditNote(action="login.failed", outcome="UNAUTHORIZED", address=f"10.0.{n % 1000 // 250}.{n % 250}")
            for n in range(first, first + 500)
        ]
        client.call("audit.note", AuditNotes(notes))
    code = node.stop_router()
    node.start_router()
    assert code == 0
    made = [record for record in records(audit_of(node))[before:] if record.action == "login.failed"]
    assert len(made) < 100
    assert sum(record.details["count"] for record in made) == 10_000
    assert any(record.details.get("addresses", 0) > 500 for record in made)


# ---- crashes ---------------------------------------------------------------------------------------


def test_killed_at_any_moment_no_answered_action_is_without_its_records() -> None:
    """kill -9 under a load of actions: the chain verifies, what was answered has both records."""
    chance = random.Random(5)
    answered: Counter[str] = Counter()
    with RouterNode() as node:
        for round_ in range(5):
            threads = [threading.Thread(target=_act, args=(node, f"r{round_}-{one}", answered)) for one in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.05, 0.6))
            node.kill_router()
            for thread in threads:
                thread.join()
            found = verify(audit_of(node))
            assert not found.faults, found.faults
            node.start_router(ready=False)
            until(node.connected).close()
        heads = parse_heads(node.log)
        found = verify(audit_of(node), heads)
        assert not found.faults
        assert found.anchors == len({head.seq for head in heads}) > 5
        ended = Counter(record.target for record in records(audit_of(node)) if record.phase is Phase.ENDED)
        begun = {record.seq for record in records(audit_of(node)) if record.phase is Phase.BEGUN}
        ofs = {record.of for record in records(audit_of(node))}
    assert sum(answered.values()) > 50
    assert not answered - ended
    assert ofs <= begun | {None}


def _act(node: RouterNode, name: str, answered: Counter[str]) -> None:
    """Actions one after the other until the router is gone; each that was answered is counted."""
    try:
        with node.client() as client:
            for number in range(100_000):
                target = f"{name}-{number}"
                assert refusal(client, "agent.start", Named(target)).code is Code.AGENT_NOT_FOUND
                answered[target] += 1
    except (OSError, EOFError):
        return


def test_a_crash_between_the_two_leaves_a_beginning() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "sleeper", LONG)
        client.send("invoke", Invoke(message("sleeper"), 30.0))
        with node.client() as other:
            until(lambda: other.call("stats")["core"]["in_flight"])
            other.send("agent.stop", Stop("sleeper", 20.0))
            until(lambda: records(audit_of(node))[-1].action == "agent.stop")
            node.kill_router()
        node.start_router(ready=False)
        until(node.connected).close()
        stops = [record for record in records(audit_of(node)) if record.action == "agent.stop"]
        assert [record.phase for record in stops] == [Phase.BEGUN]
        assert records(audit_of(node))[-1].action == "node.start"  # and no node.stop: it was killed


def test_a_cut_tail_is_confessed_at_the_next_start() -> None:
    with RouterNode() as node:
        with node.client() as client:
            refusal(client, "agent.start", Named("gone"))
        node.kill_router()
        rewrite(files(audit_of(node))[-1], lambda lines: lines[:-1])
        node.start_router()
        assert "audit.truncated" in [record.action for record in records(audit_of(node))]
        with node.client() as client:
            assert client.call("stats")["audit"]["intact"] is False
        assert "critical" in node.log
        assert verify(audit_of(node), parse_heads(node.log)[:1]).anchors == 1


# ---- the disk --------------------------------------------------------------------------------------


@pytest.fixture
def full_disk() -> Iterator[tuple[RouterNode, Path]]:
    """A node whose audit has a small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    node = RouterNode()
    audit_of(node).mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=200k,mode=700", "small", str(audit_of(node))]
    if subprocess.run(command, capture_output=True).returncode != 0:
        node.close()
        pytest.skip("mounting is not permitted here")
    try:
        with node:
            yield node, audit_of(node) / "filler"
            subprocess.run(["umount", "--lazy", str(audit_of(node))], check=True)
    except BaseException:
        subprocess.run(["umount", "--lazy", str(audit_of(node))], check=False)
        raise


def fill(filler: Path) -> None:
    """Takes what is left of the disk."""
    with filler.open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_on_a_full_disk_nothing_unrecorded_is_done_and_messages_go_on(full_disk: tuple[RouterNode, Path]) -> None:
    node, filler = full_disk
    with node.client() as client:
        deploy(client, "echo", ECHO)
        fill(filler)
        while (refused := _start_nobody(client)) is not Code.STORAGE_FULL:
            assert refused is Code.AGENT_NOT_FOUND  # what was left of the last page
        assert refusal(client, "agent.remove", Remove("echo")).code is Code.STORAGE_FULL
        assert client.call("agent.get", Named("echo"))["status"] == "running"
        submit(client, "echo", 5)
        invoke(client, "echo")
        assert client.call("stats")["meters"]["audit"]["write_errors"] > 0
        node.stop_router(signal.SIGTERM)
        node.start_router()  # also without a record of it
    with node.client() as client:
        invoke(client, "echo")
        filler.unlink()
        client.call("agent.remove", Remove("echo"))
        assert not verify(audit_of(node)).faults
        told = [record.action for record in records(audit_of(node))]
        assert told[-3:] == ["node.start", "agent.remove", "agent.remove"]  # what was owed comes first


def _start_nobody(client: RouterClient) -> Code:
    return refusal(client, "agent.start", Named("nobody")).code


# ---- settings --------------------------------------------------------------------------------------


def test_retention_is_applied_and_reloaded() -> None:
    """A file of long ago goes at the next start; which keys a reload changed is in a record, by name."""
    with RouterNode(security={"auth_enabled": False, "audit_retention_days": 30}) as node:
        node.stop_router()
        directory = audit_of(node)
        old = _of_long_ago(directory)
        node.start_router()
        until(lambda: not old.exists())
        assert records(directory)[-1].action == "audit.pruned"
        assert not verify(directory).faults
        text = node.config.read_text().replace("audit_retention_days = 30", "audit_retention_days = 31")
        node.config.write_text(text)
        assert node.router is not None
        node.router.send_signal(signal.SIGHUP)
        until(lambda: records(directory)[-1].action == "config.reload")
        assert records(directory)[-1].details["applied"] == ["security.audit_retention_days"]
        node.config.write_text("nonsense")
        node.router.send_signal(signal.SIGHUP)
        until(lambda: records(directory)[-1].outcome == "CONFIG_INVALID")


def _of_long_ago(directory: Path) -> Path:
    """The audit as if all of it were from 2020: written by the real writer with another clock."""
    shutil.rmtree(directory)
    log = Log(directory, "node", clock=lambda: 1_600_000_000.0)
    log.append([draft(1)])
    log.close()
    return files(directory)[0]
