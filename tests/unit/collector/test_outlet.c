/* SPDX-License-Identifier: Apache-2.0 */
/* Chunk numbers, which show a collector that the sink has gone back, grow, whatever the clock does. */
#include "collector/parcel.h"
#include "support/clock_step.h"
#include "unit/table/fixture.h"

#define DAYS 14

struct fixture {
    struct table table;
    struct tkr_outlet outlet;
    struct tkr_parcel parcel;
    struct tkr_contribution item;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    table_make(&f->table, 1000);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    table_remove(&f->table);
    free(f);
    return 0;
}

/* The next collector opens the shard, whose sink has acknowledged that number last, and numbers a chunk. */
static uint64_t number(struct fixture *f, uint64_t acknowledged)
{
    table_reopen(&f->table);
    atomic_store(&f->table.shard->header->seen, acknowledged);
    f->outlet = (struct tkr_outlet){0};
    tkr_outlet_open(&f->outlet, f->table.shard);
    f->item.now.life = 1;
    f->parcel = (struct tkr_parcel){.outlet = &f->outlet, .chunk = {.item = &f->item, .count = 1}};
    tkr_parcel_number(&f->parcel);
    assert_int_equal(f->parcel.chunk.seen_expected, acknowledged);
    return f->parcel.chunk.seen_next;
}

/* A snapshot of the sink may have any number that a chunk ever had. Were one given again, or a lower one, who restores the snapshot
 * would not be found out. */
static void test_numbers_grow_although_the_sink_and_the_clock_went_back(void **state)
{
    struct fixture *f = *state;
    uint64_t first;
    uint64_t second;
    uint64_t third;

    atomic_store(&clock_step->ahead_ns, DAYS * CLOCK_STEP_DAY_NS);
    first = number(f, 0);
    second = number(f, first); /* acknowledged */
    assert_true(second > first);
    atomic_store(&clock_step->ahead_ns, 0);
    third = number(f, 7); /* an older snapshot was restored */
    assert_true(third > second);
    assert_true(number(f, third) > third);
    atomic_store(&clock_step->ahead_ns, -DAYS * CLOCK_STEP_DAY_NS);
    assert_true(number(f, 0) > third); /* all was lost */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_numbers_grow_although_the_sink_and_the_clock_went_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
