"""The dashboard shows what is there: each expression asked of a Prometheus that reads real nodes and hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml

from support.monitoring import ROLE, metric_names, needs, with_prefix
from support.monitoring_stack import EXPORTERS, PREFIX, PROGRAMS, Stack

DASHBOARD = json.loads((ROLE / "files" / "dashboards" / "caxton.json").read_text())
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
_GROUPED = re.compile(r"\bby\s*\(([^)]*)\)")
_MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")


class Shown(NamedTuple):
    """One line of a panel. `expr` as Prometheus takes it, for nodes of the prefix of these tests."""

    panel: str
    expr: str
    legend: str


_NOT_SHOWN = ("Namespaces", "Names that you may know")
"""One team's figures (`caxton namespace list`), and names of elsewhere."""


def shown() -> Iterator[Shown]:
    for panel in PANELS:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "1m").replace("$node", ".*")
            yield Shown(panel["title"], with_prefix(text, PREFIX), target["legendFormat"])


def labels_of(line: Shown) -> set[str]:
    """Those that its legend names, that it groups by and that it asks for; `le` is of every histogram."""
    named = set(re.findall(r"\{\{(\w+)\}\}", line.legend)) | set(_MATCHED.findall(line.expr))
    for inside in _GROUPED.findall(line.expr):
        named |= {label.strip() for label in inside.split(",")}
    return named


LINES = list(shown())
on_real_nodes = pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.panel}: {line.legend}")
needed = needs(*PROGRAMS, *EXPORTERS, "openssl", "serf")


@needed
@pytest.mark.timeout(300)
@on_real_nodes
def test_its_metrics_and_labels_exist(line: Shown, series: dict[str, set[str]]) -> None:
    names = metric_names(line.expr)
    known = {f"{PREFIX}_not_ready": {"reason", "instance"}, **series}  # that one only while there is a reason
    assert names <= set(known)
    assert labels_of(line) <= set[str]().union(*(known[name] for name in names))


@needed
@pytest.mark.timeout(300)
@on_real_nodes
def test_prometheus_takes_it_and_its_legend_tells_lines_apart(line: Shown, stack: Stack) -> None:
    named = re.findall(r"\{\{(\w+)\}\}", line.legend)
    found = [one["metric"] for one in stack.value(line.expr)]
    assert all(set(named) <= set(labels) for labels in found)
    assert len({tuple(labels[name] for name in named) for labels in found}) == len(found)


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == SOURCE, panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_it_asks_which_prometheus_and_which_nodes_and_knows_none() -> None:
    variables: dict[str, dict[str, Any]] = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["node"]["datasource"] == SOURCE
    assert set(re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD))) == {"caxton", SOURCE["uid"]}
    assert all('instance=~"$node"' in target["expr"] for panel in PANELS for target in panel["targets"])


def test_another_prefix_changes_metrics_and_nothing_else() -> None:
    text = (ROLE / "files" / "dashboards" / "caxton.json").read_text()
    other = json.loads(with_prefix(text, "acme"))
    assert "caxton_" not in json.dumps(other)
    assert (other["uid"], other["title"]) == ("caxton", "Caxton")


def test_what_the_documentation_groups_is_on_it() -> None:
    """No group of metrics is forgotten: each heading of the page has a metric that is shown."""
    page = (ROLE.parents[1] / "app" / "docs" / "metrics.md").read_text()
    names = {name for panel in PANELS for target in panel["targets"] for name in metric_names(target["expr"])}
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in names} | names
    for section in re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]:
        documented = set(re.findall(r"^\| `(caxton_[a-z_]+)` \|", section, re.MULTILINE))
        if documented and not section.startswith(_NOT_SHOWN):
            assert documented & families, section.splitlines()[0]


def test_the_role_puts_it_where_it_is_told() -> None:
    tasks = yaml.safe_load((ROLE / "tasks" / "server.yml").read_text())
    (task,) = [task for task in tasks if "dashboard" in task["name"]]
    assert "dashboards/caxton.json" in task["ansible.builtin.copy"]["content"]
    assert task["when"] == "caxton_monitoring_grafana_dashboards is not none"
