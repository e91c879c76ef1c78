"""Every alert fires in the world that it is for, and stays quiet in the one beside it: promtool's own verdict."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.monitoring import RULES, Alert, alerts, metric_names, needs

CASES = Path(__file__).with_name("cases")
WORLDS: dict[str, list[dict[str, Any]]] = {
    name: worlds
    for path in sorted(CASES.glob("*.yml"))
    for name, worlds in yaml.load(path.read_text(), Loader=yaml.BaseLoader).items()  # text: `0x20` is no number here
}
ALERTS = alerts()
pytestmark = needs("promtool")


def promtool_test(alert: Alert, world: dict[str, Any]) -> dict[str, Any]:
    """A world as a file of `promtool test rules`. Asked for is ALERTS, so that no test repeats an alert's prose."""
    firing = f'count by (instance) (ALERTS{{alertname="{alert.name}",alertstate="firing"}})'
    expected = {**{time: [] for time in world["quiet"]}, **world["fires"]}
    return {
        "rule_files": [str(alert.file)],
        "evaluation_interval": world.get("every", "1m"),
        "tests": [
            {
                "interval": world.get("every", "1m"),
                "input_series": [{"series": name, "values": values} for name, values in world["series"].items()],
                "promql_expr_test": [
                    {
                        "expr": firing,
                        "eval_time": time,
                        "exp_samples": [{"labels": f'{{instance="{one}"}}', "value": 1} for one in instances],
                    }
                    for time, instances in expected.items()
                ],
            }
        ],
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_it_fires_where_it_should_and_nowhere_else(alert: Alert, tmp_path: Path) -> None:
    worlds = WORLDS[alert.name]
    assert worlds
    for number, world in enumerate(worlds):
        assert world["quiet"]
        assert any(world["fires"].values())
        file = tmp_path / f"{number}.yml"
        file.write_text(yaml.safe_dump(promtool_test(alert, world)))
        done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_metric_of_an_alert_is_in_its_worlds(alert: Alert) -> None:
    given = {name for world in WORLDS[alert.name] for series in world["series"] for name in metric_names(series)}
    assert metric_names(alert.expr) == given


def test_no_world_is_left_over() -> None:
    assert set(WORLDS) == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml")), ids=lambda path: path.name)
def test_promtool_accepts_the_file(path: Path) -> None:
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
