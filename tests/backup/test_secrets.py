"""Agents' secrets in backups: ciphertext goes in, and a restore says which key it needs."""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path
from typing import Any

from caxton.backup import back_up_state, restore
from caxton.config import Security
from caxton.protocol.secrets import key_id_of, key_of
from caxton.router.secrets.keyring import Keyring
from caxton.store import Changes, SecretRow
from support.backup_world import World, commit, make_world

VALUE = b"in no backup 7731"


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def node(root: Path, **security: Any) -> World:
    return make_world(root, security={"auth_enabled": True, **security})


def test_the_backup_has_the_ciphertext_and_the_restore_names_the_key(tmp_path: Path) -> None:
    ours = key()
    world = node(tmp_path / "one", secrets_key=ours)
    store = world.open()
    row = SecretRow("smtp", *Keyring(Security(secrets_key=ours)).seal("smtp", VALUE), 1.0, 1.0, 1)
    commit(store, Changes(secrets=[row]))
    store.close()
    backup = Path(back_up_state(world.config, world.backups).file)
    inside = gzip.decompress(backup.read_bytes())
    assert row.ciphertext in inside
    assert VALUE not in inside
    assert key_of(ours) not in inside
    assert ours.encode() not in inside
    for other, named in (
        (node(tmp_path / "with", secrets_key=ours), False),
        (node(tmp_path / "rotated", secrets_key=key(), previous_secrets_key=ours), False),
        (node(tmp_path / "another", secrets_key=key()), True),
        (node(tmp_path / "without"), True),
    ):
        notes = restore(other.config, backup).notes
        assert any(key_id_of(key_of(ours)) in note and "1 secret" in note for note in notes) is named
        store = other.open()
        assert store.reader.secrets() == [row]
        store.close()
