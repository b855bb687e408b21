/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal that is given back as it was found, whatever ends the program that draws on it: its end, SIGINT, SIGTERM, SIGHUP and
 * SIGQUIT, which are noted and left to it, and the signals of its own mistakes. Nothing helps against SIGKILL.
 */
#ifndef TOOLS_COMMAND_TOP_TERMINAL_H
#define TOOLS_COMMAND_TOP_TERMINAL_H

/* Notes how the terminal of standard input is set, and handles the signals. Before curses begins: it leaves them as they are then. */
void tkr_terminal_save(void);

/* The signal that asked the program to end; 0: none has. */
int tkr_terminal_signal(void);

/* Sets the terminal, and the signals, as they were. After curses has ended. Returns the signal that asked the program to end, or 0. */
int tkr_terminal_restore(void);

#endif
