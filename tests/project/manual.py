# SPDX-License-Identifier: Apache-2.0
# manual.py WHAT ROOT [PROGRAM]: what the manual's pages in ROOT/man say is true, by name:
#   daemon ROOT TOKENRINGD   tokenringd(8): the variables of --help and of README.md, with their numbers and values
#   command ROOT TOKENRING   tokenring(1): the subcommands and the options of each --help, none missing and none made up
#   metrics ROOT             tokenring-metrics(7): src/serve/metrics.def, and the counters, causes and results that are labels
#   library ROOT             libtokenring(3): the functions that the libraries export
#   layout ROOT PROGRAM      tokenring-layout(7): offsets and sizes as the program prints them: STRUCTURE FIELD OFFSET BYTES
# And for who writes them: draft ROOT TOKENRING COMMAND prints a section for tokenring(1), made of the command's --help.
import os
import re
import subprocess
import sys

bad = 0


def complain(text):
    global bad
    bad += 1
    print(text)


def read(*parts):
    with open(os.path.join(sys.argv[2], *parts), encoding="utf-8") as file:
        return file.read()


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.returncode} {done.stderr}")
    return done.stdout


def plain(text):
    """Text of a page without its markup."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\w)_(\S+?)_(?!\w)", r"\1", text.replace("*", "")))


def page(name):
    return read("man", f"{name}.scd")


def section(text, title):
    """What stands under a heading, "# FILES" or "## tokenring stat", up to the next of its rank."""
    rank = re.escape(title.split()[0])
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^{rank} |^# |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def entries(text):
    """{head: body} of tagged paragraphs: a line, then lines that begin with a tab."""
    return {head: body for head, body in re.findall(r"^(\*[^\n]*)\n((?:\t[^\n]*\n|\n(?=\t))+)", text, re.M)}


# --- tokenringd(8) ---


def numbers(text):
    return {number.replace(",", "") for number in re.findall(r"\b\d[\d,]*(?:\.\d+)*", text)} - {""}


def values(quoted):
    return {value for value in quoted if not re.fullmatch(r"[A-Z_]+", value)}


def readme_settings():
    """[(variables, text)] of README.md's table."""
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \| (.*) \|$", section(read("README.md"), "## Environment"), re.M)
    return [(re.findall(r"`(\w+)`", names), text) for names, text in rows]


def help_settings(text):
    """[(variable, text)] of the daemon's --help."""
    inside = text.split("Environment:\n")[1].split("\n\n")[0]
    return [(name, line) for line in inside.split("\n") for name in re.findall(r"\b(?:TOKENRING|REDIS|LOG|CALLBACK)_[A-Z_]+", line)]


def check_daemon():
    environment = section(page("tokenringd.8"), "# ENVIRONMENT")
    told = {name: body for head, body in entries(environment).items() for name in re.findall(r"\*(\w+)\*", head)}
    known = set()
    for names, text in readme_settings():
        known |= set(names)
        for name in set(names) - set(told):
            complain(f"tokenringd(8) does not have README.md's {name}: {text}")
        body = "".join({told.get(name, "") for name in names})
        quoted = re.findall(r"`([^`]+)`", text)
        differs = numbers(re.sub(r"`[^`]+`", "", text)) ^ numbers(re.sub(r"\*[^*]+\*", "", body))
        if body and differs:
            complain(f"{', '.join(names)}: numbers in README.md or in tokenringd(8), not in both: {', '.join(sorted(differs))}")
        differs = values(quoted) ^ values(re.findall(r"\*([^*]+)\*", body))
        if body and differs:
            complain(f"{', '.join(names)}: values in README.md or in tokenringd(8), not in both: {', '.join(sorted(differs))}")
    for name, text in help_settings(output(sys.argv[3], "--help")):
        known.add(name)
        differs = numbers(text.replace("..", " ")) - numbers(plain(told.get(name, "")))
        if name not in told:
            complain(f"tokenringd(8) does not have {name} of --help")
        elif differs:
            complain(f"{name}: --help has numbers that tokenringd(8) has not: {', '.join(sorted(differs))}")
    for name in set(told) - known:
        complain(f"tokenringd(8) has {name}, which neither README.md nor --help knows")
    print(f"{len(told)} variables")


# --- tokenring(1) ---


def commands():
    listed = output(sys.argv[3], "--help").split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\w[\w-]*) ", listed, re.M)


def options_of(command):
    """Options of a command's --help, and of those of its own subcommands."""
    text = output(sys.argv[3], *command, "--help")
    found = set(re.findall(r"^ +(--[a-z][a-z-]*)", text, re.M))
    further = set(re.findall(rf"^tokenring {command[0]} ([a-z]+)\b", text, re.M)) if len(command) == 1 else set()
    for name in further:
        found |= options_of([command[0], name])
    return found


def check_command():
    text = page("tokenring.1")
    there = commands()
    for command in there:
        inside = section(text, f"## tokenring {command}")
        if not inside:
            complain(f"tokenring(1) has no section \"## tokenring {command}\"; "
                     f"tests/project/manual.py draft ROOT TOKENRING {command} makes one")
            continue
        told = set(re.findall(r"\*(--[a-z][a-z-]*)", inside))
        for option in sorted(options_of([command]) - told):
            complain(f"tokenring(1), {command}: {option} of its --help is missing")
        for option in sorted(told - options_of([command])):
            complain(f"tokenring(1), {command}: {option} is not in its --help")
    for command in re.findall(r"^## tokenring (\S+)$", text, re.M):
        if command not in there:
            complain(f"tokenring(1) has a section of {command}, which is no subcommand")
    print(f"{len(there)} subcommands")


def draft(command):
    def escape(text):
        return re.sub(r"([*\\]|(?<!\w)_|_(?!\w))", r"\\\1", text)

    for paragraph in output(sys.argv[3], command, "--help").rstrip().split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0].startswith("tokenring "):
            print(f"## tokenring {command}\n")
            print(" ++\n".join(f"*tokenring {command}*" + escape(line[len(f'tokenring {command}'):]) for line in lines) + "\n")
        elif lines[0].startswith("Options:"):
            for name, value, text in re.findall(r"^  (--[a-z-]+)(\S* ?\S*)  +(.*(?:\n {8,}.*)*)", paragraph, re.M):
                print(f"*{name}*" + re.sub(r"(\w+)", r"_\1_", value.rstrip()))
                print("\t" + escape(re.sub(r"\n +", "\n\t", text)) + "\n")
        elif not lines[0].startswith("Exit codes:"):
            print(escape(paragraph) + "\n")


# --- tokenring-metrics(7) ---


def check_list(title, expected, what):
    there = entries(section(page("tokenring-metrics.7"), title))
    told = [(plain(head), " ".join(plain(body).split())) for head, body in there.items()]
    for head, body in expected:
        if (head, body) not in told:
            complain(f"tokenring-metrics(7), {title}: is to have of {what}:\n*{head}*\n\t{body}")
    for head, body in told:
        if (head, body) not in expected:
            complain(f"tokenring-metrics(7), {title}: has what is not in {what}: {head}: {body}")
    if told != expected and not bad:
        complain(f"tokenring-metrics(7), {title}: is in another order than {what}")
    print(f"{len(told)} of {what}")


def definitions(path, macro, pattern):
    return re.findall(rf"^{macro}\({pattern}\)$", read("src", path), re.M)


def check_metrics():
    rows = definitions("serve/metrics.def", "TKR_METRIC", r'\w+, (\w+), "(\w+)", "([^"]*)", "((?:[^"\\]|\\.)*)"')
    heads = [f"{name} {kind.lower()}" + (f" {{{labels}}}" if labels else "") for kind, name, labels, _ in rows]
    check_list("# METRICS", list(zip(heads, [text for _, _, _, text in rows])), "src/serve/metrics.def")
    for label in sorted({label for _, _, labels, _ in rows for label in labels.split(", ") if label}):
        if f"*{label}*" not in section(page("tokenring-metrics.7"), "# LABELS"):
            complain(f"tokenring-metrics(7) does not say what the label {label} is")
    rows = definitions("event/contradictions.def", "TKR_CONTRADICTION", r'\w+, (\w+), "([^"]*)"')
    check_list("## Contradictions", [(key, text) for key, text in rows], "src/event/contradictions.def")
    header = re.sub(r"\s+", " ", read("include", "tokenring", "callback.h"))
    for key, text in rows:
        if f"uint64_t {key}; /* {text} */" not in header:
            complain(f"include/tokenring/callback.h, tkr_callback_stat: is to have: uint64_t {key}; /* {text} */")
    rows = definitions("base/counters.def", "TKR_COUNTER", r"\w+, (\w+), '.', \"([^\"]*)\"")
    check_list("## Counters", [(name, text) for name, text in rows], "src/base/counters.def")
    rows = definitions("base/drops.def", "TKR_DROP", r'\w+, (\w+), "([^"]*)"')
    check_list("## Causes", [(key, text) for key, text in rows], "src/base/drops.def")
    rows = definitions("base/errors.def", "TKR_RESULT", r'\w+, (\w+), "([^"]*)"')
    check_list("## Reasons", [(key, text) for key, text in rows[1:]], "src/base/errors.def")


# --- libtokenring(3), tokenring-layout(7) ---


def check_library():
    text = page("libtokenring.3")
    exported = read("src", "libtokenring.map") + read("src", "libtokenring_repository.map")
    functions = re.findall(r"\b(tkr_\w+);", exported)
    for name in functions:
        if f"*{name}*" not in text:
            complain(f"libtokenring(3) does not name {name}")
    for name in set(re.findall(r"\*(tkr_\w+)\*\(", text)) - set(functions):
        complain(f"libtokenring(3) names {name}, which is not exported")
    print(f"{len(functions)} functions")


def fields_of(structure):
    """Names of the fields that a header gives a structure, those of unions in it too."""
    for path in ("region/layout.h", "region/call.h", "ring/lane.h", "event/frame.h", "table/layout.h", "limit/layout.h"):
        found = re.search(rf"^struct {structure} \{{\n(.*?)^\}};", read("src", path), re.M | re.S)
        if found:
            return re.findall(r"(\w+)(?:\[[^\]]*\])*;", re.sub(r"/\*.*?\*/", "", found[1], flags=re.S))
    return []


def check_layout():
    laid = output(sys.argv[3])
    places = {(name, field): (offset, size) for name, field, offset, size in re.findall(r"^(\w+) (\w+) (\d+) (\d+)$", laid, re.M)}
    sizes = {name: f"{size} bytes" for name, size in re.findall(r"^(\w+) (\d+)$", laid, re.M)}
    sizes.update({name: f"layout {version}" for name, version in re.findall(r"^(\w+) (\d+\.\d+)$", laid, re.M)})
    told = {}
    tables = re.findall(r"^## [^\n]*\((tkr_\w+)\)(?:, ([^\n]*))?\n(.*?)(?=^#|\Z)", page("tokenring-layout.7"), re.M | re.S)
    for title, size, table in tables:
        rows = re.findall(r"^\|. (\d+)\n:  (\d+)\n:  \*(\w+)\*", table, re.M)
        told.update({(title, field): (offset, size) for offset, size, field in rows})
        if size != sizes.get(title, ""):
            complain(f"tokenring-layout(7): {title} is told to have \"{size}\", and has \"{sizes.get(title, '')}\"")
        for field in fields_of(title):
            if (title, field) not in places:
                complain(f"tests/project/layout.c does not print {title}.{field}")
    for key, place in places.items():
        if told.get(key) != place:
            complain(f"tokenring-layout(7): {key[0]}.{key[1]} is at {place[0]}, {place[1]} bytes; the page has {told.get(key)}")
    for key in set(told) - set(places):
        complain(f"tokenring-layout(7): {key[0]}.{key[1]} is not printed by tests/project/layout.c")
    print(f"{len(told)} fields")


WHAT = {"daemon": check_daemon, "command": check_command, "metrics": check_metrics, "library": check_library,
        "layout": check_layout}
if sys.argv[1] == "draft":
    draft(sys.argv[4])
else:
    WHAT[sys.argv[1]]()
sys.exit(1 if bad else 0)
