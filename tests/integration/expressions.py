# SPDX-License-Identifier: Apache-2.0
# expressions.py PROMETHEUS ROOT: asks a Prometheus that scrapes a busy collector all that deploy/ asks: each name and each label
# that an expression of the rules or of the dashboard names is there, with the values that it picks; each expression is answered
# without error, those of the dashboard with a number; the rules are evaluated without error, and none that wakes somebody is
# raised.
import json
import math
import os
import re
import sys
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(sys.argv[2], "tests/support"))
import promql  # noqa: E402

PATIENCE_S = 60
CHOSEN = {"$job": "tokenring", "$instance": ".*"}
DASHBOARD = f"{sys.argv[2]}/deploy/grafana/tokenring.json"
RULES = f"{sys.argv[2]}/deploy/prometheus/tokenring.rules.yml"


def ask(path, **arguments):
    url = f"http://{sys.argv[1]}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as refusal:
        return json.load(refusal)  # has "error"


def numbers(expression):
    """The numbers that it gives now; a sentence when it is refused."""
    answer = ask("query", query=expression)
    if "error" in answer:
        return answer["error"]
    if answer["resultType"] == "scalar":
        return [float(answer["result"][1])]
    return [float(row["value"][1]) for row in answer["result"]]


def is_picked(value, operator, text):
    if operator in ("=", "!="):
        return (value == text) == (operator == "=")
    return (re.fullmatch(text, value) is not None) == (operator == "=~")


def missing(expression, series):
    """What it asks for and is not there: sentences."""
    metrics, grouped = promql.selectors(expression)
    labels = set()
    for metric, matchers in metrics:
        rows = [row for row in series if row["__name__"] == metric]
        if not rows:
            yield f"there is no metric {metric}"
            continue
        labels |= {label for row in rows for label in row}
        for label, operator, text in matchers:
            if all(label not in row for row in rows):
                yield f"{metric} has no label {label}"
            elif not any(is_picked(row.get(label, ""), operator, text) for row in rows):
                yield f"{metric} has no {label}{operator}\"{text}\""
    for label in grouped - labels:
        yield f"no metric of it has the label {label}"


def not_answered(deployed, shown):
    """What is wrong now, as sentences."""
    series = ask("series", **{"match[]": '{__name__=~".+"}'})
    for where, expression in deployed:
        for sentence in missing(expression, series):
            yield f"{where}: {sentence}"
        answer = numbers(expression)
        if isinstance(answer, str):
            yield f"{where}: {answer}"
        elif (where, expression) in shown and not any(math.isfinite(number) for number in answer):
            yield f"{where}: no data: {expression}"


def wrong_rules():
    """What Prometheus says of the rules; and alerts that wake somebody although all is well."""
    for group in ask("rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                yield f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}"
            if rule.get("state") == "firing" and rule["labels"]["severity"] == "critical":
                yield f"{rule['name']} is raised: {rule['alerts']}"


def main():
    shown, more = [[(where, promql.with_variables(expression, CHOSEN)) for where, expression in asked(DASHBOARD)]
                   for asked in (promql.dashboard_expressions, promql.dashboard_questions)]
    deployed = shown + more + [(where, rule["expr"]) for where, rule in promql.rules(RULES)]
    end = time.monotonic() + PATIENCE_S
    while True:
        wrong = list(not_answered(deployed, shown)) + list(wrong_rules())
        if not wrong:
            print(f"{len(deployed)} expressions are answered, {len(shown)} of them with data")
            return 0
        if time.monotonic() > end:
            print("\n".join(wrong))
            return 1
        time.sleep(1)


sys.exit(main())
