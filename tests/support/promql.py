# SPDX-License-Identifier: Apache-2.0
"""Expressions of PromQL in what is deployed: where they are, and what names and labels they ask for.

Not a parser: Prometheus itself says whether an expression is one. This takes an expression that is one apart into words, which is
enough to tell metrics, labels and functions from each other.
"""
import json
import re

import yaml

WORD = re.compile(r'''("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(\d[\w.]*)|([A-Za-z_:][\w:]*)|(=~|!~|!=|==|[<>]=?|=)|(\S)''')
OPERATORS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "30s", "$__range": "30s", "$__interval": "5s"}


def words(expression):
    """[(kind, text)]: string, number, name, operator or sign."""
    kinds = ("string", "number", "name", "operator", "sign")
    return [(kinds[found.lastindex - 1], found[0]) for found in WORD.finditer(expression)]


def selectors(expression):
    """([(metric, [(label, operator, value)])], {labels that it groups by})."""
    word = words(expression) + [("sign", "")] * 2
    metrics, grouped = [], set()
    at = 0
    while word[at][1]:
        kind, text = word[at]
        following = word[at + 1][1]
        at += 1
        if kind != "name" or text in OPERATORS:
            continue
        if text in GROUPINGS:
            if following == "(":
                end = next(i for i in range(at, len(word)) if word[i][1] == ")")
                grouped |= {name for name_kind, name in word[at:end] if name_kind == "name"}
                at = end
            continue
        if following == "(" or following in GROUPINGS:
            continue  # a function
        matchers = []
        if following == "{":
            at += 1
            while word[at][1] != "}":
                if word[at][0] == "name":
                    matchers.append((word[at][1], word[at + 1][1], word[at + 2][1][1:-1]))
                    at += 2
                at += 1
        metrics.append((text, matchers))
    return metrics, grouped


def with_variables(expression, more):
    """Variables replaced as Grafana does: its own, and more, a dictionary of the dashboard's."""
    for name, value in {**VARIABLES, **more}.items():
        expression = expression.replace(name, value)
    return expression


def rules(path):
    """[(where, rule)] of a file of rules."""
    with open(path, encoding="utf-8") as file:
        groups = yaml.safe_load(file)["groups"]
    return [(rule.get("alert") or rule["record"], rule) for group in groups for rule in group["rules"]]


def panels(dashboard):
    """All panels of a dashboard, those in rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def dashboard_expressions(path):
    """[(where, expression)] of what a dashboard shows, variables in them."""
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    return [(f"{panel['title']} {target['refId']}", target["expr"])
            for panel in panels(dashboard) for target in panel.get("targets", [])]


def dashboard_questions(path):
    """[(where, expression)] of what a dashboard asks besides: for its marks, and for its variables, whose labels it lists."""
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    marks = [(mark["name"], mark["expr"]) for mark in dashboard["annotations"]["list"] if "expr" in mark]
    lists = [(variable["name"], re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]))
             for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    return marks + [(name, f"count by ({found[2]}) ({found[1]})") for name, found in lists]
