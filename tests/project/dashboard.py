# SPDX-License-Identifier: Apache-2.0
# dashboard.py ROOT: Grafana can import deploy/grafana/tokenring.json as it is: the data source is a variable, ids are unique,
# nothing overlaps, no plugin is needed; what is provisioned leads to it. Every metric of src/serve/metrics.def is on it or in a
# rule. That its expressions give data, tests/integration/test_expressions.c asks a real Prometheus.
import json
import os
import re
import sys

import yaml

sys.path.insert(0, os.path.join(sys.argv[1], "tests/support"))
import promql  # noqa: E402

CORE = {"row", "timeseries", "stat", "bargauge", "piechart", "state-timeline"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
bad = 0


def complain(text):
    global bad
    bad += 1
    print(text)


def check_unique(what, values):
    for value in {value for value in values if values.count(value) > 1}:
        complain(f"{what} {value} is there twice")


def check_panel(panel):
    title = panel.get("title")
    if panel["type"] not in CORE or not title:
        complain(f"panel {panel['id']}: {panel['type']} is not a core panel, or it has no title")
    if panel["type"] == "row":
        return
    if panel["datasource"] != SOURCE or not panel["targets"]:
        complain(f"{title}: its data source is not the variable, or it asks for nothing")
    check_unique(f"{title}: target", [target["refId"] for target in panel["targets"]])
    for target in panel["targets"]:
        if target["datasource"] != SOURCE:
            complain(f"{title} {target['refId']}: its data source is not the variable")
    if "unit" not in panel["fieldConfig"]["defaults"] and panel["type"] != "state-timeline":
        complain(f"{title}: has no unit")


def check_places(panels):
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > 24 or place["w"] <= 0 or place["h"] <= 0:
            complain(f"{panel['title']}: is not within the 24 columns")
        rows = range(place["y"], place["y"] + place["h"])
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in rows):
            if cell in taken:
                complain(f"{panel['title']} lies over {taken[cell]}")
                return
            taken[cell] = panel["title"]


def check_variables(dashboard, text):
    known = [variable["name"] for variable in dashboard["templating"]["list"]]
    check_unique("variable", known)
    used = set(re.findall(r"\$\{?([a-z]\w*)", text))
    if used != set(known):
        complain(f"variables are {sorted(known)}, used are {sorted(used)}")
    for where, expression in promql.dashboard_expressions(f"{sys.argv[1]}/deploy/grafana/tokenring.json"):
        for metric, matchers in promql.selectors(promql.with_variables(expression, {}))[0]:
            if "instance" not in {label for label, _, _ in matchers} and metric != "tokenring_build_info":
                complain(f"{where}: {metric} is asked for without the collectors that are chosen")


def check_requires(dashboard):
    told = {need["id"] for need in dashboard["__requires"]}
    used = {panel["type"] for panel in promql.panels(dashboard)} - {"row"}
    if told != used | {"grafana", "prometheus"}:
        complain(f"__requires tells {sorted(told)}, used are {sorted(used)}")


def check_metrics(root):
    with open(f"{root}/src/serve/metrics.def", encoding="utf-8") as file:
        metrics = re.findall(r'^TKR_METRIC\(\w+, \w+, "(\w+)"', file.read(), re.M)
    expressions = promql.dashboard_expressions(f"{root}/deploy/grafana/tokenring.json")
    expressions += [(where, rule["expr"]) for where, rule in promql.rules(f"{root}/deploy/prometheus/tokenring.rules.yml")]
    asked = {re.sub(r"_(total|bucket|sum|count)$", "", metric) for _, expression in expressions
             for metric, _ in promql.selectors(promql.with_variables(expression, {}))[0]}
    for metric in metrics:
        if metric not in asked:
            complain(f"{metric} is on no dashboard and in no rule")


def check_provisioning(root):
    folder = f"{root}/deploy/grafana/provisioning"
    with open(f"{folder}/dashboards/tokenring.yml", encoding="utf-8") as file:
        provider = yaml.safe_load(file)["providers"][0]
    with open(f"{folder}/datasources/tokenring.yml", encoding="utf-8") as file:
        source = yaml.safe_load(file)["datasources"][0]
    if provider["type"] != "file" or not provider["options"]["path"] or source["type"] != "prometheus" or not source["url"]:
        complain("deploy/grafana/provisioning: no file provider, or no Prometheus")


def main():
    root = sys.argv[1]
    with open(f"{root}/deploy/grafana/tokenring.json", encoding="utf-8") as file:
        text = file.read()
    dashboard = json.loads(text)
    panels = list(promql.panels(dashboard))
    if dashboard["id"] is not None or dashboard["uid"] != "tokenring" or "__inputs" in dashboard:
        complain("it is not importable as it is: id is to be null, uid tokenring, and no inputs")
    check_unique("panel id", [panel["id"] for panel in panels])
    check_unique("title", [panel["title"] for panel in panels if panel["type"] != "row"])
    for panel in panels:
        check_panel(panel)
    check_places(panels)
    check_variables(dashboard, text)
    check_requires(dashboard)
    check_metrics(root)
    check_provisioning(root)
    print(f"{len(panels)} panels, {len(promql.dashboard_expressions(f'{root}/deploy/grafana/tokenring.json'))} expressions")
    return 1 if bad else 0


sys.exit(main())
