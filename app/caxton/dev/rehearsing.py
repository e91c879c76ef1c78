"""An update before it is made: recorded executions, run as the agent was and as it would be.

Owns that both are run under the same conditions, so that what differs is the update's doing. Must never touch a node.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.dev.desk import Desk
from caxton.dev.replays import Replayed, compared, run, sha256_of
from caxton.protocol.agents import Grants, Instance, Limits, Profile, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec
from caxton.protocol.recordings import Recording
from caxton.protocol.snapshots import STATE

_AS_GIVEN: Final = ("input", "output", "args", "env", "config")
_KINDS: Final = {"profile": Profile, "shape": Shape, "instance": Instance}


async def rehearsed(
    at: Desk, execution: str, recording: Recording, old: bytes | None, new: bytes | None, change: dict[str, Any]
) -> Replayed:
    """Both sides of one execution. `old`: the module that ran it, if it is still there; `new`: None for the same.

    Where both modules are the same, they go on from the recorded memory; else both begin with a fresh one, for no
    other module could go on from it. Without `old` there is one side only, and the recording is the other.
    `CONFLICT` when the old module, begun afresh, cannot be run again.
    """
    module = new or old
    if module is None:
        raise CaxtonError(Code.NOT_FOUND, f"the module that ran {execution} is no longer there", execution=execution)
    own = sha256_of(module) == recording.spec.module_sha256
    with_memory = own and recording.lacks is None
    before = recording
    remarks: list[str] = []
    if old is not None:
        before, remarks = await run(at, recording, old, recording.spec, with_memory=with_memory)
        if before.unanswered:  # neither side would get to what it does: they would seem to be the same
            what = f"{execution}: begun with a fresh memory, its own module asks for what was not recorded"
            raise CaxtonError(Code.CONFLICT, what, execution=execution)
    elif recording.before is not None or recording.lacks:
        remarks = ["its old module is gone, and the new one begins with a fresh memory: that alone may differ"]
    after, _ = await run(at, recording, module, changed(recording.spec, change), with_memory=with_memory)
    return msgspec.structs.replace(compared(execution, before, after, inside=False), remarks=remarks)


def changed(spec: AgentSpec, change: dict[str, Any]) -> AgentSpec:
    """The agent as the fields in `change`, of its configuration, would make it; `INVALID_REQUEST` for wrong ones."""
    fields: dict[str, Any] = {name: change[name] for name in _AS_GIVEN if name in change}
    try:
        for name, kind in _KINDS.items():
            if change.get(name) is not None:
                fields[name] = kind(change[name])
        if "state" in change:
            fields["snapshot"] = change["state"] == STATE
        if "grants" in change:
            fields |= msgspec.structs.asdict(msgspec.convert(change["grants"], Grants)) | {"dirs": []}
        if "limits" in change:
            asked = msgspec.structs.asdict(msgspec.convert(change["limits"], Limits))
            given = {name: value for name, value in asked.items() if value is not None}
            fields["limits"] = msgspec.structs.replace(spec.limits, **given)
        return msgspec.convert(msgspec.structs.asdict(msgspec.structs.replace(spec, **fields)), AgentSpec)
    except (msgspec.ValidationError, ValueError) as problem:
        raise CaxtonError(Code.INVALID_REQUEST, f"the configuration: {problem}", path="config") from None
