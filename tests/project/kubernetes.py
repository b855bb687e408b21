# SPDX-License-Identifier: Apache-2.0
# kubernetes.py ROOT: deploy/kubernetes/ holds together: every document parses and has what its kind needs; ports, probes, volumes,
# settings and what they refer to agree, within a pod and with the image (deploy/docker/Dockerfile); who runs is nobody special and
# has as much memory as the arithmetic of a comment asks for.
import glob
import os
import re
import sys

import yaml

BUDGET_MIB = 256 + 24  # of a gateway process: lanes, and open calls
BOARD_MIB = 48
bad = 0


def complain(where, text):
    global bad
    bad += 1
    print(f"{where}: {text}")


def need(where, holder, *path):
    """What is at the path, or None with a complaint."""
    for step in path:
        if not isinstance(holder, dict) or step not in holder:
            complain(where, f"has no {'.'.join(path)}")
            return None
        holder = holder[step]
    return holder


def mib(text):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()
    return int(number) * (1024 if unit == "Gi" else 1)


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def image_user(root):
    with open(f"{root}/deploy/docker/Dockerfile", encoding="utf-8") as file:
        return [int(number) for number in re.search(r"^USER (\d+):(\d+)$", file.read(), re.M).groups()]


def settings(container):
    return {item["name"]: item["value"] for item in container.get("env", [])}


def check_security(where, pod, container):
    inside = {**pod.get("securityContext", {}), **need(where, container, "securityContext")}
    init = container["name"] == "folders"
    wanted = {"runAsNonRoot": not init, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    for name, value in wanted.items():
        if inside.get(name) != value:
            complain(where, f"securityContext.{name} is {inside.get(name)}, not {value}")
    if need(where, inside, "capabilities", "drop") != ["ALL"] or (inside["capabilities"].get("add") and not init):
        complain(where, "does not drop all capabilities")
    if need(where, inside, "seccompProfile", "type") != "RuntimeDefault":
        complain(where, "has no seccomp profile")


def check_probes(where, container):
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    asked = {}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if kind in container:
            get = need(where, container, kind, "httpGet")
            asked[get["path"]] = kind
            if get["port"] not in ports:
                complain(where, f"{kind} asks on {get['port']}, which is no port of it")
    if asked.get("/healthz") != "livenessProbe" or "/readyz" not in asked:
        complain(where, f"asks {asked}, not /healthz whether it lives and /readyz whether it is ready")
    if settings(container).get("TOKENRING_HTTP") != f"0.0.0.0:{ports.get('metrics')}":
        complain(where, "TOKENRING_HTTP is not where its port and probes are")


def check_volumes(where, pod, held):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["name"] for container in held for mount in container.get("volumeMounts", [])}
    if set(volumes) != mounted:
        complain(where, f"volumes are {sorted(volumes)}, mounted are {sorted(mounted)}")
    return volumes


def check_runtime(where, pod, held, volumes):
    """All that meet there call it by one name, which is on the volume, and not the volume's own root, which all may write."""
    names = {settings(container).get("TOKENRING_RUNTIME_DIR") for container in held if container["name"] != "folders"}
    mounts = {mount["mountPath"] for container in held for mount in container["volumeMounts"] if mount["name"] == "runtime"}
    if len(names) != 1 or len(mounts) != 1:
        complain(where, f"runtime directories are {names}, mounted at {mounts}")
        return
    name, mount = names.pop(), mounts.pop()
    if "emptyDir" in volumes["runtime"]:
        if volumes["runtime"]["emptyDir"].get("medium") != "Memory" or not name.startswith(mount + "/"):
            complain(where, "the runtime directory is to be a folder in an emptyDir in memory")
        processes = sum(container["name"] == "gateway" for container in held)
        if mib(need(where, volumes["runtime"], "emptyDir", "sizeLimit")) < processes * BUDGET_MIB + BOARD_MIB:
            complain(where, "sizeLimit is less than a process and the board may take")
    elif name != mount or not need(where, volumes["runtime"], "hostPath", "path").startswith(("/dev/shm/", "/run/")):
        complain(where, "the runtime directory is to be a folder of the node's /dev/shm or /run")


def check_references(where, container, known):
    for source in container.get("envFrom", []):
        for kind, name in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if name in source and (kind, source[name]["name"]) not in known:
                complain(where, f"{kind} {source[name]['name']} is not there")


def check_pod(where, workload, user, known):
    template = need(where, workload, "spec", "template")
    if not workload["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items():
        complain(where, "its selector does not select its pods")
    pod = template["spec"]
    volumes = check_volumes(where, pod, containers(pod))
    check_runtime(where, pod, containers(pod), volumes)
    for container in containers(pod):
        at = f"{where}, {container['name']}"
        need(at, container, "image")
        for path in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            need(at, container, "resources", *path)
        check_security(at, pod, container)
        check_references(at, container, known)
        if container["name"] == "gateway" and mib(container["resources"]["limits"]["memory"]) < BUDGET_MIB:
            complain(at, "its memory limit is less than its lanes may take")
        if container["name"] == "tokenringd":
            check_probes(at, container)
            annotations = template["metadata"]["annotations"]
            if annotations["prometheus.io/port"] != str(container["ports"][0]["containerPort"]):
                complain(at, "the annotation's port is not its port")
            if [pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")] != [*user, user[1]]:
                complain(at, f"does not run as the image's user, {user}")
            if mib(container["resources"]["limits"]["memory"]) < 2 * BOARD_MIB:
                complain(at, "its memory limit is less than the board and itself take")


def check_meeting(workloads):
    """What is on nodes is one folder for all."""
    paths = set()
    for _, workload in workloads:
        for volume in workload["spec"]["template"]["spec"]["volumes"]:
            if volume["name"] == "runtime" and "hostPath" in volume:
                paths.add(volume["hostPath"]["path"])
    if len(paths) != 1:
        complain("deploy/kubernetes", f"runtime directories on nodes are {sorted(paths)}: all are to meet in one")


def check_monitor(where, monitor, workloads):
    label = monitor["spec"]["selector"]["matchLabels"]
    for workload in workloads:
        template = workload["spec"]["template"]
        names = [container["name"] for container in containers(template["spec"])]
        if (label.items() <= template["metadata"]["labels"].items()) != ("tokenringd" in names):
            complain(where, f"it and the labels of {workload['kind']} {workload['metadata']['name']} do not agree")
        for container in (each for each in containers(template["spec"]) if each["name"] == "tokenringd"):
            if monitor["spec"]["podMetricsEndpoints"][0]["port"] not in [port["name"] for port in container["ports"]]:
                complain(where, f"asks on a port that {workload['kind']} {workload['metadata']['name']} does not have")
    rules = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    jobs = [rule["replacement"] for rule in rules if rule["targetLabel"] == "job"]
    if jobs != ["tokenring"]:
        complain(where, "the job is not named tokenring, by which the rules know it")


def main():
    root = sys.argv[1]
    documents = []
    for path in sorted(glob.glob(f"{root}/deploy/kubernetes/*.yml")):
        with open(path, encoding="utf-8") as file:
            documents += [(os.path.basename(path), document) for document in yaml.safe_load_all(file)]
    for where, document in documents:
        for field in (("apiVersion",), ("kind",), ("metadata", "name")):
            need(where, document, *field)
    known = {(document["kind"], document["metadata"]["name"]) for _, document in documents}
    workloads = [(where, document) for where, document in documents if document["kind"] in ("Deployment", "DaemonSet")]
    for where, document in workloads:
        check_pod(f"{where}, {document['kind']} {document['metadata']['name']}", document, image_user(root), known)
    check_meeting(workloads)
    for where, document in documents:
        if document["kind"] == "PodMonitor":
            check_monitor(where, document, [workload for _, workload in workloads])
    first = [container for _, document in workloads for container in document["spec"]["template"]["spec"].get("initContainers", [])]
    sidecars = [container for container in first if container["name"] == "tokenringd"]
    if [container.get("restartPolicy") for container in sidecars] != ["Always"]:
        complain("deploy/kubernetes", "the sidecar is not a native one: an initContainer with restartPolicy: Always")
    print(f"{len(documents)} documents")
    return 1 if bad or not documents else 0


sys.exit(main())
