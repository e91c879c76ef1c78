"""What an update may change is what a deployment may say."""

from __future__ import annotations

import msgspec

from caxton.protocol.agents import AgentConfig, Limits
from caxton.protocol.versions import ConfigChange


def test_every_field_of_a_configuration_but_its_name_can_be_changed() -> None:
    assert {*ConfigChange.__struct_fields__, "name"} == set(AgentConfig.__struct_fields__)


def test_what_is_left_out_is_taken_over() -> None:
    before = AgentConfig("one", args=["a"], max_concurrency=4, limits=Limits(fuel=7))
    after = msgspec.json.decode(b'{"args": [], "max_concurrency": null}', type=ConfigChange).applied_to(before)
    assert (after.args, after.max_concurrency, after.limits.fuel) == ([], None, 7)
    assert ConfigChange().applied_to(before) == before
