"""Invocations that nobody waits for: a job keeps the answer.

Owns the job around `core.invoke`, and going on with it after a restart. Must never run a message a second time.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery
from caxton.protocol.operations import Invoke
from caxton.protocol.views import JobView
from caxton.router.desk import Desk, require_known
from caxton.router.jobs import INVOKE, RUNNING, Job, job_view
from caxton.router.readiness import require_disk

PATIENCE_SECONDS: Final = 86_400.0
"""How long a job waits for a durable message: as long as jobs are kept."""

log = logging.getLogger(__name__)


async def begin(desk: Desk, args: Invoke) -> JobView:
    """Makes the job durable, then sends the message."""
    require_disk(desk)  # the job is a row, even where the message is none
    require_known(desk, args.message.receiver)
    job = await desk.jobs.create(INVOKE, args, args.message.receiver, args.message.sender)
    desk.spawn(_run(desk, job, args))
    return job_view(job.row(RUNNING))


async def resume(desk: Desk, job: Job) -> None:
    """After a restart: a known outcome is the answer, a durable message goes on, an ephemeral one is lost."""
    args = msgspec.convert(job.order, Invoke)
    message_id = args.message.message_id
    known = await desk.read(desk.store.reader.known, [message_id])
    if message_id in known or args.delivery is Delivery.DURABLE:
        desk.spawn(_run(desk, job, msgspec.structs.replace(args, idempotent=True)))
        return
    lost = CaxtonError(
        Code.NOT_READY,
        "the node restarted before this ephemeral message was done; nothing of it took effect, send it again",
        message_id=message_id,
    )
    await desk.jobs.fail(job, lost)


async def _run(desk: Desk, job: Job, args: Invoke) -> None:
    durable = args.delivery is Delivery.DURABLE
    patience = PATIENCE_SECONDS if durable else args.timeout_seconds
    try:
        order = msgspec.structs.replace(args, as_job=False, timeout_seconds=patience)
        reply = await desk.core.invoke(order, patient=durable)
        await desk.jobs.finish(job, reply)
    except CaxtonError as error:
        await desk.jobs.fail(job, error)
    except Exception:
        trace_id = new_id().replace("-", "")
        log.exception("job %s failed unexpectedly; trace id %s", job.job_id, trace_id)
        await desk.jobs.fail(job, CaxtonError(Code.INTERNAL_ERROR, "the node failed to do this", trace_id=trace_id))
