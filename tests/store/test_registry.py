"""The registry's rows: written with what they are about, replaced, removed, there after a restart."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from caxton.protocol.namespaces import Quota
from caxton.protocol.peers import Record, Seen
from caxton.store import Changes, CommitResult, NamespaceRow, Store


def commit(store: Store, changes: Changes) -> CommitResult:
    done, results = Event(), []

    def ended(result: CommitResult) -> None:
        results.append(result)
        done.set()

    store.writer.submit(changes, ended)
    assert done.wait(20)
    return results[0]


def test_records_replace_each_other_and_outlive_the_process(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "local.db")
    first = Record("agent", "x", 1 << 60, "n1", b"\x80")
    second = Record("agent", "x", (1 << 60) + 1, "n2", None)
    other = Record("api_key", "x", 7, "n1", b"body")
    commit(store, Changes(registry=[first, other], registry_seen=[Seen("n1", 1 << 60)]))
    commit(store, Changes(registry=[second], registry_seen=[Seen("n1", (1 << 60) + 5, 3), Seen("n2", 9)]))
    store.close()
    store = Store.open(tmp_path / "local.db")
    assert sorted(store.reader.registry(), key=lambda record: record.kind) == [second, other]
    assert sorted(store.reader.registry_seen(), key=lambda row: row.writer) == [
        Seen("n1", (1 << 60) + 5, 3),
        Seen("n2", 9),
    ]
    commit(store, Changes(registry=[first]))  # of a higher epoch, perhaps: memory decides which one stays
    assert first in store.reader.registry()
    commit(store, Changes(registry_removed=[("agent", "x")]))
    assert store.reader.registry() == [other]
    store.close()


def test_a_record_is_written_with_the_rows_that_it_is_about_or_not_at_all(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "local.db")
    record = Record("namespace", "team", 1, "n1", b"")
    broken = Changes(namespaces=[NamespaceRow("team", Quota(agents=1))], registry=[record])
    broken.registry.append(Record("namespace", None, 2, "n1", b""))  # type: ignore[arg-type]  # what SQLite refuses
    assert commit(store, broken).error is not None
    store.close()
    store = Store.open(tmp_path / "local.db")
    assert store.reader.registry() == []
    assert store.reader.namespaces.all() == []
    assert commit(store, Changes(namespaces=[NamespaceRow("team", Quota(agents=1))], registry=[record])).error is None
    assert store.reader.registry() == [record]
    assert len(store.reader.namespaces.all()) == 1
    store.close()
