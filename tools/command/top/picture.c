/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/picture.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "command/moment.h"
#include "command/number.h"
#include "command/sink_health.h"
#include "command/top/cells.h"

#define WIDE 76         /* columns from which figures are written out */
#define PART_ROWS_MIN 3 /* of each part, before one gets more */
#define GAP 2           /* columns between two things that are said */

/* A picture under way. */
struct drawing {
    const struct tkr_top_look *look;
    const struct tkr_top_wish *wish;
    const struct tkr_top_sheet *sheet;
    struct tkr_top_picture *picture;
    size_t columns;
    size_t rows;                                                 /* 0: as many as it takes */
    bool failed;                                                 /* no memory */
    char said[TKR_COMMAND_CLEAN_BYTES(2 * TKR_TOP_COLUMNS_MAX)]; /* things said on the line under way */
    enum tkr_top_style style;
};

/* --- lines --- */

static void put_line(struct drawing *drawing, enum tkr_top_style style, const char *text)
{
    struct tkr_top_picture *picture = drawing->picture;
    char fitted[TKR_COMMAND_FITTED_BYTES(TKR_TOP_COLUMNS_MAX)];
    size_t room = picture->room == 0 ? 64 : 2 * picture->room;
    struct tkr_top_picture_line *line = picture->line;

    if (picture->count == picture->room) {
        line = reallocarray(picture->line, room, sizeof(*line));
        if (line == NULL) {
            drawing->failed = true;
            return;
        }
        picture->line = line;
        picture->room = room;
    }
    tkr_command_text_fit(text, drawing->columns, fitted);
    line[picture->count].style = style;
    line[picture->count].text = strdup(fitted);
    drawing->failed |= line[picture->count].text == NULL;
    picture->count += line[picture->count].text != NULL;
}

/* Lines that are left of the screen, without the last one. */
static size_t lines_left(const struct drawing *drawing)
{
    if (drawing->rows == 0)
        return SIZE_MAX;
    return drawing->picture->count + 1 < drawing->rows ? drawing->rows - 1 - drawing->picture->count : 0;
}

/* --- what is said above the tables: things side by side, as many in a line as fit --- */

static void end_line(struct drawing *drawing)
{
    if (drawing->said[0] != '\0' && lines_left(drawing) > 0)
        put_line(drawing, drawing->style, drawing->said);
    drawing->said[0] = '\0';
}

/* Says a thing; one that is longer than a line is cut. */
static void say_text(struct drawing *drawing, enum tkr_top_style style, const char *text)
{
    size_t said = tkr_command_text_width(drawing->said);
    size_t width = tkr_command_text_width(text);

    if (said > 0 && (style != drawing->style || said + GAP + width > drawing->columns))
        end_line(drawing);
    drawing->style = style;
    if (drawing->said[0] != '\0')
        (void)snprintf(drawing->said + strlen(drawing->said), sizeof(drawing->said) - strlen(drawing->said), "%*s%s", GAP, "",
                       text);
    else
        (void)snprintf(drawing->said, sizeof(drawing->said), "%s", text);
}

static void say(struct drawing *drawing, enum tkr_top_style style, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct drawing *drawing, enum tkr_top_style style, const char *format, ...)
{
    char text[TKR_COMMAND_CLEAN_BYTES(TKR_TOP_COLUMNS_MAX)];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    say_text(drawing, style, text);
}

/* Says a sentence word by word, over as many lines as it takes. */
static void say_sentence(struct drawing *drawing, enum tkr_top_style style, const char *text)
{
    char line[TKR_COMMAND_CLEAN_BYTES(TKR_TOP_COLUMNS_MAX)] = "";
    char word[TKR_COMMAND_CLEAN_BYTES(TKR_TOP_COLUMNS_MAX)];

    end_line(drawing);
    while (*text != '\0') {
        size_t bytes = strcspn(text, " ");
        (void)snprintf(word, sizeof(word), "%.*s", (int)(bytes < sizeof(word) ? bytes : sizeof(word) - 1), text);
        if (line[0] != '\0' && tkr_command_text_width(line) + 1 + tkr_command_text_width(word) > drawing->columns) {
            say_text(drawing, style, line);
            end_line(drawing);
            line[0] = '\0';
        }
        if (strlen(line) + 1 + strlen(word) < sizeof(line))
            (void)snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", line[0] != '\0' ? " " : "", word);
        text += bytes + strspn(text + bytes, " ");
    }
    say_text(drawing, style, line);
    end_line(drawing);
}

static const char *count_text(const struct drawing *drawing, uint64_t count, char ret_text[TKR_COMMAND_MOMENT_BYTES])
{
    char text[TKR_COMMAND_NUMBER_BYTES];

    if (drawing->columns >= WIDE)
        (void)snprintf(ret_text, TKR_COMMAND_MOMENT_BYTES, "%" PRIu64, count);
    else
        (void)snprintf(ret_text, TKR_COMMAND_MOMENT_BYTES, "%s", tkr_command_unsigned(count, text));
    return ret_text;
}

static void say_title(struct drawing *drawing)
{
    const struct tkr_host_balance *balance = &drawing->look->balance;
    char time[TKR_COMMAND_MOMENT_BYTES];

    (void)tkr_command_moment(drawing->look->time_ns, time);
    say(drawing, TKR_TOP_TITLE, "tokenring top %.8sZ", strlen(time) == 20 ? time + 11 : time);
    if (balance->shard_count > 0 && drawing->columns >= WIDE)
        say(drawing, TKR_TOP_TITLE, "collector %016" PRIx64, balance->shard[0].name);
    if (drawing->wish->paused)
        say(drawing, TKR_TOP_TITLE, "PAUSED");
    else if (drawing->wish->interval_s > 0)
        say(drawing, TKR_TOP_TITLE, "every %g s", drawing->wish->interval_s);
    end_line(drawing);
    if (!balance->collector_running)
        say(drawing, TKR_TOP_ALARM, "the collector is not running");
    end_line(drawing);
    if (drawing->look->missed.text[0] != '\0')
        say_sentence(drawing, TKR_TOP_ALARM, drawing->look->missed.text);
}

/* Of what is there from the start, nothing is known to be new: a dash. */
static void say_rates(struct drawing *drawing)
{
    const struct tkr_top_look *look = drawing->look;
    const struct tkr_balance *host = &look->balance.host;
    bool wide = drawing->columns >= WIDE;
    char calls[TKR_COMMAND_NUMBER_BYTES] = "-";
    char tokens[TKR_COMMAND_NUMBER_BYTES] = "-";
    char text[TKR_COMMAND_MOMENT_BYTES];

    if (look->span_ns > 0) {
        uint64_t added = host->offered > look->before.offered ? host->offered - look->before.offered : 0;
        (void)tkr_command_rate(tkr_top_per_second(look, (int64_t)added), calls);
        (void)tkr_command_rate(tkr_top_per_second(look, look->rates.users_since.tokens), tokens);
    }
    say(drawing, TKR_TOP_PLAIN, "calls/s %s", calls);
    say(drawing, TKR_TOP_PLAIN, "%stokens/s %s", wide ? "users' " : "", tokens);
    say(drawing, TKR_TOP_PLAIN, "open%s %s", wide ? " calls" : "", count_text(drawing, host->open_calls, text));
    end_line(drawing);
}

static void say_law(struct drawing *drawing)
{
    const struct tkr_balance *host = &drawing->look->balance.host;
    enum tkr_top_style style = tkr_balance_holds(host) ? TKR_TOP_PLAIN : TKR_TOP_ALARM;
    char text[4][TKR_COMMAND_MOMENT_BYTES];

    say(drawing, style, "offered %s = counted %s", count_text(drawing, host->offered, text[0]),
        count_text(drawing, host->counted, text[1]));
    say(drawing, style, "+ in lanes %s + dropped %s: %s", count_text(drawing, host->in_lanes, text[2]),
        count_text(drawing, tkr_balance_dropped(host), text[3]), tkr_balance_holds(host) ? "holds" : "DOES NOT HOLD");
    end_line(drawing);
}

static void say_drops(struct drawing *drawing)
{
    const struct tkr_top_sheet *sheet = drawing->sheet;
    char text[TKR_COMMAND_MOMENT_BYTES];

    for (size_t i = 0; i < sheet->drops; i++) {
        const struct tkr_top_drop *drop = &sheet->drop[i];
        if (drop->calls > 0)
            say(drawing, strcmp(drop->what, "dropped") == 0 ? TKR_TOP_ALARM : TKR_TOP_PLAIN, "%s, %s: %s", drop->what,
                drop->cause, count_text(drawing, drop->calls, text));
    }
    end_line(drawing);
}

static void say_sink(struct drawing *drawing)
{
    const struct tkr_host_balance *balance = &drawing->look->balance;
    const struct tkr_health *health = balance->health;
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_MESSAGE_BYTES)];
    char text[2][TKR_COMMAND_MOMENT_BYTES];
    enum tkr_top_style style = TKR_TOP_PLAIN;
    const char *trouble;

    if (health == NULL)
        return;
    trouble = health->state == TKR_HEALTH_FAILING ? health->error : health->advice;
    if (trouble[0] != '\0' || health->parked > 0)
        style = TKR_TOP_ALARM;
    (void)tkr_command_text_clean(health->sink, strlen(health->sink), clean);
    if (drawing->columns >= WIDE)
        say(drawing, style, "sink %s: %s", clean, tkr_command_sink_state(health));
    else
        say(drawing, style, "sink: %s", tkr_command_sink_state(health));
    say(drawing, style, "waiting %s", count_text(drawing, tkr_command_sink_waiting(balance), text[0]));
    say(drawing, style, "parked %s", count_text(drawing, health->parked, text[1]));
    end_line(drawing);
    if (trouble[0] == '\0')
        return;
    (void)tkr_command_text_clean(trouble, strlen(trouble), clean);
    if (drawing->rows == 0 || drawing->wish->part == TKR_TOP_SINK)
        say_sentence(drawing, TKR_TOP_ALARM, clean);
    else
        say_text(drawing, TKR_TOP_ALARM, clean); /* cut at the line's end */
    end_line(drawing);
}

static void say_sink_more(struct drawing *drawing)
{
    const struct tkr_health *health = drawing->look->balance.health;
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_MESSAGE_BYTES)];
    char text[TKR_COMMAND_MOMENT_BYTES];

    if (health == NULL) {
        say_sentence(drawing, TKR_TOP_PLAIN, "no collector has said anything of a sink here");
        return;
    }
    (void)tkr_command_text_clean(health->sink, strlen(health->sink), clean);
    if (drawing->columns < WIDE)
        say_sentence(drawing, TKR_TOP_PLAIN, clean);
    say(drawing, TKR_TOP_PLAIN, "so since %s", tkr_command_moment(health->since_ns, text));
    say(drawing, TKR_TOP_PLAIN, "answered %s",
        health->answered_ns == 0 ? "never" : tkr_command_moment(health->answered_ns, text));
    say(drawing, TKR_TOP_PLAIN, "failed tries %" PRIu64, health->failures);
    end_line(drawing);
}

static void say_filter(struct drawing *drawing)
{
    const struct tkr_top_order *order = &drawing->wish->order;
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_TOP_FILTER_BYTES)];

    if (order->filter[0] == '\0')
        return;
    (void)tkr_command_text_clean(order->filter, strlen(order->filter), clean);
    say(drawing, TKR_TOP_PLAIN, "only names with \"%s\"", clean);
    end_line(drawing);
}

static void say_head(struct drawing *drawing)
{
    say_title(drawing);
    say_rates(drawing);
    say_law(drawing);
    if (drawing->wish->part != TKR_TOP_DROPS)
        say_drops(drawing);
    say_sink(drawing);
    if (drawing->wish->part == TKR_TOP_SINK)
        say_sink_more(drawing);
    say_filter(drawing);
}

/* --- tables --- */

static void put_table(struct drawing *drawing, enum tkr_top_part part, size_t first, size_t rows)
{
    char line[TKR_COMMAND_FITTED_BYTES(TKR_TOP_COLUMNS_MAX)];

    if (lines_left(drawing) == 0)
        return;
    tkr_top_line(drawing->sheet, part, TKR_TOP_HEADING_ROW, drawing->columns, line);
    put_line(drawing, TKR_TOP_HEADING, line);
    for (size_t i = first; i < first + rows && i < tkr_top_sheet_rows(drawing->sheet, part) && lines_left(drawing) > 0; i++) {
        tkr_top_line(drawing->sheet, part, i, drawing->columns, line);
        put_line(drawing, tkr_top_alarms(drawing->sheet, part, i) ? TKR_TOP_ALARM : TKR_TOP_PLAIN, line);
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many lines each part gets of those that are left: a few each, in their order, then the first ones what they can use. */
static void share_out(const struct drawing *drawing, size_t ret_rows[TKR_TOP_PART_COUNT])
{
    size_t left = lines_left(drawing);

    for (enum tkr_top_part part = TKR_TOP_ACCOUNTS; part < TKR_TOP_PART_COUNT; part++) {
        size_t rows = part == TKR_TOP_DROPS ? 0 : tkr_top_sheet_rows(drawing->sheet, part); /* the head says it */
        bool shown = rows > 0 && left > 2;

        ret_rows[part] =
            shown ? least(least(rows, drawing->wish->limit), left == SIZE_MAX ? rows : least(PART_ROWS_MIN, left - 1)) : 0;
        if (left != SIZE_MAX && shown)
            left -= 1 + ret_rows[part];
    }
    for (enum tkr_top_part part = TKR_TOP_ACCOUNTS; part < TKR_TOP_PART_COUNT && left != SIZE_MAX; part++) {
        size_t more = ret_rows[part] > 0 ? least(left, tkr_top_sheet_rows(drawing->sheet, part) - ret_rows[part]) : 0;

        ret_rows[part] += more;
        left -= more;
    }
}

static void put_all(struct drawing *drawing)
{
    size_t rows[TKR_TOP_PART_COUNT] = {0};

    share_out(drawing, rows);
    for (enum tkr_top_part part = TKR_TOP_ACCOUNTS; part < TKR_TOP_PART_COUNT; part++) {
        if (rows[part] > 0)
            put_table(drawing, part, 0, rows[part]);
    }
}

/* --- the keys --- */

static const char *const keys[] = {
    /* 40 columns and 13 lines at most */
    "a           all parts",
    "1 2 3       accounts, models, regions",
    "4 5 6       limits, drops, sink",
    "Tab         the next of these",
    "t c e u     by tokens/s, calls/s,",
    "            errors/s, USD/s",
    "m n r       by tokens, name; reversed",
    "/           only names with a text:",
    "            Enter takes it, Esc drops it",
    "arrows, pages, Home, End   scroll",
    "+ -         look less often, more often",
    "Space       pause",
    "q           quit",
};

static void put_help(struct drawing *drawing)
{
    if (lines_left(drawing) > 0)
        put_line(drawing, TKR_TOP_TITLE, "tokenring top: keys");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && lines_left(drawing) > 0; i++)
        put_line(drawing, TKR_TOP_PLAIN, keys[i]);
}

/* --- the picture --- */

static void clear(struct tkr_top_picture *picture)
{
    for (size_t i = 0; i < picture->count; i++)
        free(picture->line[i].text);
    picture->count = 0;
    picture->rows = 0;
}

static void put_foot(struct drawing *drawing)
{
    if (drawing->rows == 0)
        return;
    while (lines_left(drawing) > 0 && !drawing->failed)
        put_line(drawing, TKR_TOP_PLAIN, "");
    if (drawing->wish->prompt != NULL)
        put_line(drawing, TKR_TOP_FOOT, drawing->wish->prompt);
    else
        put_line(drawing, TKR_TOP_FOOT,
                 drawing->columns >= WIDE
                     ? "a all  1 accounts  2 models  3 regions  4 limits  5 drops  6 sink  / filter  h help  q quit"
                     : "a 1-6 parts  / filter  h help  q quit");
}

static void put_part(struct drawing *drawing)
{
    enum tkr_top_part part = drawing->wish->part;

    say_head(drawing);
    drawing->picture->rows = part == TKR_TOP_ALL ? 0 : tkr_top_sheet_matching(drawing->sheet, part);
    if (part == TKR_TOP_ALL)
        put_all(drawing);
    else if (part != TKR_TOP_SINK || drawing->picture->rows > 0) /* mostly nothing is parked */
        put_table(drawing, part, drawing->wish->first, drawing->rows == 0 ? drawing->wish->limit : SIZE_MAX / 2);
}

bool tkr_top_picture_draw(const struct tkr_top_look *look, const struct tkr_top_wish *wish, size_t columns, size_t rows,
                          struct tkr_top_picture *picture)
{
    struct tkr_top_sheet sheet;
    struct drawing drawing = {.look = look, .wish = wish, .sheet = &sheet, .picture = picture, .rows = rows};

    drawing.columns = columns < 1 ? 1 : least(columns, TKR_TOP_COLUMNS_MAX);
    clear(picture);
    drawing.failed = !tkr_top_sheet_open(look, &wish->order, wish->first + (rows == 0 ? wish->limit : rows), &sheet);
    if (!drawing.failed) {
        if (wish->help)
            put_help(&drawing);
        else
            put_part(&drawing);
        put_foot(&drawing);
    }
    tkr_top_sheet_close(&sheet);
    return !drawing.failed;
}

void tkr_top_picture_free(struct tkr_top_picture *picture)
{
    clear(picture);
    free(picture->line);
    *picture = (struct tkr_top_picture){.line = NULL};
}
