"""Membership by real serf agents: found, lost, found again, with or without seeds, after everything went dark."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton import __version__
from caxton.cluster.gossip import Standing, members
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.peers import LINK_VERSION, NodeState
from support.node import until
from support.serf_agents import SERF, Agent, Watched, random_key

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")
SECONDS = 45.0
NAMES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    home, key = tmp_path_factory.mktemp("gossip"), random_key()
    alpha = Agent(home, "alpha", key)
    agents = (alpha, Agent(home, "beta", key, alpha), Agent(home, "gamma", key, alpha))
    alpha.values["coordination.seeds"] = tuple(agent.address for agent in agents)  # itself among them
    watched = Watched(*(agent.start() for agent in agents))
    yield watched
    watched.close()


@pytest.fixture(autouse=True)
def whole(three: Watched) -> None:
    """Each test begins with three members that know each other."""
    until(three.all_alive, SECONDS, "three members, seen by each of them")


def test_each_member_is_described_by_its_tags(three: Watched) -> None:
    for gossip in three.gossip.values():
        assert gossip.joined
        for name in NAMES:
            found = gossip.members()[name]
            assert found.api_address == three.agents[name].config.networking.bind_address
            assert (found.node_id, found.alive) == (name, True)
            assert (found.link_version, found.software) == (LINK_VERSION, __version__)


def test_what_a_node_says_of_itself_is_seen_elsewhere(three: Watched) -> None:
    changes: list[object] = []
    three.call(lambda: three.gossip["gamma"].watch(lambda: changes.append(three.gossip["gamma"].members())))
    three.call(lambda: three.gossip["beta"].set_tags(state=NodeState.DRAINING, digest="d1"))

    def seen(name: str) -> tuple[NodeState, str]:
        found = three.gossip[name].members()["beta"]
        return found.state, found.digest

    until(lambda: {seen(name) for name in NAMES} == {(NodeState.DRAINING, "d1")}, SECONDS, "all see beta's tags")
    until(lambda: changes and changes[-1] is three.gossip["gamma"].members(), SECONDS, "who watches was called")
    three.call(lambda: three.gossip["beta"].set_tags(state=NodeState.ACTIVE))
    until(lambda: {seen(name) for name in NAMES} == {(NodeState.ACTIVE, "d1")}, SECONDS, "the digest stays")


def test_a_killed_agent_fails_and_comes_back_without_seeds_as_it_was(three: Watched) -> None:
    gamma = three.agents["gamma"]
    three.call(lambda: three.gossip["gamma"].set_tags(digest="before"))
    until(lambda: three.gossip["alpha"].members()["gamma"].digest == "before", SECONDS, "alpha has seen the digest")
    three.end("gamma")
    until(lambda: three.standing("gamma") == {"failed"}, SECONDS, "gamma is called failed")
    assert three.gossip["gamma"].members()["alpha"].alive, "what was known last"
    gamma.values["coordination.seeds"] = ()  # only its snapshot tells it where the others are
    gamma.start()
    until(three.all_alive, SECONDS, "gamma is back")
    assert three.gossip["alpha"].members()["gamma"].digest == "before"


def test_a_stop_is_no_goodbye(three: Watched) -> None:
    """Who comes back in a moment is not to be taken for gone."""
    for name, number in (("beta", signal.SIGTERM), ("gamma", signal.SIGINT)):
        three.end(name, number)
        assert "Shutdown without a Leave" in three.agents[name].log
        three.agents[name].start()


def test_all_at_once_and_again_from_snapshots(three: Watched) -> None:
    for agent in three.agents.values():
        agent.values["coordination.seeds"] = ()
        agent.end()
    until(lambda: not any(one.joined for one in three.gossip.values()), SECONDS, "nobody is in a cluster")
    for agent in three.agents.values():
        agent.start()
    until(three.all_alive, SECONDS, "three members again")
    until(lambda: all(one.joined for one in three.gossip.values()), SECONDS, "all are in the cluster")


def test_what_a_power_cut_left_of_serfs_files_keeps_nobody_out(three: Watched) -> None:
    beta = three.agents["beta"]
    three.end("beta")
    for name in ("tags.json", "keyring.json"):
        (beta.config.paths.gossip / name).write_text("")
    beta.start()
    until(three.all_alive, SECONDS, "beta is back")


def test_who_leaves_is_called_left(three: Watched) -> None:
    three.do(three.gossip["beta"].leave())
    beta = three.agents["beta"]
    assert beta.process is not None
    beta.process.wait(20)
    beta.process = None
    until(lambda: three.standing("beta") == {"left"}, SECONDS, "beta has left")
    beta.start()
    until(three.all_alive, SECONDS, "beta is back, though it had left")


def test_all_leave_at_once_and_meet_again_by_their_seeds(three: Watched) -> None:
    """Who leaves takes those out of its snapshot that have left before it."""

    async def leave() -> None:
        await asyncio.gather(*(one.leave() for one in three.gossip.values()), return_exceptions=True)

    three.do(leave())
    seeds = tuple(agent.address for agent in three.agents.values())
    for agent in three.agents.values():
        assert agent.process is not None
        agent.process.wait(20)
        agent.process = None
        agent.values["coordination.seeds"] = seeds
    for agent in three.agents.values():
        agent.start()
    until(three.all_alive, SECONDS, "three members again")


def test_who_is_sent_away_is_called_left(three: Watched) -> None:
    three.end("gamma")
    until(lambda: three.standing("gamma") == {"failed"}, SECONDS, "gamma is called failed")
    three.do(three.gossip["alpha"].force_leave("gamma"))
    until(lambda: three.standing("gamma") == {"left"}, SECONDS, "gamma is gone")
    three.agents["gamma"].start()
    until(three.all_alive, SECONDS, "gamma is back")


def test_a_lone_node_knocks_at_its_seeds_until_they_answer(three: Watched, tmp_path: Path) -> None:
    """serf's own joining ends with its first success; a node that found nobody else must not stay alone."""
    key = random_key()
    late = Agent(tmp_path, "late", key)
    early = Agent(tmp_path, "early", key, late)
    early.values["coordination.seeds"] = (early.address, late.address)
    watched = Watched(early, late)
    try:
        early.start()
        until(lambda: watched.standing("early") == {"alive"}, SECONDS, "early is alone")
        assert not watched.gossip["early"].joined
        late.start()
        until(watched.all_alive, SECONDS, "the two have met")
    finally:
        watched.close()


def test_another_key_is_no_member(three: Watched, tmp_path: Path) -> None:
    stranger = Agent(tmp_path, "stranger", random_key(), three.agents["alpha"])
    watched = Watched(stranger)
    try:
        stranger.start()
        until(lambda: "error joining" in stranger.log, SECONDS, "alpha does not let it in")
        assert watched.standing("alpha") == {""}
        assert three.standing("stranger") == {""}
    finally:
        watched.close()


def test_the_longest_values_fit(three: Watched) -> None:
    longest = members.Tags(
        api_address="h" * (members.MAX_ADDRESS - 6) + ":65535",
        link_version=2**31,
        software="9" * 100,
        state=max(NodeState, key=len),
        digest="d" * members.MAX_DIGEST,
    )
    gossip = three.gossip["alpha"]

    async def say() -> None:
        async with gossip._connect() as client:
            await client.set_tags(longest.as_tags())
            with pytest.raises(CaxtonError):  # serf's own limit is near
                await client.set_tags(longest.as_tags() | {"more": "x" * 100})

    three.do(say())
    until(lambda: three.gossip["beta"].members()["alpha"].digest == longest.digest, SECONDS, "beta has them")
    with pytest.raises(ValueError, match="digest"):
        gossip.set_tags(digest="d" * (members.MAX_DIGEST + 1))
    three.call(lambda: gossip.set_tags(digest="short"))
    until(lambda: three.gossip["beta"].members()["alpha"].digest == "short", SECONDS, "alpha is itself again")


def test_what_is_no_node_of_ours_is_no_member() -> None:
    assert members.member("other", "alive", {"role": "web"}) is None
    newer = members.member("newer", "alive", {"api": "h:1", "state": "hibernating", "link": "x", "colour": "red"})
    assert newer is not None
    assert (newer.state, newer.link_version, newer.standing) == (NodeState.DRAINING, 0, Standing.ALIVE)


def test_a_wrong_token_is_called_so(three: Watched) -> None:
    alpha = three.agents["alpha"]
    file = alpha.config.paths.run / "serf.token"
    good = file.read_text()
    file.write_text("not-the-token-of-this-agent")
    try:
        with pytest.raises(CaxtonError) as caught:
            three.do(three.gossip["alpha"].force_leave("nobody"))
        assert caught.value.code is Code.UNAUTHORIZED
    finally:
        file.write_text(good)


def test_no_secret_of_gossip_is_anybody_elses_to_read(three: Watched) -> None:
    for agent in three.agents.values():
        paths = agent.config.paths
        assert str(agent.values["coordination.encrypt_key"]) not in (paths.run / "serf.json").read_text()
        for file in (paths.run / "serf.json", paths.run / "serf.token", paths.gossip / "keyring.json"):
            assert file.stat().st_mode & 0o077 == 0, file
