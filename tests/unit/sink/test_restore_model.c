/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random histories of one account: collectors that count, flush, forget, reboot, die, are taken for dead and come back; resets
 * and other programs; a backup; the loss of the sink; what is sent again, and restores, in any order. Sinks and collectors are
 * models, what they decide by is the code: sink/contribution.h and sink/restore.h. In the end the total is what it must be, or,
 * where the restore left the account alone, what it would be without. Without any one of the protections some histories end
 * otherwise.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sink/contribution.h"
#include "sink/restore.h"
#include "support/light.h"
#include "support/random.h"
#include "support/test.h"

#define SOURCES 4
#define LIVES_MAX 64
#define SECOND UINT64_C(1000000000)
#define COUNTER TKR_COUNTER_TOTAL
#define MOST (UINT64_C(1) << 40) /* so that no sums agree by chance */

/* A source of a collector: what it counted in its present life, and what it believes of the sink. */
struct collector {
    char name[TKR_SOURCE_BYTES];
    bool gone;               /* for good */
    bool away;               /* neither flushes nor looks, with its memory */
    struct tkr_record entry; /* life 0: none */
    struct tkr_record known;
    uint64_t seen; /* acknowledged */
    bool parked;   /* ambiguous */
    /* all its lives: what was in the backup's record of it, and what the sink was told of it since the loss */
    uint64_t life[LIVES_MAX];
    int64_t in_backup[LIVES_MAX];
    int64_t after[LIVES_MAX];
    int64_t in_totals[LIVES_MAX]; /* what was added and not reset since */
    bool removed[LIVES_MAX];      /* its record was */
    bool in_rest[LIVES_MAX];      /* of the backup */
    int lives;
};

struct sink {
    int64_t total;
    struct tkr_record record[SOURCES]; /* life 0: none */
    uint64_t seen[SOURCES];
    bool marked;
};

struct world {
    struct test_random random;
    uint64_t now;
    struct collector collector[SOURCES];
    struct sink sink;
    struct sink backup;
    bool lost;
    bool done; /* a restore said so */
    bool left;
    int64_t others; /* added by other programs since the loss */
};

static const char *broken; /* the protection that is missing; NULL: none */

static bool without(const char *protection)
{
    return broken != NULL && strcmp(broken, protection) == 0;
}

static uint64_t below(struct world *world, uint64_t n)
{
    return test_random_below(&world->random, n);
}

static void pass_time(struct world *world)
{
    static const uint64_t most[] = {SECOND / 1000, SECOND, 20 * SECOND, 300 * SECOND};

    world->now += 1 + below(world, most[below(world, 4)]);
}

/* --- collectors --- */

static int life_number(struct collector *collector, uint64_t life)
{
    for (int i = 0; i < collector->lives; i++) {
        if (collector->life[i] == life)
            return i;
    }
    return -1;
}

static void count(struct world *world, int s)
{
    struct collector *collector = &world->collector[s];

    if (collector->gone || collector->lives == LIVES_MAX)
        return;
    if (collector->entry.life == 0) {
        collector->entry = (struct tkr_record){.life = world->now};
        collector->known = (struct tkr_record){.life = 0};
        collector->parked = false;
        collector->life[collector->lives] = world->now;
        collector->lives++;
    }
    collector->entry.counts.value[COUNTER] += 1 + (int64_t)below(world, MOST);
}

/* Does the sink know a number at least as high as the one that was acknowledged? Leaves one of its own, above that. */
static bool look(struct world *world, int s, bool sends)
{
    struct collector *collector = &world->collector[s];
    bool in_order = world->sink.seen[s] >= collector->seen;

    collector->seen = world->sink.seen[s];
    if (sends) {
        uint64_t next = world->now > world->sink.seen[s] ? world->now : world->sink.seen[s] + 1;
        world->sink.seen[s] = next % SECOND != 0 ? next : next + 1;
    }
    return in_order;
}

/* Sends until it is acknowledged, or parked. */
static void flush(struct world *world, int s, bool replies_may_be_lost)
{
    struct collector *collector = &world->collector[s];
    struct tkr_record *record = &world->sink.record[s];
    bool in_order = look(world, s, collector->entry.life != 0);

    if (!in_order)
        collector->parked = false;
    for (int tries = 0; tries < 4 && collector->entry.life != 0 && !collector->parked; tries++) {
        struct tkr_contribution item = {.now = collector->entry, .known = collector->known, .outcome = TKR_OUTCOME_FOUND};
        tkr_counts delta;

        item.found = *record;
        if (tkr_record_same(record, &item.known)) {
            assert_true(tkr_contribution_delta(&item, &delta));
            world->sink.total += delta.value[COUNTER];
            collector->in_totals[life_number(collector, item.now.life)] += delta.value[COUNTER];
            *record = item.now;
            item.outcome = TKR_OUTCOME_APPLIED;
            if (world->lost)
                collector->after[life_number(collector, item.now.life)] = item.now.counts.value[COUNTER];
            if (replies_may_be_lost && item.known.life == item.now.life && below(world, 6) == 0)
                return; /* it does not know */
        }
        switch (tkr_contribution_decide(&item, in_order)) {
        case TKR_DECIDE_ACKNOWLEDGED:
            collector->known = item.known;
            collector->seen = world->sink.seen[s];
            return;
        case TKR_DECIDE_RESEND:
            collector->known = item.known;
            break;
        default:
            collector->parked = true;
        }
    }
}

/* An entry that the sink has whole leaves, and its record. */
static void forget(struct world *world, int s)
{
    struct collector *collector = &world->collector[s];
    int life = life_number(collector, collector->entry.life);

    if (collector->gone || collector->away || collector->parked)
        return;
    flush(world, s, true);
    if (collector->parked || collector->entry.life == 0 || !tkr_record_same(&world->sink.record[s], &collector->entry))
        return;
    collector->removed[life] = true;
    world->sink.record[s] = (struct tkr_record){.life = 0};
    collector->entry = (struct tkr_record){.life = 0};
}

static void reboot(struct world *world, int s)
{
    world->collector[s].entry = (struct tkr_record){.life = 0};
    world->collector[s].parked = false;
    world->collector[s].seen = 0;
    world->collector[s].away = false;
}

/* `tokenring gc`: it is away, and may come back or not. */
static void retire(struct world *world, int s)
{
    struct collector *collector = &world->collector[s];

    if (world->lost) /* then there is nothing to be in doubt of */
        return;
    collector->away = true;
    collector->gone = collector->gone || below(world, 2) == 0;
    if (world->sink.record[s].life != 0)
        collector->removed[life_number(collector, world->sink.record[s].life)] = true;
    world->sink.record[s] = (struct tkr_record){.life = 0};
    if (world->sink.seen[s] != 0)
        world->sink.seen[s] = ((world->now > world->sink.seen[s] ? world->now : world->sink.seen[s]) / SECOND + 1) * SECOND;
}

/*
 * With its memory. Where the sink was not lost it finds that it was retired, and waits to be ended by its operator: if it is
 * not, and is away at the restore, it counts twice what it has (README.md says so).
 */
static void come_back(struct world *world, int s)
{
    struct collector *collector = &world->collector[s];
    int life = life_number(collector, collector->entry.life);

    if (collector->gone || !collector->away)
        return;
    collector->away = false;
    if (!world->lost && life >= 0 && collector->removed[life])
        reboot(world, s);
    else
        flush(world, s, true);
}

static void step_collector(struct world *world)
{
    int s = (int)below(world, SOURCES);
    struct collector *collector = &world->collector[s];

    switch (below(world, 16)) {
    case 0:
        forget(world, s);
        break;
    case 1:
        if (!collector->gone)
            reboot(world, s);
        break;
    case 2:
        if (!collector->away)
            retire(world, s);
        break;
    case 3:
        come_back(world, s);
        break;
    case 4:
        if (below(world, 4) == 0)
            collector->gone = collector->away = true; /* its host is lost */
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        if (!collector->away)
            flush(world, s, true);
        break;
    default:
        count(world, s);
    }
}

/* --- the sink --- */

static void reset(struct world *world)
{
    world->sink.total = 0;
    for (int s = 0; s < SOURCES; s++)
        memset(world->collector[s].in_totals, 0, sizeof(world->collector[s].in_totals));
}

static void step_sink(struct world *world)
{
    int64_t more = 1 + (int64_t)below(world, MOST);

    switch (below(world, 24)) {
    case 0:
        if (!world->lost)
            reset(world);
        break;
    case 1:
        world->sink.total += more;
        if (world->lost)
            world->others += more;
        break;
    default:
        break;
    }
}

static void fill(const struct world *world, const struct sink *sink, struct tkr_holdings *ret_holdings)
{
    tkr_message why;

    assert_true(tkr_holdings_begin(ret_holdings, 0, "u", 1, 20261101));
    ret_holdings->holding[0].total.value[COUNTER] = sink->total;
    for (int s = 0; s < SOURCES; s++) {
        if (sink->record[s].life != 0)
            assert_true(tkr_holding_add(&ret_holdings->holding[0], world->collector[s].name, strlen(world->collector[s].name),
                                        &sink->record[s]));
    }
    assert_true(tkr_holdings_finish_totals(ret_holdings, &why));
    ret_holdings->marked = sink->marked;
}

static void back_up(struct world *world)
{
    world->backup = world->sink;
    for (int s = 0; s < SOURCES; s++) {
        struct collector *collector = &world->collector[s];
        for (int i = 0; i < collector->lives; i++)
            collector->in_rest[i] = collector->removed[i] && collector->in_totals[i] > 0;
        if (world->sink.record[s].life != 0)
            collector->in_backup[life_number(collector, world->sink.record[s].life)] =
                world->sink.record[s].counts.value[COUNTER];
    }
}

/* As a sink does it, with what the plan says. */
static void write_plan(struct world *world, const struct tkr_holdings *plan)
{
    world->sink.total += plan->holding[0].total.value[COUNTER];
    for (uint32_t i = 0; i < plan->holding[0].share_count; i++) {
        for (int s = 0; s < SOURCES; s++) {
            if (strcmp(world->collector[s].name, plan->holding[0].share[i].source) == 0)
                world->sink.record[s] = plan->holding[0].share[i].record;
        }
    }
    world->sink.marked = true;
}

static void put_numbers(struct world *world, struct tkr_source_seen known[SOURCES], uint32_t *ret_count)
{
    *ret_count = 0;
    for (int s = 0; s < SOURCES; s++) {
        if (world->backup.seen[s] == 0)
            continue;
        known[*ret_count] = (struct tkr_source_seen){.seen = world->backup.seen[s]};
        memcpy(known[(*ret_count)++].source, world->collector[s].name, TKR_SOURCE_BYTES);
        if (world->sink.seen[s] == 0 && !without("numbers"))
            world->sink.seen[s] = tkr_restore_seen(world->backup.seen[s]);
    }
}

static void restore(struct world *world)
{
    struct tkr_source_seen known[SOURCES];
    struct tkr_restore_terms terms = {.mark = "backup.0", .source = known, .anyway = without("explained")};
    struct tkr_holdings from = {0};
    struct tkr_holdings now = {0};
    struct tkr_holdings plan = {0};
    struct tkr_restored restored;

    put_numbers(world, known, &terms.source_count);
    if (without("strangers"))
        terms.source_count = 0;
    fill(world, &world->backup, &from);
    fill(world, &world->sink, &now);
    if (without("life")) {
        for (uint32_t i = 0; i < now.holding[0].share_count; i++)
            now.holding[0].share[i].record.life = 1;
        for (uint32_t i = 0; i < from.holding[0].share_count; i++)
            from.holding[0].share[i].record.life = 1;
    }
    switch (tkr_restore_plan(&terms, &from, &now, &plan, &restored)) {
    case TKR_RESTORE_DONE:
        write_plan(world, &plan);
        world->done = true;
        world->left = false;
        break;
    case TKR_RESTORE_BEFORE:
        assert_true(world->done);
        break;
    default:
        assert_true(broken != NULL || !world->done);
        world->left = true;
    }
    tkr_holdings_free(&from);
    tkr_holdings_free(&now);
    tkr_holdings_free(&plan);
}

/* --- what must have come of it --- */

/* Nothing that the backup's total has is sent again, and all that is sent is there. */
static bool is_exact(const struct world *world, int64_t *ret_expected)
{
    int64_t total = world->others + (world->done ? world->backup.total : 0);
    bool exact = true;

    for (int s = 0; s < SOURCES; s++) {
        const struct collector *collector = &world->collector[s];
        for (int i = 0; i < collector->lives; i++) {
            exact = exact && !(world->done && collector->in_rest[i] && collector->after[i] > 0);
            if (collector->after[i] > 0)
                total += collector->after[i] - (world->done ? collector->in_backup[i] : 0);
        }
    }
    *ret_expected = total;
    return exact && world->sink.total == total;
}

static void begin(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->random = (struct test_random){seed};
    world->now = UINT64_C(1795000000) * SECOND;
    for (int s = 0; s < SOURCES; s++)
        (void)snprintf(world->collector[s].name, TKR_SOURCE_BYTES, "%016x.%d", 0xabc + s, s);
}

static void live(struct world *world, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        pass_time(world);
        step_collector(world);
        step_sink(world);
    }
}

struct outcomes {
    uint64_t done;
    uint64_t left;
};

static bool run_history(uint64_t seed, struct outcomes *outcomes)
{
    struct world world;
    int64_t expected;
    uint64_t restores;
    bool exact;

    begin(&world, seed);
    live(&world, below(&world, 40));
    back_up(&world);
    live(&world, below(&world, 20));
    world.sink = (struct sink){.total = 0};
    world.lost = true;
    restores = 1 + below(&world, 3);
    for (uint64_t i = 0; i < restores; i++) {
        live(&world, below(&world, 12));
        restore(&world);
    }
    live(&world, below(&world, 20));
    for (int s = 0; s < SOURCES; s++) {
        if (!world.collector[s].away)
            flush(&world, s, false);
    }
    outcomes->done += world.done;
    outcomes->left += world.left;
    exact = is_exact(&world, &expected);
    if (!exact && broken == NULL)
        fail_msg("seed %" PRIu64 ": total %" PRId64 ", not %" PRId64 " (%s)", seed, world.sink.total, expected,
                 world.done ? "restored" : "left alone");
    return exact;
}

static void test_any_history_ends_exact(void **state)
{
    struct test_random random = test_random_start();
    uint64_t histories = (uint64_t)test_light(200000);
    struct outcomes outcomes = {0};

    (void)state;
    broken = NULL;
    for (uint64_t i = 0; i < histories; i++)
        (void)run_history(random.state + i, &outcomes);
    print_message("%" PRIu64 " restored, %" PRIu64 " left alone\n", outcomes.done, outcomes.left);
    assert_in_range(outcomes.done, histories / 4, histories); /* leaving everything alone would be exact too */
}

/* Each protection is needed. */
static void test_history_without_a_protection_ends_wrong(void **state)
{
    static const char *const protections[] = {"numbers", "explained", "strangers", "life"};

    (void)state;
    for (size_t i = 0; i < sizeof(protections) / sizeof(protections[0]); i++) {
        struct outcomes outcomes = {0};
        uint64_t seed = 1;
        broken = protections[i];
        while (seed < 200000 && run_history(seed, &outcomes))
            seed++;
        print_message("without %s: wrong after %" PRIu64 " histories\n", broken, seed);
        assert_in_range(seed, 1, 199999);
    }
    broken = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_history_ends_exact),
        cmocka_unit_test(test_history_without_a_protection_ends_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
