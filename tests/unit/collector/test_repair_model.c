/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random histories of accounts that two collectors share in a real Redis: calls, flushes, replies that are lost, other programs,
 * resets; and deletions by hand of records, totals, fields, numbers and all that is tokenring's own, rollbacks to any of these
 * states, and repairs in each of them. Tables, delivery, verification and sink are the real ones.
 *
 * What of a total each collector added is measured, at each step. It is never more than that collector counted: nothing is added
 * twice, whatever was deleted. In the end, with the choice that is right for each account, a total that lost nothing to resets
 * and deletions of its own has all that was counted.
 *
 * Not part of it: a record that is deleted while the very first contribution of its life is unanswered (README.md).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "collector/delivery.h"
#include "collector/forget.h"
#include "collector/verify.h"
#include "support/light.h"
#include "support/random.h"
#include "support/redis.h"
#include "unit/table/fixture.h"

#define SOURCES 2
#define USERS 3
#define HISTORIES 150
#define STEPS 60
#define SERVES_MAX 40
#define MOST (INT64_C(1) << 40) /* so that no sums agree by chance */
#define KEY_BYTES 64

enum { PROMPT, CALLS, FIGURES };

struct figures {
    int64_t of[FIGURES];
};

/* A collector: its sink loses replies when it is told to. */
struct source {
    char runtime[TEMPDIR_BYTES];
    int folder;
    int lock;
    struct tkr_shard *shard;
    struct tkr_delivery delivery;
    struct figures counted[USERS];
    struct figures in_total[USERS]; /* as measured */
    bool unsure;                    /* a reply was lost, and is not found out yet */
};

/* What a rollback goes back to. */
struct saved {
    bool there;
    struct figures in_total[SOURCES][USERS];
    struct figures others[USERS];
    bool damaged[USERS];
    redisReply *keys;
    redisReply **dump;
};

struct world {
    struct redis_server server;
    struct test_random random;
    uint64_t seed;
    struct source source[SOURCES];
    struct figures others[USERS]; /* by other programs, in the totals */
    bool damaged[USERS];          /* by more than deletions of records: its total is not what was counted */
    struct saved saved;
    char story[STEPS * 64];
};

static struct world world;

#define CHECK(condition, ...)                                                         \
    do {                                                                              \
        if (!(condition)) {                                                           \
            (void)fprintf(stderr, "seed %" PRIu64 ": %s\n", world.seed, world.story); \
            fail_msg(__VA_ARGS__);                                                    \
        }                                                                             \
    } while (0)

static uint64_t below(uint64_t n)
{
    return test_random_below(&world.random, n);
}

static void note(const char *what, int source, int user)
{
    size_t len = strlen(world.story);

    (void)snprintf(world.story + len, sizeof(world.story) - len, " %s(%d,%d)", what, source, user);
}

/* --- the sink that loses replies --- */

struct lossy {
    tkr_sink base;
    tkr_sink *real;
    struct tkr_sink_ops ops;
    bool lose;
};

static struct lossy *lossy_of(tkr_sink *sink)
{
    return (struct lossy *)sink;
}

static int lossy_connect(tkr_sink *sink, tkr_message *ret_message)
{
    return lossy_of(sink)->real->ops->connect(lossy_of(sink)->real, ret_message);
}

static int lossy_submit(tkr_sink *sink, struct tkr_chunk *chunk, tkr_message *ret_message)
{
    return lossy_of(sink)->real->ops->submit(lossy_of(sink)->real, chunk, ret_message);
}

static void lossy_disconnect(tkr_sink *sink)
{
    lossy_of(sink)->real->ops->disconnect(lossy_of(sink)->real);
}

/* It was applied; nobody is told. */
static int lossy_collect(tkr_sink *sink, struct tkr_chunk **ret_chunk, tkr_message *ret_message)
{
    struct lossy *lossy = lossy_of(sink);
    int rc = lossy->real->ops->collect(lossy->real, ret_chunk, ret_message);

    if (rc != 0 || !lossy->lose)
        return rc;
    lossy->lose = false;
    for (uint32_t i = 0; i < (*ret_chunk)->count; i++)
        (*ret_chunk)->item[i].outcome = TKR_OUTCOME_PENDING;
    lossy_disconnect(sink);
    return tkr_message_set(ret_message, "a reply was lost");
}

static int lossy_advise(tkr_sink *sink, tkr_message *ret_advice, tkr_message *ret_message)
{
    (void)sink;
    (void)ret_message;
    ret_advice->text[0] = '\0';
    return 1;
}

static int lossy_repair(tkr_sink *sink, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                        uint32_t count, tkr_message *ret_message)
{
    return lossy_of(sink)->real->ops->repair(lossy_of(sink)->real, source, terms, repairs, count, ret_message);
}

static void lossy_close(tkr_sink *sink)
{
    lossy_of(sink)->real->ops->close(lossy_of(sink)->real);
    free(sink);
}

static struct tkr_sink_config sink_config(void)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_REDIS, .connect_timeout_ms = 5000, .command_timeout_ms = 30000};

    (void)snprintf(config.socket, sizeof(config.socket), "%s", world.server.socket);
    return config;
}

static tkr_sink *lossy_open(void)
{
    struct tkr_sink_config config = sink_config();
    struct lossy *lossy = calloc(1, sizeof(*lossy));
    tkr_message message;

    assert_non_null(lossy);
    assert_int_equal(tkr_sink_open(&config, &lossy->real, &message), 0);
    lossy->base.chunk_items_max = lossy->real->chunk_items_max;
    lossy->base.window = lossy->real->window;
    lossy->base.ops = &lossy->ops;
    lossy->ops = (struct tkr_sink_ops){.name = "lossy",
                                       .connect = lossy_connect,
                                       .submit = lossy_submit,
                                       .collect = lossy_collect,
                                       .advise = lossy_advise,
                                       .disconnect = lossy_disconnect,
                                       .repair = lossy_repair,
                                       .close = lossy_close};
    return &lossy->base;
}

/* --- Redis --- */

static void redis_do(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void redis_do(const char *format, ...)
{
    char command[256];
    redisReply *reply;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    reply = redis_server_command(&world.server, command);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply->str);
    freeReplyObject(reply);
}

static int64_t field(int user, const char *name)
{
    char key[KEY_BYTES];
    const char *text;

    (void)snprintf(key, sizeof(key), "token_usage:u%d:2026-11-01", user);
    text = redis_server_hget(&world.server, key, name);
    return text[0] != '\0' ? strtoll(text, NULL, 10) : 0;
}

static struct figures total_of(int user)
{
    return (struct figures){{field(user, "prompt_tokens"), field(user, "calls")}};
}

/* --- collectors --- */

static void source_open(struct source *source, int number)
{
    struct tkr_shard_options options = {.name = 0xabc0 + (uint64_t)number, .number = 0, .accounts_max = 1000};
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    char path[TEMPDIR_BYTES + 16];
    tkr_message message = {""};

    memset(source, 0, sizeof(*source));
    assert_int_equal(tempdir_make(source->runtime), 0);
    (void)snprintf(path, sizeof(path), "%s/collector", source->runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    source->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    source->lock = openat(source->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fcntl(source->lock, F_OFD_SETLK, &request), 0); /* as a collector that runs */
    if (tkr_shard_open(source->folder, &options, &source->shard, &message) != 0)
        fail_msg("%s", message.text);
    assert_true(tkr_delivery_open(&source->delivery, lossy_open(), 1));
    source->delivery.parking.retry_ns = 1;
    tkr_outlet_open(&source->delivery.outlet[0], source->shard);
}

static void source_close(struct source *source)
{
    tkr_delivery_close(&source->delivery);
    tkr_shard_close(source->shard);
    (void)close(source->lock);
    (void)close(source->folder);
    tempdir_remove(source->runtime);
}

/* The collector's own part of a flush: what has changed, and requests. */
static void take_changed(struct source *source)
{
    struct tkr_outlet *outlet = &source->delivery.outlet[0];
    struct tkr_changed *list;

    tkr_forget_request(outlet, 0, 0);
    tkr_shard_changed_ask(source->shard);
    tkr_shard_changed_answer(source->shard);
    list = tkr_shard_changed_take(source->shard);
    tkr_forget_take(outlet);
    if (list != NULL)
        tkr_outlet_enqueue(outlet, list);
}

/* One pass. false: the sink failed. */
static bool pass(struct source *source)
{
    tkr_message message = {""};

    take_changed(source);
    tkr_delivery_probe(&source->delivery);
    tkr_delivery_unpark(&source->delivery, INT64_MAX);
    source->delivery.recheck_ns = source->delivery.scrub_ns = source->delivery.round_ns = 0;
    if (tkr_delivery_serve(&source->delivery, &message) == 0)
        return true;
    tkr_delivery_fail(&source->delivery);
    return false;
}

/* What one collector did to the totals is what they have more. */
static void measure(int s, const struct figures before[USERS])
{
    struct source *source = &world.source[s];

    for (int user = 0; user < USERS; user++) {
        struct figures now = total_of(user);
        for (int i = 0; i < FIGURES; i++) {
            int64_t *in_total = &source->in_total[user].of[i];
            CHECK(now.of[i] >= before[user].of[i], "user %d: a total fell", user);
            *in_total += now.of[i] - before[user].of[i];
            CHECK(*in_total <= source->counted[user].of[i],
                  "source %d, user %d, figure %d: %" PRId64 " in the total, %" PRId64 " counted", s, user, i, *in_total,
                  source->counted[user].of[i]);
        }
    }
}

static void totals(struct figures ret_totals[USERS])
{
    for (int user = 0; user < USERS; user++)
        ret_totals[user] = total_of(user);
}

static void serve(int s, bool lose)
{
    struct source *source = &world.source[s];
    struct figures before[USERS];

    totals(before);
    lossy_of(source->delivery.sink)->lose = lose;
    source->unsure = !pass(source);
    for (int i = 0; !source->unsure && i < SERVES_MAX &&
                    (tkr_delivery_queued(&source->delivery) || tkr_delivery_rechecking(&source->delivery));
         i++)
        source->unsure = !pass(source);
    lossy_of(source->delivery.sink)->lose = false;
    measure(s, before);
}

/* Before somebody deletes a record: no first contribution is unanswered. */
static void settle(void)
{
    for (int s = 0; s < SOURCES; s++) {
        for (int i = 0; world.source[s].unsure && i < SERVES_MAX; i++)
            serve(s, false);
        CHECK(!world.source[s].unsure, "source %d does not come through", s);
    }
}

static void count(int s, int user)
{
    int64_t n = 1 + (int64_t)below(MOST);
    tkr_counts counts = counts_of(n);
    char id[8];
    struct tkr_charge charge;

    (void)snprintf(id, sizeof(id), "u%d", user);
    counts.value[TKR_COUNTER_TOTAL] = 2 * n;
    counts.value[TKR_COUNTER_CALLS] = 1 + (int64_t)below(1000000);
    charge = charge_of(id, &counts, 0);
    assert_true(tkr_batch_begin(world.source[s].shard));
    tkr_batch_apply(world.source[s].shard, &charge, 1);
    tkr_batch_commit(world.source[s].shard);
    assert_false(charge.refused);
    world.source[s].counted[user].of[PROMPT] += n;
    world.source[s].counted[user].of[CALLS] += counts.value[TKR_COUNTER_CALLS];
}

static void verify(int s, int user, bool repair, enum tkr_repair_choice choice)
{
    const struct tkr_sink_config config = sink_config();
    char id[8];
    struct tkr_verify_options options = {.runtime_dir = world.source[s].runtime,
                                         .query = {.any_kind = 1, .id = user < USERS ? id : NULL},
                                         .repair = repair,
                                         .choice = choice};
    struct tkr_verify_report report;
    struct figures before[USERS];
    tkr_message message = {""};

    options.query.id_len = (uint32_t)snprintf(id, sizeof(id), "u%d", user);
    totals(before);
    if (tkr_verify(&options, &config, &report, &message) != 0)
        fail_msg("verify: %s", message.text);
    measure(s, before);
}

/* --- what others do --- */

static void forget_totals(int user, int figure)
{
    for (int s = 0; s < SOURCES; s++)
        world.source[s].in_total[user].of[figure] = 0;
    world.others[user].of[figure] = 0;
    world.damaged[user] = true;
}

static void delete_total(int user)
{
    redis_do("DEL token_usage:u%d:2026-11-01", user);
    forget_totals(user, PROMPT);
    forget_totals(user, CALLS);
}

static void delete_field(int user, int figure)
{
    redis_do("HDEL token_usage:u%d:2026-11-01 %s", user, figure == PROMPT ? "prompt_tokens" : "calls");
    forget_totals(user, figure);
}

static void delete_record(int s, int user)
{
    redis_do("HDEL tr1:{0}:u%d:2026-11-01 %s", user, world.source[s].delivery.outlet[0].source);
}

static void delete_all_of_ours(void)
{
    for (int user = 0; user < USERS; user++)
        redis_do("DEL tr1:{0}:u%d:2026-11-01", user);
    redis_do("DEL tr1:{0}:seen");
}

static void add_as_another_program(int user)
{
    int64_t n = 1 + (int64_t)below(MOST);

    redis_do("HINCRBY token_usage:u%d:2026-11-01 prompt_tokens %" PRId64, user, n);
    world.others[user].of[PROMPT] += n;
}

static void free_saved(void)
{
    struct saved *saved = &world.saved;

    for (size_t i = 0; saved->there && i < saved->keys->elements; i++)
        freeReplyObject(saved->dump[i]);
    if (saved->there) {
        freeReplyObject(saved->keys);
        free(saved->dump);
    }
    saved->there = false;
}

static void save(void)
{
    struct saved *saved = &world.saved;

    free_saved();
    saved->keys = redis_server_command(&world.server, "KEYS *");
    assert_non_null(saved->keys);
    saved->dump = calloc(saved->keys->elements + 1, sizeof(redisReply *));
    for (size_t i = 0; i < saved->keys->elements; i++)
        saved->dump[i] =
            redis_server_command(&world.server, "DUMP %b", saved->keys->element[i]->str, saved->keys->element[i]->len);
    for (int s = 0; s < SOURCES; s++)
        memcpy(saved->in_total[s], world.source[s].in_total, sizeof(saved->in_total[s]));
    memcpy(saved->others, world.others, sizeof(saved->others));
    memcpy(saved->damaged, world.damaged, sizeof(saved->damaged));
    saved->there = true;
}

/* Redis goes back to what was saved, or to nothing. */
static void go_back(bool to_nothing)
{
    const struct saved *saved = &world.saved;

    redis_do("FLUSHALL");
    memset(world.others, 0, sizeof(world.others));
    for (int s = 0; s < SOURCES; s++)
        memset(world.source[s].in_total, 0, sizeof(world.source[s].in_total));
    if (to_nothing || !saved->there)
        return;
    for (size_t i = 0; i < saved->keys->elements; i++) {
        redisReply *reply = redis_server_command(&world.server, "RESTORE %b 0 %b", saved->keys->element[i]->str,
                                                 saved->keys->element[i]->len, saved->dump[i]->str, saved->dump[i]->len);
        assert_non_null(reply);
        assert_int_equal(reply->type, REDIS_REPLY_STATUS);
        freeReplyObject(reply);
    }
    for (int s = 0; s < SOURCES; s++)
        memcpy(world.source[s].in_total, saved->in_total[s], sizeof(saved->in_total[s]));
    memcpy(world.others, saved->others, sizeof(saved->others));
    for (int user = 0; user < USERS; user++)
        world.damaged[user] = world.damaged[user] || saved->damaged[user];
}

/* --- histories --- */

enum deed {
    COUNT,
    FLUSH,
    LOSE,
    OTHERS,
    RECORD,
    RECORDS,
    TOTAL,
    BOTH,
    FIELD,
    SEEN,
    OURS,
    SAVE,
    BACK,
    NOTHING,
    REPAIR,
    LOOK,
    DEEDS
};

static const char *const deed_name[DEEDS] = {"count", "flush", "lose", "others", "record", "records", "total",  "both",
                                             "field", "seen",  "ours", "save",   "back",   "nothing", "repair", "look"};

/* How often of 100; where only records are deleted, the totals are to be exact in the end. */
static const int often[2][DEEDS] = {{25, 20, 6, 4, 10, 4, 0, 0, 0, 2, 3, 3, 3, 3, 12, 5},
                                    {22, 18, 6, 4, 8, 4, 4, 5, 4, 2, 3, 3, 3, 2, 9, 3}};

static enum deed draw(int kind)
{
    int at = (int)below(100);
    int deed = 0;

    while (deed < DEEDS - 1 && at >= often[kind][deed])
        at -= often[kind][deed++];
    return (enum deed)deed;
}

static void act(enum deed deed, int s, int user)
{
    note(deed_name[deed], s, user);
    if (deed >= RECORD)
        settle();
    switch (deed) {
    case COUNT:
        count(s, user);
        return;
    case FLUSH:
        serve(s, false);
        return;
    case LOSE:
        serve(s, true);
        return;
    case OTHERS:
        add_as_another_program(user);
        return;
    case RECORD:
        delete_record(s, user);
        return;
    case RECORDS:
        redis_do("DEL tr1:{0}:u%d:2026-11-01", user);
        return;
    case TOTAL:
        delete_total(user);
        return;
    case BOTH:
        redis_do("DEL tr1:{0}:u%d:2026-11-01", user);
        delete_total(user);
        return;
    case FIELD:
        delete_field(user, (int)below(FIGURES));
        return;
    case SEEN:
        redis_do("DEL tr1:{0}:seen");
        return;
    case OURS:
        delete_all_of_ours();
        return;
    case SAVE:
        save();
        return;
    case BACK:
        go_back(false);
        return;
    case NOTHING:
        go_back(true);
        return;
    case REPAIR:
        verify(s, USERS, true, TKR_REPAIR_REFUSE);
        return;
    default:
        verify(s, USERS, false, TKR_REPAIR_REFUSE);
        return;
    }
}

static bool is_whole(int s, int user, const struct figures *of)
{
    return memcmp(&world.source[s].in_total[user], of, sizeof(*of)) == 0;
}

/* What it believes to be acknowledged of all its lives: there is one of each account. */
static struct figures acknowledged(int s, int user)
{
    struct table table = {.shard = world.source[s].shard};
    struct figures known = {{0}};
    const struct tkr_entry *entry;
    char id[8];

    (void)snprintf(id, sizeof(id), "u%d", user);
    entry = table_find(&table, id);
    if (entry != NULL && atomic_load(&entry->known_life) == atomic_load(&entry->life))
        known = (struct figures){{atomic_load(&entry->known[TKR_COUNTER_PROMPT]), atomic_load(&entry->known[TKR_COUNTER_CALLS])}};
    return known;
}

/* Is all else that is in the total in the records of the other collector? */
static bool nobody_else(int s, int user)
{
    const struct source *other = &world.source[1 - s];
    const struct figures known = acknowledged(1 - s, user);
    char key[KEY_BYTES];

    (void)snprintf(key, sizeof(key), "tr1:{0}:u%d:2026-11-01", user);
    return world.others[user].of[PROMPT] == 0 && is_whole(1 - s, user, &known) &&
           (known.of[PROMPT] == 0 || redis_server_hget(&world.server, key, other->delivery.outlet[0].source)[0] != '\0');
}

/* The choice that is true, where one is: of somebody who knows what happened. */
static enum tkr_repair_choice right_choice(int s, int user)
{
    static const struct figures nothing;
    const struct figures known = acknowledged(s, user);

    if (is_whole(s, user, &nothing))
        return TKR_REPAIR_RESEND;
    if (is_whole(s, user, &known))
        return TKR_REPAIR_RECORD;
    return nobody_else(s, user) ? TKR_REPAIR_UNEXPLAINED : TKR_REPAIR_REFUSE;
}

/* Everybody flushes and is repaired: first what is known, then by choice, one after the other. */
static void end_history(bool exact)
{
    settle();
    for (int s = 0; s < SOURCES; s++)
        serve(s, false);
    for (int s = 0; s < SOURCES; s++)
        verify(s, USERS, true, TKR_REPAIR_REFUSE);
    for (int user = 0; user < USERS; user++) {
        for (int s = 0; s < SOURCES; s++)
            verify(s, user, true, right_choice(s, user));
    }
    for (int round = 0; round < 3; round++) {
        for (int s = 0; s < SOURCES; s++)
            serve(s, false);
    }
    for (int s = 0; exact && s < SOURCES; s++) {
        for (int user = 0; user < USERS; user++)
            CHECK(is_whole(s, user, &world.source[s].counted[user]),
                  "source %d, user %d: %" PRId64 " of %" PRId64 " in the total", s, user,
                  world.source[s].in_total[user].of[PROMPT], world.source[s].counted[user].of[PROMPT]);
    }
}

static void run_history(uint64_t seed, int kind, bool alone, bool exact)
{
    world.seed = seed;
    world.story[0] = '\0';
    world.random.state = seed;
    memset(world.others, 0, sizeof(world.others));
    memset(world.damaged, 0, sizeof(world.damaged));
    redis_do("FLUSHALL");
    for (int s = 0; s < SOURCES; s++)
        source_open(&world.source[s], s);
    for (int i = 0; i < STEPS; i++) {
        enum deed deed = draw(kind);
        if (exact && (deed == OTHERS || deed == BACK || deed == SAVE))
            deed = COUNT; /* that leave something unknown for good */
        act(deed, alone ? 0 : (int)below(SOURCES), (int)below(USERS));
    }
    end_history(exact);
    for (int s = 0; s < SOURCES; s++)
        source_close(&world.source[s]);
    free_saved();
}

static void run_histories(int kind, bool alone, bool exact)
{
    uint64_t seed = test_random_start().state;

    for (int i = 0; i < test_light(HISTORIES); i++)
        run_history(seed + (uint64_t)i, kind, alone, exact);
}

static void test_whatever_is_deleted_nothing_is_added_twice(void **state)
{
    (void)state;
    run_histories(1, false, false);
}

static void test_records_deleted_and_rolled_back_double_nothing(void **state)
{
    (void)state;
    run_histories(0, false, false);
}

/* A sole collector, whose records alone are deleted, or all that there is: in the end all is exact. */
static void test_records_deleted_and_repaired_end_exact(void **state)
{
    (void)state;
    run_histories(0, true, true);
}

/* Whatever the clock did since a life was given: a rollback to a lower number is one to before the life (sink/sink.h). */
static void test_number_of_a_chunk_is_above_the_lives_it_carries(void **state)
{
    const uint64_t ahead = (uint64_t)tkr_clock_unix_ns() + 3600 * (uint64_t)TKR_NS_PER_S;
    struct source *source = &world.source[0];
    struct table table;
    uint64_t seen;

    (void)state;
    redis_do("FLUSHALL");
    source_open(source, 0);
    table.shard = source->shard;
    atomic_store(&source->shard->header->law.life_last, ahead);
    count(0, 0);
    assert_true(pass(source));
    seen = strtoull(redis_server_hget(&world.server, "tr1:{0}:seen", source->delivery.outlet[0].source), NULL, 10);
    assert_true(atomic_load(&table_entry(&table, "u0")->life) > ahead);
    assert_true(seen > atomic_load(&table_entry(&table, "u0")->life));
    source_close(source);
}

static int start_server(void **state)
{
    (void)state;
    return redis_server_start(&world.server, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_is_deleted_nothing_is_added_twice),
        cmocka_unit_test(test_records_deleted_and_rolled_back_double_nothing),
        cmocka_unit_test(test_records_deleted_and_repaired_end_exact),
        cmocka_unit_test(test_number_of_a_chunk_is_above_the_lives_it_carries),
    };
    int failed;

    redis_server_require();
    failed = cmocka_run_group_tests(tests, start_server, NULL);
    redis_server_stop(&world.server);
    return failed;
}
