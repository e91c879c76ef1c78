"""Writes the shells' completion files of `caxton`.

Owns where each shell looks. Must never write them by hand: click knows its own protocol.

    python3 completion.py ROOT        (the bundled tree on PYTHONPATH)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from click.shell_completion import FishComplete, ShellComplete, ZshComplete

from caxton.cli.root import caxton

_VARIABLE: Final = "_CAXTON_COMPLETE"
_BASH: Final = """\
_caxton_completion() {
    local IFS=$'\\n' line type value
    while read -r line; do
        IFS=',' read -r type value <<<"$line"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" _CAXTON_COMPLETE=bash_complete "$1")
}
complete -o nosort -F _caxton_completion caxton
"""
"""As click's own, which asks the installed bash for its version while it writes the file: no build may do that."""


def main(root: Path) -> None:
    """bash, zsh, fish: below ROOT/usr/share, in the places that each reads by itself."""
    share = root / "usr" / "share"
    _write(share / "bash-completion" / "completions" / "caxton", _BASH)
    _write(share / "zsh" / "vendor-completions" / "_caxton", _source(ZshComplete))
    _write(share / "fish" / "vendor_completions.d" / "caxton.fish", _source(FishComplete))


def _source(kind: type[ShellComplete]) -> str:
    return kind(caxton, {}, "caxton", _VARIABLE).source().strip() + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
