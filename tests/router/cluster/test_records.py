"""Which changes of a node make a record, and which do not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from caxton.cluster.registry import Clock, Registry
from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Instance, ModuleInfo, Shape
from caxton.protocol.namespaces import Quota
from caxton.protocol.peers import Record
from caxton.router.cluster import agent_records, bodies
from caxton.router.cluster.records import Records
from caxton.store import (
    AgentRow,
    ApiKeyRow,
    CapabilityRow,
    Changes,
    LogRow,
    NamespaceRow,
    ProviderRow,
    RevokedTokenRow,
    SecretRow,
)

KEY = ApiKeyRow("k1", "alice", b"s" * 16, b"d" * 32, 1.0)


def row(name: str = "cat", **fields: Any) -> AgentRow:
    config = msgspec.convert({"name": name, **fields.pop("config", {})}, AgentConfig)
    made = AgentRow(
        name=name,
        agent_id="id-1",
        version=1,
        config=config,
        module=ModuleInfo("a" * 64, 1, Shape.COMMAND, [], [], 1, 0, None, 0.0),
        limits=EffectiveLimits(),
        shape=Shape.COMMAND,
        instance=Instance.PER_MESSAGE,
        max_concurrency=4,
        deployed_at=1.0,
        status=AgentStatus.RUNNING,
        retry=config.retry,
        schedules=config.schedules,
    )
    return msgspec.structs.replace(made, **fields)


def make(*rows: AgentRow, node: str = "n1") -> Records:
    return Records(Registry(node, Clock()), rows)


def noted(records: Records, **changes: Any) -> list[Record]:
    made = Changes(**changes)
    records.note(made)
    return list(made.registry)


def test_a_deployment_a_stop_and_a_removal_are_recorded() -> None:
    records = make()
    (deployed,) = noted(records, agents=[row()])
    assert (deployed.kind, deployed.name, deployed.writer) == ("agent", "cat", "n1")
    found = records.agent("cat")
    assert found is not None
    assert (found.status, found.version, found.home, found.replicas) == ("running", 1, None, 1)
    assert agent_records.config_of(found) == row().config
    noted(records, agents=[row(status=AgentStatus.DRAINING)])
    assert records.agent("cat") is not None
    assert records.agent("cat").status == "stopped"  # type: ignore[union-attr]  # seen in the line before
    assert records.modules() == {"a" * 64}
    (gone,) = noted(records, agents_removed=["cat"])
    assert gone.body is None
    assert records.is_removed("cat")
    assert records.agent("cat") is None
    assert records.modules() == set()


@pytest.mark.parametrize(
    "same",
    [
        {"incarnation": 7},
        {"isolated": True},
        {"status": AgentStatus.QUARANTINED},
        {"status": AgentStatus.FAILED, "status_reason": "it did"},
        {"limits": EffectiveLimits(memory_bytes=1)},
    ],
)
def test_what_only_this_node_makes_of_an_agent_is_no_record(same: dict[str, Any]) -> None:
    records = make()
    noted(records, agents=[row()])
    assert noted(records, agents=[row(**same)]) == []


def test_of_what_a_node_mirrors_it_makes_no_record_and_later_rows_are_its_own() -> None:
    records = make()
    noted(records, agents=[row()])
    with records.mirroring("cat"):
        assert noted(records, agents=[row(version=2)]) == []
        assert noted(records, agents=[row("dog")]) != []
    assert noted(records, agents=[row(version=2, incarnation=3)]) == []
    assert len(noted(records, agents=[row(version=3)])) == 1
    with records.mirroring("cat"):
        assert noted(records, agents_removed=["cat"]) == []


def test_a_node_that_is_behind_does_not_say_again_what_was() -> None:
    """Its row of an older version is written for a reason of its own: the newer record stays."""
    records = make(row())
    newer = agent_records.encode(agent_records.record_of(row(version=2), "n2", None))
    records.took(records.registry.merge([Record("agent", "cat", 1 << 40, "n2", newer)]))
    assert noted(records, agents=[row(isolated=True)]) == []
    assert records.agent("cat").version == 2  # type: ignore[union-attr]  # it was taken


def test_changes_that_came_from_the_registry_make_no_records() -> None:
    assert noted(make(), registry=[], api_keys=[KEY], namespaces=[NamespaceRow("team", Quota(agents=1))]) == []


def test_rows_that_came_with_their_record_are_no_decision_later_either() -> None:
    records = make()
    said = records.unpublished({"agents": [row(version=2)]})
    assert noted(records, registry=said, agents=[row(version=2)]) == said
    assert noted(records, agents=[row(version=2, isolated=True)]) == []


def test_a_failed_deployment_of_a_name_that_is_elsewhere_removes_nothing() -> None:
    records = make()
    body = agent_records.encode(agent_records.record_of(row(), "n2", None))
    records.took(records.registry.merge([Record("agent", "cat", 1 << 40, "n2", body)]))
    assert noted(records, agents_removed=["cat"]) == []
    assert records.agent("cat") is not None


def test_an_agent_that_gets_durable_state_gets_a_home_and_keeps_it() -> None:
    records = make()
    noted(records, agents=[row()])
    noted(records, agents=[row(version=2, config={"schedules": [{"name": "daily", "cron": "0 3 * * *"}]})])
    assert records.agent("cat").home == "n1"  # type: ignore[union-attr]  # it was noted
    epoch = records.agent("cat").epoch  # type: ignore[union-attr]  # it was noted
    moved = records.rehome("cat", "n2", epoch + 1)
    assert moved.hlc == records.registry.vector()["n1"]
    noted(records, agents=[row(version=3, config={"schedules": [{"name": "weekly", "cron": "0 3 * * 1"}]})])
    found = records.agent("cat")
    assert found is not None
    assert (found.home, found.epoch, found.version) == ("n2", epoch + 1, 3)


def test_the_epoch_of_a_deployment_stays_through_its_updates_and_its_successor_has_a_later_one() -> None:
    records, epochs = make(), []
    for agent in (row(), row(version=2), row(agent_id="id-2"), row(agent_id="id-2", status=AgentStatus.STOPPED)):
        noted(records, agents=[agent])
        epochs.append(records.agent("cat").epoch)  # type: ignore[union-attr]  # it was noted
    assert epochs[0] == epochs[1] <= epochs[2] == epochs[3]
    assert epochs[0] > 1_000_000_000_000, "a moment"
    records.rehome("cat", "n2", epochs[3] + 1_000)
    noted(records, agents_removed=["cat"])
    assert records.epoch("cat") >= epochs[3] + 1_000, "a hand-over that comes too late finds the agent's end"
    assert records.epoch("dog") == 0


def test_what_a_guest_says_of_itself_may_be_larger_than_a_body_can_hold() -> None:
    records = make()
    noted(records, agents=[row(descriptor={"size": 2**70})])
    assert records.agent("cat").descriptor is None  # type: ignore[union-attr]  # it was noted


def test_rows_go_through_bodies_and_back() -> None:
    records = make()
    secret = SecretRow("s", "key-1", b"n", b"c", 1.0, 2.0, 3)
    given: dict[str, Any] = {
        "api_keys": [KEY],
        "revoked_tokens": [RevokedTokenRow("jti", 1.0, 2.0)],
        "namespaces": [NamespaceRow("team", Quota(agents=3))],
        "secrets": [secret],
        "capabilities": [CapabilityRow("reading", "priority", [ProviderRow("cat", 7)])],
        "subscriptions": [("team/news", "team/cat", 5.0)],
    }
    made = noted(records, **given)
    back = Changes()
    for record in made:
        bodies.add_row(back, record, records.registry.get)
    assert {name: getattr(back, name) for name in given} == given
    assert noted(records, **given) == []
    assert noted(records, logs=[LogRow("cat", 1.0, "stdout", "x")]) == []
    gone = noted(
        records,
        namespaces=[NamespaceRow("team")],
        secrets_removed=["s"],
        capabilities=[CapabilityRow("reading")],
        subscriptions=[("team/news", "team/cat", None)],
    )
    assert [record.body for record in gone] == [None] * 4


def test_a_key_that_was_revoked_stays_so_whatever_is_said_of_it_later() -> None:
    records = make()
    noted(records, api_keys=[KEY])
    noted(records, api_keys=[msgspec.structs.replace(KEY, revoked_at=9.0)])
    other = make(node="n2")
    noted(other, api_keys=[msgspec.structs.replace(KEY, expires_at=60.0)])
    later = [msgspec.structs.replace(one, hlc=one.hlc + 1_000) for one in other.registry.records()]
    records.took(records.registry.merge(later))
    assert bodies.api_key("k1", records.registry.get) == msgspec.structs.replace(KEY, expires_at=60.0, revoked_at=9.0)


def test_tokens_that_ended_long_ago_are_forgotten_for_all() -> None:
    records = make()
    noted(records, revoked_tokens=[RevokedTokenRow("old", 1.0, 10.0), RevokedTokenRow("for good", 1.0)])
    assert records.ended_tokens(5.0) == []
    assert records.ended_tokens(11.0) == ["old"]
    assert [record.body for record in records.forget(bodies.REVOKED_TOKEN, ["old"])] == [None]
    assert records.ended_tokens(11.0) == []


def test_what_was_there_before_the_cluster_is_said_once() -> None:
    records = make(row())
    used: dict[str, Any] = {"agents": [row()], "api_keys": [KEY]}
    assert {record.kind for record in records.unpublished(used)} == {"agent", "api_key"}
    assert records.unpublished(used) == []
    noted(records, agents_removed=["cat"])
    assert records.unpublished(used) == []
