# SPDX-License-Identifier: Apache-2.0
# alerts.py FOLDER: each alert of tokenring.rules.yml says how bad it is, how long it waits, what happened and what to do, and has
# its reason above it; each has a case in tokenring.rules.test.yml in which it is raised, and a moment at which it is not.
import re
import sys

import yaml

SEVERITIES = {"critical", "warning", "info"}


def complain(name, text):
    print(f"{name}: {text}")
    return 1


def check_alert(rule, source):
    name = rule["alert"]
    bad = 0
    if not re.fullmatch(r"Tokenring[A-Z][A-Za-z]+", name):
        bad += complain(name, "is not named Tokenring and what is wrong")
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        bad += complain(name, f"its severity is none of {', '.join(sorted(SEVERITIES))}")
    if "for" not in rule:
        bad += complain(name, "does not say how long it waits (for)")
    for annotation, least in (("summary", 10), ("description", 80)):
        if len(rule.get("annotations", {}).get(annotation, "")) < least:
            bad += complain(name, f"has no {annotation}")
    if not re.search(rf"^ *# .*\n *- alert: {name}$", source, re.M):
        bad += complain(name, "has no comment above it that argues its threshold")
    return bad


def raised_and_not(cases):
    """Names of alerts that a case expects to be firing, and to be silent."""
    raised, silent = set(), set()
    for case in cases["tests"]:
        for asked in case.get("promql_expr_test", []):
            found = re.search(r'alertname="(\w+)"', asked["expr"])
            if found:
                (raised if asked.get("exp_samples") else silent).add(found[1])
    return raised, silent


def main():
    with open(f"{sys.argv[1]}/tokenring.rules.yml", encoding="utf-8") as file:
        source = file.read()
    with open(f"{sys.argv[1]}/tokenring.rules.test.yml", encoding="utf-8") as file:
        raised, silent = raised_and_not(yaml.safe_load(file))
    alerts = [rule for group in yaml.safe_load(source)["groups"] for rule in group["rules"] if "alert" in rule]
    bad = sum(check_alert(rule, source) for rule in alerts)
    for name in {rule["alert"] for rule in alerts}:
        if name not in raised or name not in silent:
            bad += complain(name, "tokenring.rules.test.yml has no case that raises it, or none that does not")
    print(f"{len(alerts)} alerts")
    return 1 if bad or not alerts else 0


sys.exit(main())
