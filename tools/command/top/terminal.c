/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/terminal.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* What xterm, and all that are like it, take for: plain characters, a cursor that is seen, keys as usual, the screen as it was. What
 * a terminal does not know it passes over; nothing else is to be had in a handler. */
#define AS_IT_WAS "\033[0m\033[?25h\033[?1l\033>\033[?1049l\r\n"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int fatal[] = {SIGSEGV, SIGABRT, SIGFPE, SIGILL};
static struct sigaction before[COUNT(asking) + COUNT(fatal)];
static struct termios settings;
static bool saved;
static volatile sig_atomic_t asked;

static void on_asking(int number)
{
    asked = number;
}

/* Functions here are those that may be called in a handler (signal-safety(7)). */
static void on_fatal(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, AS_IT_WAS, sizeof(AS_IT_WAS) - 1);

    (void)ignored; /* there is nobody to tell */
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &settings);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void handle(int number, void (*handler)(int), struct sigaction *ret_before)
{
    struct sigaction action;

    (void)sigaction(number, NULL, ret_before);
    if (ret_before->sa_handler != SIG_DFL)
        return; /* ignored, or somebody's who knows better */
    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    (void)sigaction(number, &action, NULL);
}

void tkr_terminal_save(void)
{
    saved = tcgetattr(STDIN_FILENO, &settings) == 0;
    for (size_t i = 0; i < COUNT(asking); i++)
        handle(asking[i], on_asking, &before[i]);
    for (size_t i = 0; saved && i < COUNT(fatal); i++)
        handle(fatal[i], on_fatal, &before[COUNT(asking) + i]);
}

int tkr_terminal_signal(void)
{
    return asked;
}

int tkr_terminal_restore(void)
{
    if (saved)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &settings); /* gone: then so is what there was to set */
    for (size_t i = 0; i < COUNT(asking); i++)
        (void)sigaction(asking[i], &before[i], NULL);
    for (size_t i = 0; saved && i < COUNT(fatal); i++)
        (void)sigaction(fatal[i], &before[COUNT(asking) + i], NULL);
    saved = false;
    return asked;
}
