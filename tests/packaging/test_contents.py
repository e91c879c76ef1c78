"""What is in the package: what was meant to be, and nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import caxton

ROOT = Path(__file__).resolve().parents[2]
TOP = {
    "etc/apparmor.d/caxton",
    "etc/needrestart/conf.d/caxton.conf",
    "usr/bin/caxton",
    "usr/lib/caxton/bin",
    "usr/lib/caxton/lib",
    "usr/lib/caxton/pyvenv.cfg",
    "usr/lib/caxton/scripts",
    "usr/lib/systemd/system",
    "usr/lib/sysusers.d/caxton.conf",
    "usr/lib/tmpfiles.d/caxton.conf",
    "usr/share/bash-completion/completions/caxton",
    "usr/share/caxton/monitoring/dashboards",
    "usr/share/caxton/monitoring/rules",
    "usr/share/caxton/production.toml",
    "usr/share/doc/caxton",
    "usr/share/fish/vendor_completions.d/caxton.fish",
    "usr/share/lintian/overrides/caxton",
    "usr/share/man/man1/caxton.1.gz",
    "usr/share/zsh/vendor-completions/_caxton",
}
UNITS = {
    "caxton-node.target",
    "caxton.socket",
    "caxton.service",
    "caxton-admin.service",
    "caxton-router.service",
    "caxton-executor.service",
    "caxton-gossip.service",
    "caxton-settings.service",
    "caxton-bootstrap.service",
    "caxton-backup.service",
    "caxton-backup.timer",
    "caxton-restore-drill.service",
    "caxton-restore-drill.timer",
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def field(package: Path, name: str) -> str:
    shown = subprocess.run(["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def locked() -> dict[str, str]:
    """Every distribution of the lock, with its version."""
    lines = (ROOT / "app" / "requirements.txt").read_text().splitlines()
    pinned = [match for line in lines if (match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line))]
    return {canonical(match[1]): match[2] for match in pinned}


@pytest.fixture
def site(tree: Path) -> Path:
    (found,) = (tree / "usr/lib/caxton/lib").glob("python3.*/site-packages")
    return found


def test_every_file_lies_where_it_was_meant_to(tree: Path) -> None:
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    assert not {file for file in files if not any(file == top or file.startswith(f"{top}/") for top in TOP)}
    assert not {top for top in TOP if not any(file == top or file.startswith(f"{top}/") for file in files)}
    assert {path.name for path in (tree / "usr/lib/systemd/system").iterdir()} == UNITS


def test_the_version_is_the_programs(package: Path) -> None:
    assert field(package, "Version") == caxton.__version__
    changelog = (ROOT / "packaging/debian/changelog").read_text()
    assert changelog.startswith(f"caxton ({caxton.__version__}) ")


def test_what_watches_nodes_is_that_of_the_role(tree: Path) -> None:
    shipped, role = tree / "usr/share/caxton/monitoring", ROOT / "roles/caxton_monitoring/files"
    assert {str(path.relative_to(shipped)): path.read_bytes() for path in shipped.rglob("*") if path.is_file()} == {
        str(path.relative_to(role)): path.read_bytes() for path in role.rglob("*") if path.is_file()
    }


def test_dpkg_will_never_ask_about_the_configuration(package: Path) -> None:
    control = subprocess.run(["dpkg-deb", "--info", package, "conffiles"], capture_output=True, text=True, check=True)
    assert control.stdout.split() == ["/etc/apparmor.d/caxton", "/etc/needrestart/conf.d/caxton.conf"]


def test_it_belongs_to_one_python_and_needs_nothing_but_debians_base(package: Path, site: Path) -> None:
    depends = {part.split(" ")[0]: part for part in re.split(r", *", field(package, "Depends"))}
    assert set(depends) == {"python3", "libc6", "libgcc-s1", "libstdc++6", "systemd", "tzdata"}
    major, minor = map(int, site.parent.name.removeprefix("python").split("."))
    assert f"python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}~)" in field(package, "Depends")


def test_the_libraries_are_those_of_the_lock(site: Path) -> None:
    found = {}
    for info in site.glob("*.dist-info"):
        name, version = info.name.removesuffix(".dist-info").split("-")
        found[canonical(name)] = version
    assert found == locked()


def test_nothing_of_the_build_and_no_foreign_tests_are_left(site: Path) -> None:
    unwanted = ("RECORD", "INSTALLER", "direct_url.json", "tests", "testing", "test")
    assert not [str(path) for path in site.rglob("*") if path.name in unwanted]
    assert not [str(path) for path in site.rglob("*.py") if path.read_bytes().startswith(b"#!")]


def test_every_module_is_compiled_for_a_tree_that_nobody_writes(site: Path) -> None:
    sources = set(site.rglob("*.py"))
    compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in site.rglob("__pycache__/*.pyc")}
    # a few libraries carry files of other Python versions, or templates: they do not compile here
    assert compiled <= sources
    assert {path for path in sources - compiled if path.is_relative_to(site / "caxton")} == set()
    for path in site.rglob("__pycache__/*.pyc"):
        assert path.read_bytes()[4:8] == b"\x01\x00\x00\x00", f"{path}: not an unchecked hash"


def test_files_belong_to_root_and_only_commands_are_executable(package: Path) -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True)
    rows = [line.split(None, 5) for line in listed.stdout.splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    executable = {row[5] for row in rows if row[0] == "-rwxr-xr-x"}
    assert executable == {
        "./usr/bin/caxton",
        "./usr/lib/caxton/scripts/backup-config.sh",
        "./usr/lib/caxton/scripts/backup-state.sh",
        "./usr/lib/caxton/scripts/close-address.sh",
    }
    assert {row[0] for row in rows} <= {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx"}


def test_the_runbook_lies_where_alerts_say(tree: Path) -> None:
    docs = ROOT / "app" / "docs"
    for page in (path for path in docs.rglob("*") if path.is_file()):
        assert (tree / "usr/share/doc/caxton" / page.relative_to(docs)).read_bytes() == page.read_bytes()


def test_every_library_is_in_the_copyright_file(tree: Path) -> None:
    text = (tree / "usr/share/doc/caxton/copyright").read_text()
    named = {canonical(match[0]): match[1] for match in re.findall(r"^Comment: (\S+) (\S+)$", text, re.MULTILINE)}
    assert named == locked()
