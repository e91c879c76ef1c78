"""Under which addresses the others find a node, and what serf is told of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caxton.cluster.gossip import addresses, rendering
from caxton.cluster.gossip.cutter import Cutter
from caxton.config import Config
from caxton.config.sections import build
from support.serf_agents import Agent, random_key


def config(**values: object) -> Config:
    sections = {"bind_address": "networking", "log_level": "observability"}
    return build({f"{sections.get(name, 'coordination')}.{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("values", "gossip", "api"),
    [
        ({"bind_addr": "127.0.0.9:7000"}, "127.0.0.9:7000", "127.0.0.9:8080"),
        ({"bind_addr": "[::1]:7000"}, "[::1]:7000", "[::1]:8080"),
        ({"advertise_addr": "10.1.2.3"}, "10.1.2.3:7946", "10.1.2.3:8080"),
        ({"advertise_addr": "10.1.2.3:7000"}, "10.1.2.3:7000", "10.1.2.3:8080"),
        ({"advertise_addr": "fd00::7"}, "[fd00::7]:7946", "[fd00::7]:8080"),
        ({"advertise_addr": "10.1.2.3", "bind_address": "10.9.9.9:443"}, "10.1.2.3:7946", "10.9.9.9:443"),
        ({"advertise_addr": "10.1.2.3", "bind_address": "[::]:443"}, "10.1.2.3:7946", "10.1.2.3:443"),
        # a wildcard and nothing said: the address from which the seeds are reached
        ({"seeds": ("127.0.0.1:7946",)}, "127.0.0.1:7946", "127.0.0.1:8080"),
        ({"seeds": ("nobody.invalid:7946", "[::1]:7946")}, "[::1]:7946", "[::1]:8080"),
    ],
)
def test_the_address_that_others_are_told(values: dict[str, object], gossip: str, api: str) -> None:
    own = config(**values)
    assert (addresses.gossip_address(own), addresses.api_address(own)) == (gossip, api)


def test_a_node_is_none_of_its_own_seeds() -> None:
    seeds = ("127.0.0.1:7946", "127.0.0.2:7946", "127.0.0.1:7947", "nobody.invalid:7946")
    assert addresses.other_seeds(config(bind_addr="127.0.0.1:7946", seeds=seeds)) == list(seeds[1:])
    assert addresses.other_seeds(config(bind_addr="0.0.0.0:7946", seeds=("localhost:7946", "192.0.2.7:7946"))) == [
        "192.0.2.7:7946"
    ]


@pytest.mark.parametrize(
    ("gossip", "probe", "profile"), [(0.2, 1.0, "lan"), (0.5, 5.0, "wan"), (0.1, 1.0, "local"), (0.2, 2.0, "lan")]
)
def test_serf_gets_the_profile_of_the_intervals(gossip: float, probe: float, profile: str, tmp_path: Path) -> None:
    changes = {"coordination.gossip_interval": gossip, "coordination.probe_interval": probe}
    agent = Agent(tmp_path, "alpha", random_key(), **changes)
    assert json.loads(rendering.write(agent.config).read_text())["profile"] == profile


def test_values_are_cut_wherever_the_bytes_break() -> None:
    values = [
        *(b"\x01", b"\xff", b"\xc0", b"\xa3abc", b"\x93\x01\xa1b\x90", b"\x82\xa1a\x01\xa1b\x81\xa1c\xc3"),
        *(b"\xc4\x02\x00\x01", b"\xd9\x03abc", b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a", b"\xdc\x00\x02\x01\x02"),
        *(b"\xde\x00\x01\xa1a\xdd\x00\x00\x00\x01\x01", b"\xcb" + bytes(8), b"\xd3" + bytes(8), b"\xd8" + bytes(17)),
        *(b"\xc7\x02\x05ab", b"\xcd\x01\x02", b"\xdf\x00\x00\x00\x00"),
    ]
    stream = b"".join(values)
    for step in (1, 2, 3, 7, len(stream)):
        cutter = Cutter()
        found = [one for at in range(0, len(stream), step) for one in cutter.feed(stream[at : at + step])]
        assert found == values
    with pytest.raises(ValueError, match="msgpack"):
        list(Cutter().feed(b"\xc1"))
    with pytest.raises(ValueError, match="bytes"):
        list(Cutter().feed(b"\xc6\xff\xff\xff\xff"))
