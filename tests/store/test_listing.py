"""Lists by receiver and by conversation: extended in bulk, complete on every page all the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from store.world import accept, commit, message, settle, sweep

from caxton.protocol.messages import Message
from caxton.store import Changes, Retention, Store
from caxton.store.listing import ROWS_BEHIND

PAGE = 1_000


def fill(store: Store, count: int, *, conversation_id: str = "talk") -> list[Message]:
    """Messages by turns to two receivers, in one conversation."""
    made = [message(receiver=f"agent-{n % 2}", conversation_id=conversation_id) for n in range(count)]
    for start in range(0, count, PAGE):
        commit(store, Changes(accept=[accept(one) for one in made[start : start + PAGE]]))
    return made


def listed(store: Store, **which: str) -> list[str]:
    found, cursor = [], None
    while True:
        page = store.reader.messages(limit=PAGE, cursor=cursor, **which)  # type: ignore[arg-type]
        found += [row.message.message_id for row in page.rows]
        if (cursor := page.next_cursor) is None:
            return found[::-1]


def entries(database: Path) -> tuple[int, int]:
    connection = sqlite3.connect(database)
    try:
        return tuple(  # type: ignore[return-value]
            connection.execute(f"SELECT count(*) FROM message_of_{kind}").fetchone()[0]
            for kind in ("receiver", "conversation")
        )
    finally:
        connection.close()


def test_pages_go_on_from_the_rows_behind_the_mark_into_the_list(store: Store, database: Path) -> None:
    made = fill(store, ROWS_BEHIND + 2 * PAGE)
    assert 0 < entries(database)[0] < len(made)
    assert listed(store, conversation_id="talk") == [one.message_id for one in made]
    assert listed(store, agent="agent-1") == [one.message_id for one in made[1::2]]
    assert listed(store, agent="agent-0", conversation_id="talk") == [one.message_id for one in made[0::2]]
    assert listed(store, agent="agent-0", state="done") == []


def test_what_is_forgotten_leaves_the_lists(store: Store, database: Path) -> None:
    made = fill(store, 3 * PAGE)
    commit(store, Changes(settle=[settle(one, "dead", at=1.0) for one in made[:PAGE]]))
    commit(store, Changes(forget=[one.message_id for one in made[: PAGE // 2]]))
    assert entries(database) == (len(made) - PAGE // 2,) * 2
    sweep(store, Retention(retention=10.0, dedup_window=10.0), now=2_000.0)
    assert entries(database) == (len(made) - PAGE,) * 2
    assert listed(store, conversation_id="talk") == [one.message_id for one in made[PAGE:]]


def test_no_number_in_the_lists_is_given_again(database: Path) -> None:
    store = Store.open(database)
    made = fill(store, 3 * PAGE)
    commit(store, Changes(settle=[settle(one, "dead") for one in made]))
    commit(store, Changes(forget=[one.message_id for one in made]))
    store.close()
    store = Store.open(database)
    again = fill(store, 10, conversation_id="later")
    assert listed(store, conversation_id="later") == [one.message_id for one in again]
    assert listed(store, agent="agent-1") == [one.message_id for one in again[1::2]]
    store.close()
