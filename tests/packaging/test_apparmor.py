"""The AppArmor profiles: they parse, units name them, the package installs them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
PROFILES = PACKAGING / "apparmor" / "caxton"
CONFINED = {
    "caxton.service": "caxton-api",
    "caxton-admin.service": "caxton-api",
    "caxton-router.service": "caxton-router",
    "caxton-executor.service": "caxton-executor",
    "caxton-gossip.service": "caxton-gossip",
}


def test_the_profiles_parse(tmp_path: Path) -> None:
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
    if parser is None:
        pytest.skip("no apparmor_parser: apt install apparmor")

    def parsed(path: Path) -> bool:
        command = [parser, "--skip-kernel-load", "--skip-read-cache", "--quiet", path]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    assert parsed(PROFILES)
    broken = tmp_path / "broken"
    broken.write_text(PROFILES.read_text().replace("deny mount,", "deny mount", 1))
    assert not parsed(broken)


def test_each_unit_that_serves_names_a_profile_that_exists_and_starts_without_it() -> None:
    defined = set(re.findall(r"^profile (\S+)", PROFILES.read_text(), re.MULTILINE))
    assert defined == set(CONFINED.values())
    for unit, profile in CONFINED.items():
        lines = (PACKAGING / "units" / unit).read_text().splitlines()
        # the dash: machines without AppArmor, and those where it was not loaded
        assert [line for line in lines if line.startswith("AppArmorProfile=")] == [f"AppArmorProfile=-{profile}"]


def test_the_package_installs_and_loads_them_before_the_node_starts() -> None:
    assert "packaging/apparmor/caxton $(ROOT)/etc/apparmor.d/caxton" in (PACKAGING / "debian" / "rules").read_text()
    script = (PACKAGING / "debian" / "caxton.postinst").read_text()
    assert script.index("apparmor_parser --replace") < script.index("deb-systemd-invoke restart")


def test_only_the_router_may_have_the_data_and_only_the_executor_the_compiled_code() -> None:
    text = PROFILES.read_text()
    profiles = {match[1]: match[2] for match in re.finditer(r"^profile (\S+) [^{]*\{(.*?)^\}", text, re.M | re.S)}
    writes_data = [name for name, body in profiles.items() if re.search(r"^  owner /opt/caxton/data/", body, re.M)]
    writes_code = [name for name, body in profiles.items() if re.search(r"^  owner /var/cache/caxton", body, re.M)]
    assert (writes_data, writes_code) == (["caxton-router", "caxton-gossip"], ["caxton-executor"])
    assert re.findall(r"^  owner /opt/caxton/\S+", profiles["caxton-gossip"], re.M) == [
        "  owner /opt/caxton/data/gossip/{,**}"
    ]
    assert "network inet stream" not in profiles["caxton-executor"]
