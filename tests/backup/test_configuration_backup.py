"""The configuration's backup holds what is needed to run again, and no secret that is not encrypted."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import tarfile
import time
import tomllib
from pathlib import Path

import pytest

from caxton.backup import back_up_configuration, layout, list_backups, verify
from caxton.backup.configuration_check import ENCRYPTED
from caxton.backup.faults import Fault
from caxton.backup.retention import DAY_SECONDS
from caxton.backup.secrets_in_files import without_secrets
from caxton.config import load
from caxton.protocol.errors import CaxtonError, Code
from support.backup_world import World, make_world
from support.served_node import run_cli

SECRET = "kB8vQ2mZ6tXw4nLs9pRd1yFh7cJg3aEu"
ENVIRON = {"SERF_KEY": "cg8StVXbQJ0gPvMd9o7yrg=="}
PEM = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def furnished(tmp_path: Path) -> World:
    """A configuration directory with secrets of every kind."""
    made = make_world(
        tmp_path,
        ENVIRON,
        security={"auth_enabled": True, "jwt_secret": SECRET},
        networking={"bind_address": "127.0.0.1:8080"},
        coordination={"encrypt_key": "${SERF_KEY}", "local_state_path": str(tmp_path / "data" / "local.db")},
    )
    folder = made.file.parent
    for name, text in {
        "caxton.env": f"JWT_SECRET={SECRET}\n",
        "tls/server.key": PEM,
        "tls/server.crt": "-----BEGIN CERTIFICATE-----\n",
        "tls/both.pem": "-----BEGIN CERTIFICATE-----\n" + PEM,
        "secrets/named_elsewhere": SECRET,
        "notes.txt": "kept\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "notes.txt").chmod(0o604)
    return made


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path, "r:gz") as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def back_up(world: World, **keys: object) -> tuple[Path, list[str]]:
    environ = ENVIRON | {f"CAXTON_BACKUP__{name.upper()}": str(value) for name, value in keys.items()}
    config = load(world.file, environ).config
    made = back_up_configuration(config, world.file, world.backups)
    return Path(made.file), made.left_out


def test_secrets_are_left_out_and_named(furnished: World) -> None:
    path, left_out = back_up(furnished)
    found = members(path)
    assert {"config/production.toml", "config/notes.txt", "config/tls/server.crt"} <= set(found)
    assert {"caxton.env", "tls/server.key", "tls/both.pem", "production.toml: security.jwt_secret"} <= set(left_out)
    assert SECRET.encode() not in found["config/production.toml"]
    assert b"PRIVATE KEY" not in b"".join(found.values())
    kept = tomllib.loads(found["config/production.toml"].decode())
    assert kept["coordination"]["encrypt_key"] == "${SERF_KEY}"
    assert "jwt_secret" not in kept["security"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert verify(furnished.backups, path).code is None


def test_a_secret_file_that_the_configuration_names(furnished: World) -> None:
    secret = furnished.file.parent / "secrets" / "named_elsewhere"
    text = furnished.file.read_text().replace(f'jwt_secret = "{SECRET}"', f'jwt_secret_file = "{secret}"')
    furnished.file.write_text(text)
    path, left_out = back_up(furnished)
    assert "secrets/named_elsewhere" in left_out
    assert SECRET.encode() not in b"".join(members(path).values())


@pytest.mark.parametrize(
    "line",
    [
        f'jwt_secret = "{SECRET}" # mine',
        f"  jwt_secret='{SECRET}'",
        f'jwt_secret = """\\\n{SECRET}"""',
        f'jwt_secret = "${{JWT:-{SECRET}}}"',
        f'"jwt_secret" = "{SECRET}"',
    ],
)
def test_however_a_secret_is_written(line: str) -> None:
    text = f"[security]\n{line}\nauth_enabled = true\n"
    found, keys = without_secrets(Path("production.toml"), text.encode())
    assert found is None or SECRET.encode() not in found
    assert keys == ["security.jwt_secret"]


def test_what_is_no_toml_is_left_out() -> None:
    assert without_secrets(Path("x.toml"), b"[security\njwt_secret = ")[0] is None


def test_encrypted_everything_is_inside(furnished: World, tmp_path: Path) -> None:
    if shutil.which("age") is None:
        pytest.skip("age is not installed")
    key = tmp_path / "identity"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    recipient = next(line.split()[-1] for line in key.read_text().splitlines() if "public key" in line)
    path, left_out = back_up(furnished, encryption_recipient=recipient)
    assert (path.name.endswith(".tar.gz.age"), left_out) == (True, [])
    assert SECRET.encode() not in path.read_bytes()
    plain = tmp_path / "plain.tar.gz"
    subprocess.run(["age", "--decrypt", "-i", str(key), "-o", str(plain), str(path)], check=True)
    found = members(plain)
    assert found["config/caxton.env"] == f"JWT_SECRET={SECRET}\n".encode()
    assert found["config/production.toml"] == furnished.file.read_bytes()
    assert verify(furnished.backups, path).notes == [ENCRYPTED]
    manifest = path.with_name(path.name.replace(".tar.gz.age", ".manifest.json")).read_text()
    assert all(file["sha256"] is None for file in json.loads(manifest)["files"])  # it would tell of secrets
    path.write_bytes(path.read_bytes()[:-1])
    assert verify(furnished.backups, path).fault == Fault.CHECKSUM


def test_without_age_nothing_is_written(furnished: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaxtonError) as caught:
        back_up(furnished, encryption_recipient="age1" + "q" * 58)
    assert caught.value.code is Code.BACKUP_FAILED
    assert list_backups(furnished.backups) == []


def test_a_recipient_that_is_none(furnished: World) -> None:
    if shutil.which("age") is None:
        pytest.skip("age is not installed")
    with pytest.raises(CaxtonError) as caught:
        back_up(furnished, encryption_recipient="age1" + "q" * 58)  # its checksum is wrong
    assert caught.value.code is Code.BACKUP_FAILED
    assert list_backups(furnished.backups) == []


def test_what_was_changed_afterwards(furnished: World) -> None:
    path, _ = back_up(furnished)
    data = path.read_bytes()
    for changed in (data[:-1], data[: len(data) // 2], bytes([*data[:-20], data[-20] ^ 1, *data[-19:]])):
        path.write_bytes(changed)
        assert verify(furnished.backups, path).code == Code.BACKUP_INVALID
    path.write_bytes(data)
    assert verify(furnished.backups, path).code is None
    path.with_name(path.name.replace(".tar.gz", ".manifest.json")).unlink()
    assert verify(furnished.backups, path).fault == Fault.MANIFEST


def test_old_ones_go(furnished: World) -> None:
    """By their own number of days, and never the last good ones."""
    names = []
    for days in (60, 40, 20):
        path, _ = back_up(furnished, config_retention_days=3650)
        stem = layout.stem(layout.CONFIG, time.time() - days * DAY_SECONDS)
        path.with_name(path.name.replace(".tar.gz", layout.MANIFEST)).rename(path.with_name(stem + layout.MANIFEST))
        names.append(path.rename(path.with_name(f"{stem}.tar.gz")).name)
    back_up(furnished, keep_at_least=1, state_retention_days=3650)
    assert {one.file for one in list_backups(furnished.backups)} & set(names) == {names[2]}


def test_a_file_in_a_directory_of_other_things_goes_alone(furnished: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "diary.txt").write_text("private\n")
    file = shutil.copy2(furnished.file, home / "node.toml")
    done = run_cli(
        "--config", str(file), "backup", "config", "--output", "json",
        env=ENVIRON,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == ["node.toml"]


def test_without_a_configuration_file() -> None:
    if Path("/opt/caxton/config/production.toml").exists():
        pytest.skip("a node is installed here")
    done = run_cli("backup", "config")
    assert (done.returncode, Code.BACKUP_FAILED in done.stderr) == (1, True)
