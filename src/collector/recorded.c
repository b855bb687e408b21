/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/recorded.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/log.h"
#include "tokenring/tokenring.h"

#define NO_LINE UINT32_MAX
#define CELLS_MIN 1024u
#define WAIT_NS TKR_NS_PER_S /* for room in the log, in a flush */
#define WAIT_POLL_NS TKR_NS_PER_MS

struct tkr_recorded_line {
    uint64_t kind;
    int64_t tokens;
    size_t id_at;
    uint32_t id_len;
    uint32_t cycle;
};

struct tkr_recorded_cell {
    uint64_t digest; /* of kind, cycle and id */
    uint32_t flush;
    uint32_t line; /* NO_LINE: it is of those beyond */
};

bool tkr_recorded_open(struct tkr_recorded *recorded, uint32_t lines_max)
{
    memset(recorded, 0, sizeof(*recorded));
    recorded->lines_max = lines_max;
    recorded->flush = 1;
    return tkr_random(&recorded->key, sizeof(recorded->key)); /* ids are strangers': they cannot be chosen to collide */
}

/* --- which accounts there are --- */

static uint64_t digest_of(const struct tkr_recorded *recorded, const struct tkr_contribution *item)
{
    struct {
        uint64_t kind;
        uint32_t cycle;
        char id[TKR_ID_BYTES_MAX + 1];
    } name = {.kind = item->kind, .cycle = item->cycle};

    memcpy(name.id, item->id, item->id_len);
    return tkr_digest(&recorded->key, &name, sizeof(name.kind) + sizeof(name.cycle) + item->id_len);
}

static bool is_of(const struct tkr_recorded *recorded, const struct tkr_recorded_cell *cell, uint64_t digest,
                  const struct tkr_contribution *item)
{
    const struct tkr_recorded_line *line;

    if (cell->digest != digest || cell->line == NO_LINE)
        return cell->digest == digest;
    line = &recorded->line[cell->line];
    return line->kind == item->kind && line->cycle == item->cycle && line->id_len == item->id_len &&
           memcmp(recorded->id + line->id_at, item->id, item->id_len) == 0;
}

/* The account's cell, or the free one that it would have: there is one. item NULL: the latter. */
static struct tkr_recorded_cell *find(const struct tkr_recorded *recorded, uint64_t digest, const struct tkr_contribution *item)
{
    uint32_t i = (uint32_t)digest & (recorded->cells - 1);

    while (recorded->cell[i].flush == recorded->flush && (item == NULL || !is_of(recorded, &recorded->cell[i], digest, item)))
        i = (i + 1) & (recorded->cells - 1);
    return &recorded->cell[i];
}

/* Half of the cells stay free. false: no memory. */
static bool cell_room(struct tkr_recorded *recorded)
{
    struct tkr_recorded old = *recorded;

    if (recorded->accounts < recorded->cells / 2)
        return true;
    recorded->cells = old.cells > 0 ? 2 * old.cells : CELLS_MIN;
    recorded->cell = calloc(recorded->cells, sizeof(*recorded->cell));
    if (recorded->cell == NULL) {
        *recorded = old;
        return false;
    }
    for (uint32_t i = 0; i < old.cells; i++) {
        if (old.cell[i].flush == old.flush)
            *find(recorded, old.cell[i].digest, NULL) = old.cell[i];
    }
    free(old.cell);
    return true;
}

/* --- lines --- */

static void *grow(void *array, size_t bytes)
{
    return realloc(array, 2 * bytes);
}

static bool line_room(struct tkr_recorded *recorded, uint32_t id_len)
{
    struct tkr_recorded_line *line;
    char *id;

    if (recorded->lines == recorded->line_room) {
        uint32_t room = recorded->lines + 64;
        line = grow(recorded->line, room * sizeof(*line));
        if (line == NULL)
            return false;
        recorded->line = line;
        recorded->line_room = 2 * room;
    }
    if (recorded->id_room - recorded->id_bytes < id_len) {
        size_t room = recorded->id_bytes + TKR_ID_BYTES_MAX;
        id = grow(recorded->id, room);
        if (id == NULL)
            return false;
        recorded->id = id;
        recorded->id_room = 2 * room;
    }
    return true;
}

/* A line of its own, if one is left. */
static uint32_t line_make(struct tkr_recorded *recorded, const struct tkr_contribution *item)
{
    struct tkr_recorded_line *line;

    if (recorded->lines == recorded->lines_max || !line_room(recorded, item->id_len))
        return NO_LINE;
    line = &recorded->line[recorded->lines];
    *line =
        (struct tkr_recorded_line){.kind = item->kind, .id_at = recorded->id_bytes, .id_len = item->id_len, .cycle = item->cycle};
    memcpy(recorded->id + line->id_at, item->id, item->id_len);
    recorded->id_bytes += item->id_len;
    return recorded->lines++;
}

static void add_to(int64_t *sum, int64_t tokens)
{
    if (__builtin_add_overflow(*sum, tokens, sum))
        *sum = INT64_MAX; /* of many accounts; each one fits */
}

void tkr_recorded_add(struct tkr_recorded *recorded, const struct tkr_contribution *item, int64_t tokens)
{
    struct tkr_recorded_cell *cell;
    uint64_t digest;

    if (recorded->lines_max == 0 || item->model_len > 0 || !tkr_log_wants(TKR_LOG_INFO))
        return;
    if (!cell_room(recorded)) {
        recorded->more_accounts++;
        add_to(&recorded->more_tokens, tokens);
        return;
    }
    digest = digest_of(recorded, item);
    cell = find(recorded, digest, item);
    if (cell->flush != recorded->flush) {
        *cell = (struct tkr_recorded_cell){.digest = digest, .flush = recorded->flush, .line = line_make(recorded, item)};
        recorded->accounts++;
        recorded->more_accounts += cell->line == NO_LINE;
    }
    add_to(cell->line == NO_LINE ? &recorded->more_tokens : &recorded->line[cell->line].tokens, tokens);
}

/* --- saying --- */

static bool say_line(const struct tkr_recorded *recorded, const struct tkr_recorded_line *line)
{
    const struct tkr_field field[] = {tkr_field_tokens(line->tokens), tkr_field_kind(line->kind),
                                      tkr_field_account(line->kind, recorded->id + line->id_at, line->id_len),
                                      tkr_field_cycle(line->cycle)};

    return tkr_log_fields(TKR_LOG_INFO, "Recorded {tokens} tokens for {kind} {account}", field, sizeof(field) / sizeof(field[0]),
                          true);
}

/* Returns how many found room. */
static uint32_t say_lines(struct tkr_recorded *recorded)
{
    int64_t until_ns = recorded->held_up ? 0 : tkr_clock_monotonic_ns() + WAIT_NS;
    uint32_t i = 0;

    while (i < recorded->lines) {
        if (say_line(recorded, &recorded->line[i]))
            i++;
        else if (tkr_clock_monotonic_ns() < until_ns)
            tkr_clock_sleep_ns(WAIT_POLL_NS);
        else
            break;
    }
    return i;
}

static void say_more(struct tkr_recorded *recorded)
{
    const struct tkr_field field[] = {tkr_field_tokens(recorded->more_tokens), tkr_field_accounts(recorded->more_accounts)};

    if (recorded->more_accounts == 0 || !tkr_log_fields(TKR_LOG_INFO, "Recorded {tokens} tokens for {accounts} more accounts",
                                                        field, sizeof(field) / sizeof(field[0]), true))
        return;
    recorded->more_tokens = 0;
    recorded->more_accounts = 0;
}

static void begin(struct tkr_recorded *recorded)
{
    recorded->lines = 0;
    recorded->id_bytes = 0;
    recorded->accounts = 0;
    if (++recorded->flush != 0)
        return;
    if (recorded->cell != NULL)
        memset(recorded->cell, 0, recorded->cells * sizeof(*recorded->cell)); /* numbers begin again */
    recorded->flush = 1;
}

void tkr_recorded_say(struct tkr_recorded *recorded)
{
    uint32_t said;

    if (recorded->accounts + recorded->more_accounts == 0)
        return;
    said = say_lines(recorded);
    recorded->held_up = said < recorded->lines;
    recorded->more_accounts += recorded->lines - said;
    for (uint32_t i = said; i < recorded->lines; i++)
        add_to(&recorded->more_tokens, recorded->line[i].tokens);
    say_more(recorded);
    begin(recorded);
}

void tkr_recorded_close(struct tkr_recorded *recorded)
{
    int64_t until_ns = tkr_clock_monotonic_ns() + WAIT_NS;

    say_more(recorded);
    while (recorded->more_accounts > 0 && tkr_clock_monotonic_ns() < until_ns) {
        tkr_clock_sleep_ns(WAIT_POLL_NS);
        say_more(recorded);
    }
    free(recorded->line);
    free(recorded->id);
    free(recorded->cell);
}
