"""A process that writes until it is killed, and says on stdout which ids were acknowledged."""

from __future__ import annotations

import os
import random
import resource
import sys
from pathlib import Path

from store.world import accept, message, settle

from caxton.protocol.ids import derived_id
from caxton.store import Changes, CommitResult, Retention, Store

ENDS = ("done", "done", "done", "dead", "expired", "cancelled")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # one write a line: a kill cannot cut it


def one_at(old: bool) -> float:
    return 500.0 if old else 1_000.0


def main(database: Path, seed: int, file_limit: int) -> None:
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    chance = random.Random(seed)
    store = Store.open(database)
    for number in range(1_000_000):
        one = message(
            derived_id(f"crash-{seed}", number), f"agent-{number % 7}", content=b"x" * chance.randrange(2_000)
        )
        state = chance.choice(ENDS)
        together = chance.random() < 0.3
        old = number % 10 == 0  # swept away sooner or later, so never said to be there
        at = one_at(old)
        first = Changes(accept=[accept(one, at)], settle=[settle(one, state, at)] if together else [])
        first.keys.append((one.receiver, "last", one.message_id.encode()))

        def accepted(result: CommitResult, one=one, state=state, together=together, old=old) -> None:
            if result.error is not None:
                say("error", getattr(result.error, "code", result.error))
                return
            if not old:
                say(state if together else "pending", one.message_id)
            if not together:
                ended = Changes(settle=[settle(one, state, one_at(old))])
                store.writer.submit(ended, lambda result: result.error or old or say(state, one.message_id))

        store.writer.submit(first, accepted)
        if number % 500 == 499:
            store.writer.sweep(Retention(retention=0, dedup_window=0, slice_rows=20), 900.0, lambda swept: None)
        if store.writer.failed is not None:
            store.close()
            say("closed")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
