"""An update before it is made: recorded executions, run as the agent was and as it would be.

Owns that both are run under the same conditions, so that what differs is the update's doing. Must never touch a node.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.config import Config
from caxton.dev.desk import Desk
from caxton.dev.replays import Replayed, compared, run, sha256_of
from caxton.protocol.agents import EffectiveLimits, Grants, Instance, Limits, Profile, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec
from caxton.protocol.recordings import Recording
from caxton.protocol.snapshots import STATE
from caxton.router.admission import effective_limits

_AS_GIVEN: Final = ("input", "output", "args", "env", "config")
_KINDS: Final = {"profile": Profile, "shape": Shape, "instance": Instance}


class Update(msgspec.Struct, frozen=True):
    """`before`: the agent as `GET /agents/{name}` shows it. `wanted`: its whole configuration, as it would be.
    `module`: None where it keeps its own.
    """

    before: dict[str, Any]
    wanted: dict[str, Any]
    module: bytes | None = None


async def rehearsed(at: Desk, execution: str, recording: Recording, old: bytes | None, update: Update) -> Replayed:
    """Both sides of one execution. `old`: the module that ran it, if it is still there.

    Where both modules are the same, they go on from the recorded memory; else both begin with a fresh one, for no
    other module could go on from it. Without `old` there is one side only, and the recording is the other.
    `CONFLICT` when the old module, begun afresh, cannot be run again, and for what ran another module than the agent
    would have.
    """
    if update.module is None and recording.spec.module_sha256 != update.before["module_sha256"]:
        what = f"{execution}: it ran another module than the agent has now"
        raise CaxtonError(Code.CONFLICT, what, execution=execution)
    module = update.module or old
    if module is None:
        raise CaxtonError(Code.NOT_FOUND, f"the module that ran {execution} is no longer there", execution=execution)
    own = sha256_of(module) == recording.spec.module_sha256
    with_memory = own and recording.lacks is None
    before = recording
    remarks: list[str] = []
    if old is not None:
        before, remarks = await run(at, recording, old, recording.spec, with_memory=with_memory)
        _require_repeated(execution, recording, before)
    elif recording.before is not None or recording.lacks:
        remarks = ["its old module is gone, and the new one begins with a fresh memory: that alone may differ"]
    after, _ = await run(at, recording, module, changed(recording.spec, update, at.config), with_memory=with_memory)
    return msgspec.structs.replace(compared(execution, before, after, inside=False), remarks=remarks)


def _require_repeated(execution: str, recording: Recording, before: Recording) -> None:
    """Where the old module does not get to what it did, neither does a new one: they would seem to be the same."""
    what = None
    if before.unanswered:
        what = "begun with a fresh memory, its own module asks for what was not recorded"
    elif before.ended.status == "error" != recording.ended.status:
        what = f"run again, its own module ends with {before.ended.code}, as it did not when it was recorded"
    if what is not None:
        raise CaxtonError(Code.CONFLICT, f"{execution}: {what}", execution=execution)


def changed(spec: AgentSpec, update: Update, node: Config) -> AgentSpec:
    """The agent as `update` would make it; `INVALID_REQUEST` for a wrong configuration. `node`: see `_limits`."""
    wanted = update.wanted
    fields: dict[str, Any] = {name: wanted[name] for name in _AS_GIVEN if name in wanted}
    try:
        for name, kind in _KINDS.items():
            if wanted.get(name) is not None:
                fields[name] = kind(wanted[name])
        if "state" in wanted:
            fields["snapshot"] = wanted["state"] == STATE
        if "grants" in wanted:
            fields |= msgspec.structs.asdict(msgspec.convert(wanted["grants"], Grants)) | {"dirs": []}
        fields["limits"] = _limits(update, node)
        return msgspec.convert(msgspec.structs.asdict(msgspec.structs.replace(spec, **fields)), AgentSpec)
    except (msgspec.ValidationError, ValueError) as problem:
        raise CaxtonError(Code.INVALID_REQUEST, f"the configuration: {problem}", path="config") from None


def _limits(update: Update, node: Config) -> EffectiveLimits:
    """Those in force afterwards: what is asked for, else what the agent has. What it asks for no more is as on
    `node`, for its own node does not tell.
    """
    asked, had = (_given(config.get("limits", {})) for config in (update.wanted, update.before["config"]))
    own = msgspec.structs.asdict(effective_limits(Limits(), Profile.STANDARD, node))
    dropped = {name: own[name] for name in had.keys() - asked.keys()}
    return msgspec.convert({**update.before["limits"], **dropped, **asked}, EffectiveLimits)


def _given(limits: Any) -> dict[str, Any]:
    found = msgspec.structs.asdict(msgspec.convert(limits, Limits))
    return {name: value for name, value in found.items() if value is not None}
