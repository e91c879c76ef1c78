"""Topics: list, show, subscribe an agent, end that.

Owns what is shown of them. Must never publish.
"""

from __future__ import annotations

from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Listing, Named
from caxton.protocol.talks import Subscribe, SubscriberView, TopicView
from caxton.protocol.views import Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.cluster.known import require_agent
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_last, write_last
from caxton.router.timing.times import rfc3339


async def list_topics(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Topics that somebody subscribed to, by name, and how many that are."""
    limit, after = check_limit(args.limit), read_last(args.cursor) or ""
    topics = desk.core.talking.addressing.topics
    names = [name for name in topics.names() if name > after and reach.topic(name)]
    cursor = write_last(names[limit - 1]) if len(names) > limit else None
    return Page([TopicView(name, len(_subscribers(desk, name, reach))) for name in names[:limit]], cursor)


async def get(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> TopicView:
    """Who subscribed to a topic; any name is a topic that nobody may have subscribed to yet."""
    require_agent_name(args.name, "topic")
    found = _subscribers(desk, args.name, reach)
    return TopicView(
        args.name, len(found), [SubscriberView(agent, rfc3339(at)) for agent, at in sorted(found.items())]
    )


async def subscribe(desk: Desk, args: Subscribe, reach: Reach = EVERYTHING) -> TopicView:
    """Subscribes a deployed agent, or ends that; durable when answered. Doing either twice is no error."""
    require_agent_name(args.topic, "topic")
    require_agent_name(args.agent, "agent")
    if not reach.topic(args.topic):
        reach.forbid(f"the topic {args.topic!r}", path="topic")
    reach.require_agent(args.agent)
    topics = desk.core.talking.addressing.topics
    if args.on:
        require_agent(desk, args.agent)
        topics.require_room(args.agent, [args.topic])
        topics.subscribe(args.topic, args.agent)
    else:
        topics.unsubscribe(args.topic, args.agent)
    await desk.core.write_counts()
    return await get(desk, Named(args.topic), reach)


def _subscribers(desk: Desk, topic: str, reach: Reach) -> dict[str, float]:
    """Those in reach; of a topic out of reach nobody."""
    found = desk.core.talking.addressing.topics.subscribers(topic) if reach.topic(topic) else {}
    return {agent: since for agent, since in found.items() if reach.agent(agent)}
