# SPDX-License-Identifier: Apache-2.0
"""
top_terminal.py COMMAND RUNTIME_DIR: drives `tokenring top` in a pseudo-terminal while gateways record, and looks at what a screen shows:
100 columns and 40, sizes that change, keys, and that the terminal is left as it was, whatever ends the command. Prints what is wrong.
"""
import os
import re
import signal
import sys
import time

from terminal import Failed, Terminal

WIDE = (100, 30)
NARROW = (40, 15)


def start(size, more=(), term="linux", **environment):
    """As the terminal that pyte emulates, where the screen is looked at; xterm has an alternate screen to leave."""
    env = {"PATH": os.environ["PATH"], "TERM": term, "TOKENRING_RUNTIME_DIR": sys.argv[2], "LC_ALL": "C.UTF-8"}
    env.update(environment)
    return Terminal(*size, [sys.argv[1], "top", "--interval", "0.3", *more], env)


def has(text):
    return lambda lines: any(text in line for line in lines)


def line_of(lines, begin):
    for line in lines:
        if line.startswith(begin):
            return line
    raise Failed("no line begins with %s:\n%s" % (begin, "\n".join(lines)))


def column(lines, pattern):
    return [line.split()[0] for line in lines if re.match(pattern, line)]


def check(what, condition, lines):
    if not condition:
        raise Failed("%s:\n%s" % (what, "\n".join(lines)))


def figures_are_there(lines):
    """Rates are known from the second look on."""
    return any(re.match(r"calls/s [1-9]", line) for line in lines)


def wide(terminal):
    lines = terminal.wait("figures at 100 columns", figures_are_there)
    check("title", lines[0].startswith("tokenring top ") and "collector" in lines[0] and "every 0.3 s" in lines[0], lines)
    check("keys", "q quit" in lines[29] and "6 sink" in lines[29], lines)
    heading = line_of(lines, "account ")
    check("columns", "tokens/s*" in heading and heading.endswith("ms/call") and len(heading) <= 100, lines)
    check("users", len(column(lines, "user-")) >= 5, lines)
    check("models", "model" in line_of(lines, "model ") and has("gpt-4o")(lines), lines)
    check("regions", has("region ")(lines) and has("integration_int")(lines), lines)
    check("law", "holds" in line_of(lines, "offered"), lines)
    check("sink", "takes usage" in line_of(lines, "sink"), lines)
    check("wide characters stay in their columns", len(line_of(lines, "\u65e5")) <= 100, lines)
    check("nothing turns a line", "\u202e" not in terminal.text(), lines)


def narrow(terminal):
    terminal.resize(*NARROW)
    lines = terminal.wait("figures at 40 columns", lambda lines: "q quit" in lines[14] and figures_are_there(lines))
    heading = line_of(lines, "account ")
    check("columns", heading.endswith("tokens") and "tokens/s*" in heading and len(heading) <= 40, lines)
    check("users", len(column(lines, "user-")) >= 2, lines)
    check("title", lines[0].endswith("every 0.3 s"), lines)


def sizes(terminal):
    """Smaller than anything fits, and back."""
    for columns, rows in ((20, 4), (5, 2), (1, 1), (220, 60), WIDE):
        terminal.resize(columns, rows)
        terminal.wait("%d columns and %d rows" % (columns, rows), lambda lines: len(lines) == rows)
    terminal.wait("100 columns again", lambda lines: "6 sink" in lines[29] and figures_are_there(lines))


def keys(terminal):
    terminal.press("1n")
    lines = terminal.wait("sorted by name", has("account*"))
    users = column(lines, "user-")
    check("sorted by name", users == sorted(users) and len(users) > 15, lines)
    terminal.press("r")
    lines = terminal.wait("the other way round", lambda lines: column(lines, "user-") == sorted(column(lines, "user-"), reverse=True))
    terminal.press("m")
    lines = terminal.wait("sorted by tokens in all", has("tokens* "))
    terminal.press("c")
    terminal.wait("sorted by calls", has("calls/s*"))
    terminal.press("t")
    terminal.wait("sorted by rate", has("tokens/s*"))
    terminal.press("n")
    lines = terminal.wait("sorted by name", has("account*"))
    first = column(lines, "user-")[0]
    terminal.press("\x1b[B\x1bOB")  # an arrow down as both kinds of terminals send it
    terminal.wait("scrolled", lambda lines: column(lines, "user-")[0] > first)
    terminal.press("\x1b[1~\x1b[H\x1bOH")  # Home, the same
    terminal.wait("scrolled back", lambda lines: column(lines, "user-")[0] == first)
    terminal.press("t")
    terminal.wait("sorted by rate", has("tokens/s*"))


def parts(terminal):
    for key, heading in (("2", "model"), ("3", "region"), ("4", "near a limit"), ("5", "not counted"), ("1", "account")):
        terminal.press(key)
        terminal.wait("part " + key, lambda lines: sum(line.startswith(heading) for line in lines) == 1)
    terminal.press("6")
    terminal.wait("part 6", has("so since"))
    terminal.press("\t")
    terminal.wait("all parts again", lambda lines: has("model ")(lines) and has("region ")(lines))


def filters(terminal):
    terminal.press("1/user-0x\x7f3")
    terminal.wait("a filter being typed", lambda lines: lines[-1].startswith("/user-03_"))
    terminal.press("\r")
    lines = terminal.wait("a filter", has('only names with "user-03"'))
    check("one user", column(lines, "user-") == ["user-03"] and "1/" in line_of(lines, "account"), lines)
    terminal.press("/")
    terminal.wait("the filter again", lambda lines: lines[-1].startswith("/user-03_"))
    terminal.press("\x1b")
    terminal.wait("no filter", lambda lines: len(column(lines, "user-")) > 15)


def help_and_pause(terminal):
    terminal.press("h")
    terminal.wait("help", has("look less often"))
    terminal.press("x")
    terminal.wait("no help", has("account"))
    terminal.press(" ")
    lines = terminal.wait("paused", has("PAUSED"))
    time.sleep(1)
    again = terminal.wait("still paused", has("PAUSED"))
    check("nothing moves in a pause", lines == again, again)
    terminal.press(" ")
    terminal.wait("on again", lambda lines: not has("PAUSED")(lines))
    terminal.press("+")
    terminal.wait("slower", has("every 0.6 s"))


def quit_it(size):
    terminal = start(size, term="xterm-256color")
    try:
        terminal.wait_bytes("figures", b"offered")
        terminal.press("q")
        terminal.end("q", 0)
        terminal.is_as_before("q")
    finally:
        terminal.close()


def everything():
    terminal = start(WIDE, LINES="24", COLUMNS="80")  # of a shell that has seen another size
    try:
        wide(terminal)
        narrow(terminal)
        sizes(terminal)
        keys(terminal)
        parts(terminal)
        filters(terminal)
        help_and_pause(terminal)
        terminal.press("q")
        terminal.end("q", 0)
        terminal.is_as_before("q")
    finally:
        terminal.close()


def ended_by(what, how, code):
    terminal = start(WIDE, term="xterm-256color")
    try:
        terminal.wait_bytes("figures", b"offered")
        how(terminal)
        terminal.end(what, code)
        terminal.is_as_before(what)
    finally:
        terminal.close()


def endings():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        ended_by(number.name, lambda terminal, number=number: terminal.signal(number), -number)
    ended_by("Ctrl-C", lambda terminal: terminal.press("\x03"), -signal.SIGINT)
    if "SANITIZED" not in os.environ:  # which has a handler of its own
        for number in (signal.SIGSEGV, signal.SIGABRT):
            ended_by(number.name, lambda terminal, number=number: terminal.signal(number), -number)
    terminal = start(WIDE, ["--count", "2"], term="xterm-256color")
    try:
        terminal.end("--count 2", 0)
        terminal.is_as_before("--count 2")
    finally:
        terminal.close()


def gone():
    """The terminal's window is closed: nothing goes on drawing for nobody."""
    terminal = start(WIDE, term="xterm-256color")
    try:
        terminal.wait_bytes("figures", b"offered")
        os.close(terminal.slave)
        os.close(terminal.master)
        terminal.process.wait(30)
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def refused():
    for term in ("dumb", "no-such-terminal"):
        terminal = start(WIDE, term=term, ASAN_OPTIONS="detect_leaks=0")  # curses leaks where it refuses a terminal
        try:
            terminal.end(term, 2)
            check(term, "--once" in terminal.text(), terminal.lines())
            terminal.is_as_before(term)
        finally:
            terminal.close()


def main():
    try:
        everything()
        quit_it(NARROW)
        endings()
        gone()
        refused()
    except Failed as failure:
        print(failure)
        return 1
    print("all as it should be")
    return 0


sys.exit(main())
