/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/screen.h"

#include "command/command.h"

#define NO_SCREEN "--once prints one picture as text, --json one object for each look"

#ifndef TOKENRING_NCURSES

int tkr_top_screen(struct tkr_top_options *options)
{
    return tkr_command_wrong(options->command, "this program was built without ncurses: " NO_SCREEN);
}

#else

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "command/top/terminal.h"

#define ESCAPE 27
#define ENTER '\n'
#define ERASE 127
#define ESCAPE_DELAY_MS 50 /* after Esc, until it is known to be no arrow */
#define ALARM_COLOURS 1
#define SECOND_LOOK_S 0.5 /* after the first, which knows no rates */
#define INTERVAL_MIN_S 0.125
#define INTERVAL_MAX_S 3600

struct screen {
    struct tkr_top_options *options;
    struct tkr_top_wish *wish; /* the options' */
    struct tkr_top_look look;
    struct tkr_top_picture picture;
    int64_t next_ns; /* when to look again */
    int64_t looks;
    bool ended;
    bool typing; /* a filter */
    char typed[TKR_TOP_FILTER_BYTES];
    tkr_message message; /* why it ended */
    int exit_code;
};

/* --- drawing --- */

static chtype attributes(enum tkr_top_style style)
{
    switch (style) {
    case TKR_TOP_TITLE:
    case TKR_TOP_FOOT:
        return A_REVERSE;
    case TKR_TOP_HEADING:
        return A_BOLD | A_UNDERLINE;
    case TKR_TOP_ALARM:
        return A_BOLD | (has_colors() ? (chtype)COLOR_PAIR(ALARM_COLOURS) : 0);
    case TKR_TOP_PLAIN:
        break;
    }
    return A_NORMAL;
}

/* The reason is in screen->message. */
static void fail(struct screen *screen)
{
    screen->ended = true;
    screen->exit_code = TKR_COMMAND_FAILED;
}

/* What is typed stands in the last line. */
static const char *prompt(const struct screen *screen, char *ret_text)
{
    static const char begin[] = "/";

    if (!screen->typing)
        return NULL;
    (void)memcpy(ret_text, begin, sizeof(begin));
    (void)tkr_command_text_clean(screen->typed, strlen(screen->typed), ret_text + sizeof(begin) - 1);
    return strcat(ret_text, "_"); /* NOLINT: the caller has room */
}

static void draw(struct screen *screen)
{
    char text[TKR_COMMAND_CLEAN_BYTES(TKR_TOP_FILTER_BYTES) + 2];
    int rows = getmaxy(stdscr);
    int columns = getmaxx(stdscr);

    if (rows < 1 || columns < 1)
        return;
    screen->wish->prompt = prompt(screen, text);
    if (!tkr_top_picture_draw(&screen->look, screen->wish, (size_t)columns, (size_t)rows, &screen->picture)) {
        (void)tkr_message_set(&screen->message, "there is no memory for the picture"); /* -1 tells nothing more */
        fail(screen);
        return;
    }
    (void)erase(); /* curses fails where a window is too small: then there is nothing to draw */
    for (size_t i = 0; i < screen->picture.count; i++) {
        (void)attrset((int)attributes(screen->picture.line[i].style));
        (void)mvaddstr((int)i, 0, screen->picture.line[i].text);
    }
    (void)attrset(A_NORMAL);
    (void)refresh();
}

/* --- keys --- */

static void scroll_to(struct screen *screen, size_t first)
{
    screen->wish->first = first < screen->picture.rows ? first : screen->picture.rows > 0 ? screen->picture.rows - 1 : 0;
}

static void scroll_by(struct screen *screen, size_t rows, bool down)
{
    size_t first = screen->wish->first;

    scroll_to(screen, down ? first + rows : first > rows ? first - rows : 0);
}

static void show_part(struct screen *screen, enum tkr_top_part part)
{
    screen->wish->part = part;
    screen->wish->first = 0;
}

static void sort_by(struct screen *screen, enum tkr_top_key key)
{
    screen->wish->order.key = key;
    screen->wish->order.reversed = false;
    screen->wish->first = 0;
}

/* The interval, doubled or halved, from now on. */
static void pace(struct screen *screen, bool slower)
{
    double seconds = screen->wish->interval_s * (slower ? 2 : 0.5);

    if (seconds >= INTERVAL_MIN_S && seconds <= INTERVAL_MAX_S)
        screen->wish->interval_s = seconds;
    screen->next_ns = tkr_clock_monotonic_ns() + (int64_t)(screen->wish->interval_s * (double)TKR_NS_PER_S);
}

static void type_filter(struct screen *screen, int key)
{
    size_t len = strlen(screen->typed);

    if (key == ENTER || key == '\r' || key == KEY_ENTER) {
        (void)strcpy(screen->wish->order.filter, screen->typed); /* NOLINT: as long */
        screen->wish->first = 0;
        screen->typing = false;
    } else if (key == ESCAPE) {
        screen->wish->order.filter[0] = '\0';
        screen->typing = false;
    } else if (key == KEY_BACKSPACE || key == ERASE || key == '\b') {
        screen->typed[len > 0 ? len - 1 : 0] = '\0';
    } else if (key >= ' ' && key <= 0xff && len + 1 < sizeof(screen->typed)) {
        screen->typed[len] = (char)key;
        screen->typed[len + 1] = '\0';
    }
}

static bool scroll_key(struct screen *screen, int key)
{
    size_t page = (size_t)getmaxy(stdscr) / 2 + 1;

    switch (key) {
    case KEY_DOWN:
    case KEY_UP:
        scroll_by(screen, 1, key == KEY_DOWN);
        return true;
    case KEY_NPAGE:
    case KEY_PPAGE:
        scroll_by(screen, page, key == KEY_NPAGE);
        return true;
    case KEY_HOME:
        scroll_to(screen, 0);
        return true;
    case KEY_END:
        scroll_to(screen, SIZE_MAX);
        return true;
    default:
        return false;
    }
}

static bool sort_key(struct screen *screen, int key)
{
    static const char keys[TKR_TOP_KEY_COUNT + 1] = "tceumn"; /* in the order of enum tkr_top_key */
    const char *at = key > 0 && key < 0x80 ? strchr(keys, key) : NULL;

    if (at != NULL)
        sort_by(screen, (enum tkr_top_key)(at - keys));
    else if (key == 'r')
        screen->wish->order.reversed = !screen->wish->order.reversed;
    return at != NULL || key == 'r';
}

static bool part_key(struct screen *screen, int key)
{
    if (key >= '1' && key < '0' + TKR_TOP_PART_COUNT)
        show_part(screen, (enum tkr_top_part)(key - '0'));
    else if (key == 'a' || key == '0')
        show_part(screen, TKR_TOP_ALL);
    else if (key == '\t')
        show_part(screen, (enum tkr_top_part)((screen->wish->part + 1) % TKR_TOP_PART_COUNT));
    else
        return false;
    return true;
}

static void press(struct screen *screen, int key)
{
    if (key == KEY_RESIZE)
        return; /* the next picture has the size */
    if (screen->typing) {
        type_filter(screen, key);
        return;
    }
    if (screen->wish->help) {
        screen->wish->help = false; /* whatever the key: but q */
        screen->ended = key == 'q';
        return;
    }
    if (part_key(screen, key) || sort_key(screen, key) || scroll_key(screen, key))
        return;
    if (key == 'q')
        screen->ended = true;
    else if (key == 'h' || key == '?')
        screen->wish->help = true;
    else if (key == '/')
        (void)strcpy(screen->typed, screen->wish->order.filter), screen->typing = true; /* NOLINT: as long */
    else if (key == '+' || key == '-')
        pace(screen, key == '+');
    else if (key == ' ' || key == 'p')
        screen->wish->paused = !screen->wish->paused;
}

/* --- the loop --- */

static void look_again(struct screen *screen)
{
    int taken = tkr_top_look_safely(screen->options, &screen->look, &screen->message);
    double wait_s = screen->looks++ == 0 ? SECOND_LOOK_S : screen->wish->interval_s;

    if (taken > 0 || (taken < 0 && screen->look.time_ns == 0)) /* one that cannot be taken now and then is told in the picture */
        fail(screen);
    if (wait_s > screen->wish->interval_s)
        wait_s = screen->wish->interval_s;
    screen->next_ns = tkr_clock_monotonic_ns() + (int64_t)(wait_s * (double)TKR_NS_PER_S);
}

/* Waits for a key, a signal or the next look. false: nobody is there any more. */
static bool wait_for_something(const struct screen *screen)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left_ns = screen->next_ns - tkr_clock_monotonic_ns();
    int timeout_ms = left_ns <= 0 ? 0 : (int)(left_ns / TKR_NS_PER_MS) + 1;
    int ready = poll(&input, 1, screen->wish->paused ? -1 : timeout_ms);

    return (ready >= 0 || errno == EINTR) && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

static void run(struct screen *screen)
{
    int key;

    while (!screen->ended && tkr_terminal_signal() == 0) {
        if (!screen->wish->paused && tkr_clock_monotonic_ns() >= screen->next_ns)
            look_again(screen);
        if (!screen->ended)
            draw(screen);
        /* The first look is not counted: it knows no rates. */
        if (!screen->ended &&
            ((screen->options->count > 0 && screen->looks > screen->options->count) || !wait_for_something(screen)))
            screen->ended = true;
        while (!screen->ended && (key = getch()) != ERR)
            press(screen, key);
    }
}

static void set_up(void)
{
    (void)cbreak(); /* what a terminal cannot do it does without */
    (void)noecho();
    (void)nonl();
    (void)keypad(stdscr, TRUE);
    (void)nodelay(stdscr, TRUE);
    (void)set_escdelay(ESCAPE_DELAY_MS);
    (void)curs_set(0);
    if (has_colors()) {
        (void)start_color();
        (void)use_default_colors();
        (void)init_pair(ALARM_COLOURS, COLOR_RED, -1);
    }
}

/* A terminal that curses can draw on. NULL: it cannot. */
static SCREEN *open_terminal(void)
{
    SCREEN *terminal;

    (void)unsetenv("LINES"); /* which an older size left: curses would keep to it */
    (void)unsetenv("COLUMNS");
    terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL)
        return NULL;
    if (tigetstr("cup") != NULL) /* else it cannot even put the cursor somewhere */
        return terminal;
    (void)endwin();
    delscreen(terminal);
    return NULL;
}

/* Draws until it ends. Returns the exit code; what ended it has been told. */
static int show(struct screen *screen)
{
    const char *command = screen->options->command;
    SCREEN *terminal;
    int signal_number;

    look_again(screen);
    if (screen->ended)
        return tkr_command_failed(command, "%s", screen->message.text);
    tkr_terminal_save();
    terminal = open_terminal();
    if (terminal == NULL) {
        (void)tkr_terminal_restore(); /* nothing has been drawn: a signal may as well be too early */
        return tkr_command_wrong(command, "curses does not know this terminal (TERM), or cannot draw on it: " NO_SCREEN);
    }
    set_up();
    run(screen);
    (void)endwin();
    delscreen(terminal);
    signal_number = tkr_terminal_restore();
    if (signal_number != 0)
        (void)raise(signal_number); /* who started this sees what ended it */
    return screen->exit_code == TKR_COMMAND_OK ? TKR_COMMAND_OK : tkr_command_failed(command, "%s", screen->message.text);
}

int tkr_top_screen(struct tkr_top_options *options)
{
    struct screen screen = {.options = options, .wish = &options->wish};
    int exit_code;

    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
        return tkr_command_wrong(options->command, "this is no terminal: " NO_SCREEN);
    exit_code = show(&screen);
    tkr_top_picture_free(&screen.picture);
    tkr_top_look_free(&screen.look);
    return exit_code;
}

#endif
