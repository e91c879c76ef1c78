from __future__ import annotations

import uuid

from caxton.protocol.ids import is_uuid, new_id


def test_a_fresh_id_is_a_random_uuid_of_version_4() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    for text in made:
        assert is_uuid(text)
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)
