# SPDX-License-Identifier: Apache-2.0
# metrics.py ADDRESS:PORT FETCHES: fetches /metrics so often, each time in both formats, and checks every page: with the parsers of
# prometheus_client (the strict one of OpenMetrics), with promtool where it is installed, that no series is there twice, and that no
# counter falls. Prints one JSON object: of the last page all samples as [name, labels, value].
import http.client
import json
import shutil
import subprocess
import sys
import time

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as prometheus

CLASSIC = "text/plain"
OPEN = "application/openmetrics-text"
CUT_OFF = ("tokenring_users_cut_off_total", ())


def ask(connection, accept):
    connection.request("GET", "/metrics", headers={"Accept": accept})
    return connection.getresponse()


def fetch(connection, accept):
    try:
        response = ask(connection, accept)
    except http.client.RemoteDisconnected:  # it was idle for long, on a busy machine
        response = ask(connection, accept)
    body = response.read()
    if response.status != 200 or not response.getheader("Content-Type").startswith(accept):
        sys.exit(f"{response.status} {response.getheader('Content-Type')}")
    return body.decode("utf-8")  # it must be


def samples(families):
    found = {}
    for family in families:
        for sample in family.samples:
            series = (sample.name, tuple(sorted(sample.labels.items())))
            if series in found:
                sys.exit(f"twice: {series}")
            found[series] = (sample.value, family.type)
    return found


def grows(name, kind):
    return kind == "counter" or (kind == "histogram" and name.endswith(("_bucket", "_count", "_sum")))


def check_growth(before, now):
    # Where users were cut off in between, one may have left and come back, and its series has begun anew.
    cut_off = before and now[CUT_OFF] != before[CUT_OFF]
    for series, (value, kind) in now.items():
        if cut_off and series[0].startswith("token_usage") and dict(series[1]).get("user_id") != "other":
            continue
        if series in before and grows(series[0], kind) and value < before[series][0]:
            sys.exit(f"{series} fell from {before[series][0]} to {value}")


def check_promtool(page):
    done = subprocess.run(["promtool", "check", "metrics"], input=page.encode(), capture_output=True)
    if done.returncode not in (0, 3) or b"error while linting" in done.stderr:  # 3: it has advice
        sys.exit(f"promtool: {done.returncode} {done.stdout.decode()} {done.stderr.decode()}")
    return done.stderr.decode() + done.stdout.decode()


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    before = {}
    advice = ""
    promtool = shutil.which("promtool") is not None
    for number in range(int(sys.argv[2])):
        classic = fetch(connection, CLASSIC)
        now = samples(prometheus.text_string_to_metric_families(classic))
        check_growth(before, now)
        before = now
        now = samples(openmetrics.text_string_to_metric_families(fetch(connection, OPEN)))
        check_growth(before, now)
        before = now
        if promtool and number % 10 == 0:
            advice = check_promtool(classic)
        time.sleep(0.05)
    print(json.dumps({"promtool": promtool, "advice": advice,
                      "samples": [[name, dict(labels), value] for (name, labels), (value, _) in before.items()]}))


main()
