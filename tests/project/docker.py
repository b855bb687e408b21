# SPDX-License-Identifier: Apache-2.0
# docker.py ROOT: deploy/docker/ holds together: the Dockerfile's last stage has what a collector needs and runs as nobody special,
# what it copies is in its context, and compose.yml agrees with it. Builds nothing.
import fnmatch
import os
import re
import sys

import yaml

bad = 0


def complain(text):
    global bad
    bad += 1
    print(text)


def instructions(text):
    """[(word, rest)], continued lines joined, without comments."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.M)
    lines = re.sub(r"\\\n", " ", text).split("\n")
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def in_context(root, name):
    """Is the file there, and sent to the builder? A pattern that matches last decides, as .dockerignore has it."""
    with open(f"{root}/.dockerignore", encoding="utf-8") as file:
        patterns = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    ignored = False
    for pattern in patterns:
        if fnmatch.fnmatch(name.rstrip("/").split("/")[0], pattern.lstrip("!")):
            ignored = not pattern.startswith("!")
    return os.path.exists(f"{root}/{name}") and not ignored


def check_dockerfile(root, stages):
    last = stages[-1]
    words = {word: rest for word, rest in last}
    user = re.fullmatch(r"(\d+):(\d+)", words.get("USER", ""))
    if not user or "0" in user.groups():
        complain(f"the image runs as {words.get('USER')}, not as a numbered user other than root")
    wanted = {"STOPSIGNAL": "SIGTERM", "EXPOSE": "9464", "CMD": '["tokenringd"]', "VOLUME": "/var/lib/tokenring"}
    for word, rest in wanted.items():
        if words.get(word) != rest:
            complain(f"{word} is {words.get(word)}, not {rest}")
    if not words.get("HEALTHCHECK", "").endswith('CMD ["tokenring", "health"]'):
        complain("HEALTHCHECK does not ask tokenring health")
    environment = dict(pair.split("=") for pair in words["ENV"].split())
    if not environment["TOKENRING_HTTP"].endswith(":" + words["EXPOSE"]):
        complain("TOKENRING_HTTP is not the port that is exposed")
    if len(stages) < 2 or any(word == "RUN" and "install-packages" in rest for word, rest in last):
        complain("what builds is not in a stage of its own")
    copied = [rest.split() for stage in stages for word, rest in stage if word == "COPY" and "--from" not in rest]
    for name in (name for names in copied for name in names[:-1] if name != "."):
        if not in_context(root, name):
            complain(f"{name} is copied, and not in the context (.dockerignore)")
    for name in ("CMakeLists.txt", "src", "include", "tools", "man", "deploy"):
        if not in_context(root, name):
            complain(f"{name} is needed to build, and not in the context (.dockerignore)")
    if in_context(root, "build") or in_context(root, ".git") or in_context(root, "tests"):
        complain("the context has more than is needed (.dockerignore)")
    return user.groups() if user else ("", ""), environment


def check_compose(root, user, environment):
    with open(f"{root}/deploy/docker/compose.yml", encoding="utf-8") as file:
        compose = yaml.safe_load(file)
    services = compose["services"]
    used = set()
    for name, service in services.items():
        for volume, path in (entry.split(":")[:2] for entry in service.get("volumes", [])):
            used.add(volume)
            if volume == "runtime" and path != environment["TOKENRING_RUNTIME_DIR"]:
                complain(f"{name}: the runtime directory is mounted at {path}")
            if volume == "state" and path != environment["TOKENRING_STATE_DIR"]:
                complain(f"{name}: the state directory is mounted at {path}")
        if not set(service.get("depends_on", [])) <= set(services):
            complain(f"{name} depends on what is not there")
        if name != "redis" and (service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]):
            complain(f"{name}: its root is to be read-only, without capabilities")
    if used != set(compose["volumes"]):
        complain(f"volumes are {sorted(compose['volumes'])}, used are {sorted(used)}")
    options = compose["volumes"]["runtime"]["driver_opts"]
    if options["type"] != "tmpfs" or f"uid={user[0]},gid={user[1]},mode=3773" not in options["o"] or "size=" not in options["o"]:
        complain(f"the runtime directory is {options}, not a tmpfs with a size that is the image's user's")
    command = " ".join(services["redis"]["command"])
    if "--appendonly yes" not in command or "--maxmemory-policy noeviction" not in command:
        complain("Redis is to keep what it is told, and not to evict")
    build = services["tokenringd"]["build"]
    if not os.path.exists(os.path.join(root, "deploy/docker", build["context"], build["dockerfile"])):
        complain("compose.yml does not lead to the Dockerfile")
    print(f"{len(services)} services")


def main():
    root = sys.argv[1]
    with open(f"{root}/deploy/docker/Dockerfile", encoding="utf-8") as file:
        lines = instructions(file.read())
    starts = [at for at, (word, _) in enumerate(lines) if word == "FROM"] + [len(lines)]
    stages = [lines[begin:end] for begin, end in zip(starts, starts[1:])]
    user, environment = check_dockerfile(root, stages)
    check_compose(root, user, environment)
    return 1 if bad else 0


sys.exit(main())
