"""The command line: parses, makes one call of `Lab`, prints. One line on standard error when it fails."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from lab import image, machine, requirements, state
from lab.errors import Code, LabError
from lab.labs import Lab, down_all


def main(arguments: Sequence[str]) -> int:
    """Runs one command; the exit code."""
    options = parser().parse_args(arguments)
    try:
        requirements.check()
        return int(options.act(options) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return int(error.code)


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = argparse.ArgumentParser(prog="python -m lab", description="Debian machines on a private bridge")
    verbs = top.add_subparsers(dest="verb", required=True)

    def verb(name: str, act: object, *positional: str, text: str) -> argparse.ArgumentParser:
        found = verbs.add_parser(name, help=text)
        for argument in positional:
            found.add_argument(argument)
        found.set_defaults(act=act)
        return found

    image_of = verb("image", act_image, text="build or find the base image, print its path")
    image_of.add_argument("--release", default="bookworm")
    image_of.add_argument("--prune", action="store_true", help="remove those of earlier recipes instead")
    up = verb("up", act_up, "lab", text="boot machines and wait for their sshd")
    up.add_argument("hosts", nargs="+", metavar="HOST=ADDRESS", help="or -: ansible-inventory --list on stdin")
    up.add_argument("--hybrid", action="append", default=[], metavar="HOST", help="CPUQuota and TasksMax bind on it")
    up.add_argument("--release", default="bookworm")
    down = verb("down", act_down, text="remove everything of a lab")
    down.add_argument("lab", nargs="?")
    down.add_argument("--all", action="store_true", help="of every lab")
    verb("kill", lambda o: Lab(o.lab).kill(o.host), "lab", "host", text="a power cut; the disk stays")
    verb("stop", lambda o: Lab(o.lab).stop(o.host), "lab", "host", text="an orderly shutdown")
    verb("start", lambda o: Lab(o.lab).start(o.host), "lab", "host", text="boot it again from its disk")
    verb("wipe", lambda o: Lab(o.lab).wipe(o.host), "lab", "host", text="a power cut and an empty disk")
    verb("freeze", lambda o: Lab(o.lab).freeze(o.host), "lab", "host", text="stop it where it is")
    verb("thaw", lambda o: Lab(o.lab).freeze(o.host, False), "lab", "host", text="let it go on")
    verb("unplug", lambda o: Lab(o.lab).plug(o.host, False), "lab", "host", text="pull its network cable")
    verb("plug", lambda o: Lab(o.lab).plug(o.host, True), "lab", "host", text="put it back")
    verb("cut", lambda o: Lab(o.lab).cut(o.one, o.other), "lab", "one", "other", text="part two machines")
    heal = verb("heal", lambda o: Lab(o.lab).heal(*o.pair), "lab", text="undo one cut or all")
    heal.add_argument("pair", nargs="*", metavar="HOST")
    execute = verb("exec", act_exec, "lab", "host", text="run a command inside")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    verb("list", act_list, text="labs and their machines")
    return top


def act_image(options: argparse.Namespace) -> None:
    """Prints the image's directory."""
    for path in image.prune() if options.prune else [image.ensure(options.release)]:
        print(path)


def act_up(options: argparse.Namespace) -> None:
    """Boots; prints how long it took."""
    hosts = (
        inventory(sys.stdin) if options.hosts == ["-"] else dict(pair.partition("=")[::2] for pair in options.hosts)
    )
    took = Lab(options.lab).up(hosts, hybrid=frozenset(options.hybrid), release=options.release)
    print(f"lab {options.lab}: {', '.join(hosts)} up after {took:.1f} s")


def inventory(listing: TextIO) -> dict[str, str]:
    """The hosts of an inventory and their addresses, from what `ansible-inventory --list` says."""
    hosts = json.load(listing)["_meta"]["hostvars"]
    return {host: variables["ansible_host"] for host, variables in hosts.items()}


def act_down(options: argparse.Namespace) -> None:
    """Removes the lab named, or all."""
    if options.all == bool(options.lab):
        raise LabError(Code.REFUSED, "down needs a lab, or --all")
    if options.all:
        down_all()
    else:
        Lab(options.lab).down()


def act_exec(options: argparse.Namespace) -> None:
    """Becomes the command inside, so that its terminal, signals and exit code are the caller's."""
    command = machine.enter(Lab(options.lab).record, options.host, *(options.command or ["bash"]))
    sys.stdout.flush()
    os.execvp(command[0], command)


def act_list(options: argparse.Namespace) -> None:
    """One line per machine."""
    for record in state.everyone():
        for host, spec in record.machines.items():
            print(record.name, host, spec.address, "up" if machine.running(record, host) else "off")
