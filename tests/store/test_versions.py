"""Versions and rollouts in the store: what is written, what goes with an agent, and databases from before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from store.world import commit

from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Instance, ModuleInfo, Shape
from caxton.protocol.versions import Canary, Figures, RolloutState, Strategy
from caxton.store import AgentRow, Changes, RolloutRow, Store, VersionRow, db_upgrade, modules_needed, schema

MODULE = ModuleInfo("a" * 64, 10, Shape.REACTOR, [], [], 1, 65536, None, 0.1)
AGENT = AgentRow(
    name="one",
    agent_id="id-one",
    version=4,
    config=AgentConfig("one", config={"depth": 3}),
    module=MODULE,
    limits=EffectiveLimits(),
    shape=Shape.REACTOR,
    instance=Instance.PERSISTENT,
    max_concurrency=1,
    deployed_at=1.0,
    status=AgentStatus.RUNNING,
)
VERSION = msgspec.convert(msgspec.to_builtins(AGENT), VersionRow)


def version(number: int, name: str = "one") -> VersionRow:
    module = msgspec.structs.replace(MODULE, sha256=f"{number:064x}")
    return msgspec.structs.replace(VERSION, name=name, version=number, module=module)


def test_versions_come_back_in_their_order_and_go_with_their_agent(database: Path) -> None:
    store = Store.open(database)
    commit(store, Changes(agents=[AGENT], versions=[version(10), version(9), version(1, "two")]))
    assert [row.version for row in store.reader.versions("one")] == [9, 10]
    changed = msgspec.structs.replace(version(10), returned="it was slow")
    commit(store, Changes(versions=[changed], versions_removed=[("one", 9)]))
    assert store.reader.versions("one") == [changed]
    row = RolloutRow(
        name="one",
        agent_id="id-one",
        strategy=Strategy.CANARY,
        state=RolloutState.RUNNING,
        from_version=9,
        to_version=10,
        started_at=1.0,
        canary=Canary(),
    )
    commit(store, Changes(rollouts=[row]))
    ended = msgspec.structs.replace(row, state=RolloutState.RETURNED, ended_at=2.0, new=Figures(5, 5, 1.0, 0.1, 0.2))
    commit(store, Changes(rollouts=[ended]))
    assert store.reader.rollouts() == [ended]
    commit(store, Changes(agents_removed=["one"]))
    assert (store.reader.versions("one"), store.reader.rollouts()) == ([], [])
    assert len(store.reader.versions("two")) == 1
    store.close()


def test_the_modules_of_kept_versions_are_needed(database: Path) -> None:
    store = Store.open(database)
    commit(store, Changes(agents=[AGENT], versions=[version(1), version(2)]))
    store.close()
    assert modules_needed(database) == {MODULE.sha256, f"{1:064x}", f"{2:064x}"}


def test_what_was_deployed_before_there_were_versions_is_one(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "migrations"
    old.mkdir()
    first = schema.MIGRATIONS / "0001_initial.py"
    (old / first.name).write_text(first.read_text())
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", old)
        before.setattr(schema, "SCHEMA_VERSION", 1)
        db_upgrade(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO agent VALUES ('one', ?, 7, 3)", (msgspec.json.encode(AGENT),))
        connection.commit()
    assert modules_needed(database) == {MODULE.sha256}
    db_upgrade(database)
    store = Store.open(database)
    assert store.reader.versions() == [VERSION]
    store.close()
