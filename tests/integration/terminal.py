# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal: a pseudo-terminal, and pyte (Debian's python3-pyte) for what a screen would show of it."""
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

DEADLINE_S = 180  # far beyond what a loaded machine needs


class Failed(Exception):
    pass


class Terminal:
    def __init__(self, columns, rows, argv, env):
        self.master, self.slave = os.openpty()
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(argv, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env, preexec_fn=self._own)

    def _own(self):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def resize(self, columns, rows):
        """As a window manager would: the size, then SIGWINCH by the kernel."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def take(self, seconds):
        """Feeds the screen with what comes within so long."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        self.raw += data
        self.stream.feed(data)
        return True

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def wait(self, what, condition):
        """Until the screen is so, and nothing comes any more for a moment."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            quiet = time.monotonic() + 1  # or what is shown then: on a loaded machine there may be no quiet moment
            while time.monotonic() < quiet and self.take(0.05):
                pass
            if condition(self.lines()):
                return self.lines()
            if self.process.poll() is not None:
                raise Failed("%s: it has ended with %s:\n%s" % (what, self.process.returncode, self.text()))
        raise Failed("%s: not within %d s:\n%s" % (what, DEADLINE_S, self.text()))

    def wait_bytes(self, what, data):
        """Until it has written so."""
        end = time.monotonic() + DEADLINE_S
        while data not in self.raw:
            self.take(0.05)
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed("%s: not written:\n%s" % (what, self.text()))

    def end(self, what, code):
        """Until it has ended, with this exit code, or -signal."""
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < end:
            self.take(0.05)
        while self.take(0.05):
            pass
        if self.process.poll() is None:
            self.process.kill()
            raise Failed("%s: it does not end:\n%s" % (what, self.text()))
        if self.process.returncode != code:
            raise Failed("%s: it ended with %d instead of %d:\n%s" % (what, self.process.returncode, code, self.text()))

    def is_as_before(self, what):
        """Line settings as they were, the cursor shown, the screen behind left."""
        after = termios.tcgetattr(self.slave)
        if after != self.before:
            raise Failed("%s: the terminal is set otherwise: %s, before %s" % (what, after, self.before))
        if b"\x1b[?1049h" in self.raw and self.raw.rfind(b"\x1b[?1049l") < self.raw.rfind(b"\x1b[?1049h"):
            raise Failed("%s: the screen is not the one before" % what)
        if b"\x1b[?25l" in self.raw and self.raw.rfind(b"\x1b[?25h") < self.raw.rfind(b"\x1b[?25l"):
            raise Failed("%s: the cursor is hidden" % what)

    def signal(self, number):
        self.process.send_signal(number)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            try:
                os.close(fd)
            except OSError:
                pass
