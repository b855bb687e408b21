# SPDX-License-Identifier: Apache-2.0
# prometheus_client in multiprocess mode as a peer: for each line with a number that many calls, three counters each, answered by
# the nanoseconds they took; a line "total" is answered by the tokens that a scrape of the directory finds.
import sys
import time

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.multiprocess import MultiProcessCollector

prompt = Counter("prompt_tokens", "", ["user"])
completion = Counter("completion_tokens", "", ["user"])
total = Counter("total_tokens", "", ["user"])


def record(user, prompt_tokens, completion_tokens):
    prompt.labels(user).inc(prompt_tokens)
    completion.labels(user).inc(completion_tokens)
    total.labels(user).inc(prompt_tokens + completion_tokens)


def scraped():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return sum(s.value for m in registry.collect() for s in m.samples if s.name == "total_tokens_total")


user, prompt_tokens, completion_tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "total":
        print(int(scraped()), flush=True)
        continue
    begun = time.perf_counter_ns()
    for _ in range(int(line)):
        record(user, prompt_tokens, completion_tokens)
    print(time.perf_counter_ns() - begun, flush=True)
