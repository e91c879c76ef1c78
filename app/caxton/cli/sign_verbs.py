"""`caxton agent keygen|sign`: keys that sign modules, and their signatures.

Owns these verbs, and where a signature lies beside its module. Must never send a private key anywhere.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from caxton.cli.render import emit_json, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration, read_file
from caxton.protocol.errors import CaxtonError, Code

if TYPE_CHECKING:
    from caxton.provenance import PrivateKey

SUFFIX: Final = ".sig"
signature_option = click.option(
    "--signature",
    "signature_file",
    help=f"A signature of `caxton agent sign` (default: FILE{SUFFIX}, if it is there).",
)


def read_signature(module: str | None, given: str | None) -> str | None:
    """The text of the signature that is named, or lies beside the module; None when there is none."""
    beside = None if module in (None, "-") else Path(f"{module}{SUFFIX}")
    if given is None and (beside is None or not beside.is_file()):
        return None
    return read_file(given or str(beside)).decode("utf-8", "replace")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@output_options
@pass_state
def keygen(state: State, file: Path) -> None:
    """Make an ed25519 key: FILE, for whoever signs, and FILE.pub, for the nodes' trusted_keys."""
    from caxton.provenance import new_key

    _tell(state, new_key(file), {"private": str(file), "public": f"{file}.pub"})


@click.command()
@click.argument("module")
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="The private key, as PEM.")
@click.option("--new-key", is_flag=True, help="Make that key first; it must not exist.")
@click.option("--for", "scope", default="*", show_default=True, help="Which agents: team/*, or one agent's name.")
@click.option(
    "--expires", type=Duration(), help="How long it may be deployed with this signature (default: for ever)."
)
@output_options
@pass_state
def sign(state: State, module: str, key_file: Path, new_key: bool, scope: str, expires: float | None) -> None:
    """Write MODULE.sig: this module, for these agents, by this key."""
    from caxton import provenance
    from caxton.provenance.scope import EXPECTED, is_scope

    if not is_scope(scope):
        raise click.UsageError(f"--for {scope}: expected {EXPECTED}")
    key = provenance.new_key(key_file) if new_key else provenance.read_private(key_file)
    until = None if expires is None else int(time.time() + expires)
    sha256 = hashlib.sha256(read_file(module)).hexdigest()
    target = Path(f"{module}{SUFFIX}")
    try:
        target.write_text(provenance.sign(key, sha256, scope, until))
    except OSError as error:
        raise CaxtonError(Code.CONFIG_INVALID, f"{target} cannot be written: {error.strerror}") from None
    _tell(state, key, {"signature": str(target), "sha256": sha256, "for": scope})


def _tell(state: State, key: PrivateKey, files: dict[str, Any]) -> None:
    from caxton.provenance import key_id_of

    made = {**files, "key": key_id_of(key.public_key())}
    if state.as_json:
        emit_json(made)
        return
    for name, value in made.items():
        note(state, f"{name}: {value}")
