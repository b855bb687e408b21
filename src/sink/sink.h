/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where contributions go: Redis, a SQLite ledger, or nowhere (for benches). One interface and one guarantee.
 *
 * A contribution is what one source (one shard of one collector) has added to one (account, cycle) within one life
 * of its table entry: a vector that only grows. Beside the account's own, which counts all, there are such of its models, each
 * of which counts a part; they have totals and records of their own. The sink keeps, beside the totals, a record of each contribution.
 * Sending is conditional: the sink compares the record it has with the one that is expected (`known`).
 *
 *     record == known   ->  totals += now - known (all of now when known is of another life, or nothing),
 *                           record = now, outcome APPLIED
 *     otherwise         ->  nothing changes, outcome FOUND with what the record is
 *
 * A chunk that arrives so late that one with a higher number was applied before changes nothing either.
 *
 * A `now` of life 0 removes the record in the same way; the totals stay.
 *
 * A contribution that is `bare` expects no record, and totals that have none of the counters that it would change; otherwise it
 * finds no record. So it adds nothing where the totals may have it already, its record being lost.
 *
 * so sending the same contribution again, late or in any order can never add it twice. What FOUND means is decided in
 * one place for all sinks: sink/contribution.h.
 *
 * Threads: one thread at a time uses a sink.
 */
#ifndef TKR_SINK_SINK_H
#define TKR_SINK_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/account.h"
#include "base/counters.h"
#include "base/settings.h"
#include "sink/limit.h"

#define TKR_SOURCE_BYTES 24     /* "0123456789abcdef.12": the collector's name in hex, the shard; with its NUL */
#define TKR_REASON_BYTES 560    /* an error, and the field and the key at fault */
#define TKR_REASON_KEY ", key " /* goes before the key */

/* Longer than the longest TOKENRING_FORGET_AFTER_S, a year, after which a collector lets go of an account by itself. */
#define TKR_FORGOTTEN_KEPT_S (366 * 86400)

#define TKR_PERCENT_MAX 200u

/*
 * Numbers of chunks are a clock's nanoseconds, and above the lives that the chunk carries: so a life above a number that the sink
 * has was never in a chunk that is older than that. Those of whole seconds were put in their place when a collector was taken for
 * dead (collector/retire.h). Those below 2^53 were put there by a restore (sink/restore.h), and are the backup's in microseconds:
 * below all others. TKR_SEEN_RESTORED is one of a backup that knew none.
 */
#define TKR_SEEN_RESTORED UINT64_C(1)
#define TKR_SEEN_RESTORED_END (UINT64_C(1) << 53)

#define TKR_LIFE_TIMED_END (UINT64_C(1) << 62) /* lives from here on are no clock's, and numbers are not kept above them */

static inline bool tkr_seen_restored(uint64_t seen)
{
    return seen != 0 && seen < TKR_SEEN_RESTORED_END;
}

/* In nanoseconds, whoever wrote it. */
static inline uint64_t tkr_seen_ns(uint64_t seen)
{
    return tkr_seen_restored(seen) ? 1000 * seen + 999 : seen;
}

/*
 * Is a life of the source surely not in the sink whose number of the source is `seen`, if it has no record of it? 0, no number,
 * tells nothing: somebody may have deleted it.
 */
static inline bool tkr_seen_before(uint64_t seen, uint64_t life)
{
    return seen != 0 && life < TKR_LIFE_TIMED_END && life > tkr_seen_ns(seen);
}

static inline bool tkr_seen_retired(uint64_t seen)
{
    return seen != 0 && seen % 1000000000 == 0;
}

/* A state of a contribution: which life, and its vector. life 0 is "no record". */
struct tkr_record {
    uint64_t life;
    tkr_counts counts;
};

enum tkr_outcome {
    TKR_OUTCOME_PENDING, /* not answered */
    TKR_OUTCOME_APPLIED, /* the sink has `now` */
    TKR_OUTCOME_FOUND,   /* nothing changed; `found` is what the sink has */
    TKR_OUTCOME_POISON   /* this account cannot be written as it is; nothing changed; `reason` says why */
};

struct tkr_contribution {
    uint64_t kind;                 /* of the account */
    const char *id;                /* borrowed until the chunk is collected */
    uint32_t id_len;               /* bytes */
    uint32_t cycle;                /* yyyymmdd */
    const char *model;             /* borrowed likewise */
    uint32_t model_len;            /* bytes, at most TKR_LABEL_BYTES_MAX; 0: the account's own totals */
    uint64_t tag;                  /* the caller's own */
    struct tkr_record now;         /* life 0: the record is to go, the totals stay */
    struct tkr_record known;       /* what the sink is believed to have recorded; only a hint */
    bool bare;                     /* known is none; apply only if nothing is in the totals that could be of it (sink/repair.h) */
    struct tkr_record found;       /* out */
    enum tkr_outcome outcome;      /* out */
    bool erased;                   /* out: found no record, because the account was forgotten (ops->forget) */
    char reason[TKR_REASON_BYTES]; /* out */
    uint32_t key_at;               /* out: where in reason the name of a key begins, which holds the id; 0: nowhere */
};

/* Contributions of one source that are sent, answered and retried together. */
struct tkr_chunk {
    struct tkr_chunk *next; /* the sink's, while in flight */
    char source[TKR_SOURCE_BYTES];
    uint64_t seen_expected; /* the source's last chunk number that the sink acknowledged; 0: none */
    uint64_t seen_next;     /* this chunk's number; seen_expected once more: only looks */
    uint64_t seen_found;    /* out: the number that the sink had before this chunk; 0: none */
    uint32_t count;         /* may be 0: the chunk then only carries `seen` */
    uint32_t count_max;
    struct tkr_contribution *item;
};

/* One line of the totals that a sink holds. */
struct tkr_usage_row {
    uint64_t kind;
    const char *id; /* valid during the visit */
    uint32_t id_len;
    uint32_t cycle;
    uint32_t model_len; /* at most TKR_LABEL_BYTES_MAX; 0: the account's own totals */
    const char *model;  /* valid during the visit */
    tkr_counts counts;
    int64_t limit;          /* a limit as sink/limit.h has it: tokens, 0 (blocked), TKR_LIMIT_NONE or TKR_LIMIT_UNREADABLE */
    const char *limit_text; /* valid during the visit: what stands there, where it is unreadable; else NULL */
};

/* What a sink has about an account in a cycle. */
struct tkr_usage_found {
    tkr_counts counts;
    int64_t limit;                   /* of the cycle, as sink/limit.h has it */
    int64_t standing;                /* for every cycle that has none of its own, likewise */
    bool present;                    /* something is known of this cycle: counts, or a limit of its own */
    bool fault;                      /* something about its totals cannot be understood; `text` says what */
    char text[TKR_LIMIT_TEXT_BYTES]; /* of the limit that is unreadable, the cycle's before the standing one; or of the fault */
};

/* The limit that holds: the cycle's own, else the standing one; one that is unreadable is one. */
static inline int64_t tkr_usage_limit(const struct tkr_usage_found *found)
{
    return found->limit != TKR_LIMIT_NONE ? found->limit : found->standing;
}

/* Can all that was asked about it be understood? */
static inline bool tkr_usage_found_good(const struct tkr_usage_found *found)
{
    return !found->fault && found->limit != TKR_LIMIT_UNREADABLE && found->standing != TKR_LIMIT_UNREADABLE;
}

/* Asked now and then by what may take long: is it to end, with -1? NULL or zeroed: never. */
struct tkr_give_up {
    bool (*asked)(void *argument);
    void *argument;
};

static inline bool tkr_given_up(const struct tkr_give_up *give_up)
{
    return give_up != NULL && give_up->asked != NULL && give_up->asked(give_up->argument);
}

/* Which totals to read. */
struct tkr_usage_query {
    const char *id; /* NULL: all accounts */
    uint32_t id_len;
    uint32_t cycle; /* 0: all cycles */
    uint64_t kind;  /* looked at when any_kind is 0 */
    int any_kind;
    bool by_model; /* the rows of models, and not those of accounts */
    struct tkr_give_up give_up;
};

/* Called once a row; anything but 0 stops the reading. */
typedef int tkr_usage_visit(const struct tkr_usage_row *row, void *arg);

/* Called once a source, with the number of its last chunk; anything but 0 stops the reading. */
typedef int tkr_source_visit(const char *source, uint64_t seen, void *arg);

struct tkr_holdings;      /* sink/holdings.h */
struct tkr_dataset;       /* sink/dataset.h */
struct tkr_restore_terms; /* sink/restore.h */
struct tkr_restored;
struct tkr_source_seen;
struct tkr_repair_terms; /* sink/repair.h */
struct tkr_repair;

/* Called once an account and cycle, and once a standing limit (of cycle 0); with why, the reason, where it cannot be read: then
 * only its name is there. Anything but 0 stops the visit. */
typedef int tkr_holdings_visit(const struct tkr_holdings *holdings, const char *why, void *arg);

typedef struct tkr_sink tkr_sink;

struct tkr_sink_ops {
    const char *name; /* "redis", "sqlite", "null" */

    /* Makes the sink ready to take chunks; idempotent. 0, or -1 with the reason. Blocks for the timeouts configured. */
    int (*connect)(tkr_sink *sink, tkr_message *ret_message);

    /* Sends a chunk; at most sink->window may be in flight. 0, or -1: then the connection is of no more use, and
     * what was sent and not collected may or may not have been applied. Borrows the chunk until it is collected. */
    int (*submit)(tkr_sink *sink, struct tkr_chunk *chunk, tkr_message *ret_message);

    /* Waits for the oldest chunk in flight and fills in its outcomes. 0 with *ret_chunk, or -1 as for submit. */
    int (*collect)(tkr_sink *sink, struct tkr_chunk **ret_chunk, tkr_message *ret_message);

    /*
     * What of the sink's settings endangers what it holds: a sentence, empty where nothing does. Connected, with nothing in flight.
     * 0; 1: it does not let us see, and asking again on this connection is of no use (the sentence is empty); -1 as for submit.
     */
    int (*advise)(tkr_sink *sink, tkr_message *ret_advice, tkr_message *ret_message);

    /* Bytes of the write-ahead log beside its file, as the file system has them; 0: there is none. NULL: it never has one. */
    uint64_t (*wal_bytes)(const tkr_sink *sink);

    /* Forgets what is in flight and drops the connection; never fails. */
    void (*disconnect)(tkr_sink *sink);

    /* Reads totals. Connects by itself. 0, the visitor's number, or -1 with the reason. */
    int (*read)(tkr_sink *sink, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg, tkr_message *ret_message);

    /* Visits the sources that the sink knows. Connects by itself. 0, the visitor's number, or -1 with the reason. */
    int (*sources)(tkr_sink *sink, tkr_source_visit *visit, void *arg, tkr_message *ret_message);

    /*
     * Visits the accounts and cycles, and their models, of which a source of this collector (its name, 16 digits) may have a record: the rows
     * hold no counts; there may be more of them, and one more than once. Records that are there from beginning to end are
     * visited. Chunks may be sent during a visit. Connects by itself, at a pace that leaves the sink to others.
     * 0, the visitor's number, or -1 with the reason.
     */
    int (*records)(tkr_sink *sink, const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message);

    /*
     * Starts the totals of an account's cycle from zero, and those of its models, in one step; records stay, so nothing that was counted comes back, and
     * what is counted but not flushed yet counts for the new total. Connects by itself.
     * 0 with what the account's own were; 1: there is nothing about it; -1 with the reason.
     */
    int (*reset)(tkr_sink *sink, const struct tkr_usage_row *account, tkr_counts *ret_before, tkr_message *ret_message);

    /*
     * Looks count accounts up (kind, id and cycle of each row) and fills in as many of ret_found: what of one cannot be
     * understood is said there, and the others are looked up all the same. Connects by itself, and stays so. 0, or -1 with the
     * reason, which holds no id.
     */
    int (*lookup)(tkr_sink *sink, const struct tkr_usage_row *accounts, uint32_t count, struct tkr_usage_found *ret_found,
                  tkr_message *ret_message);

    /*
     * Sets the limit of an account's cycle, or its standing limit (cycle 0), to tokens >= 0, where 0 blocks it; TKR_LIMIT_NONE
     * clears it. Connects by itself, and stays so. 0; 1: there was none to clear; -1 with the reason.
     */
    int (*limit_set)(tkr_sink *sink, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message);

    /* Visits all limits, the unreadable too, standing ones as rows of cycle 0; of a cycle with its counts. 0, the visitor's
     * number, or -1. */
    int (*limits)(tkr_sink *sink, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg, tkr_message *ret_message);

    /*
     * Claims that an account's cycle is said to have used percent (1..TKR_PERCENT_MAX) of its limit: of all who ask, on all hosts,
     * one is told that it is the first. A reset of the cycle, and forgetting, give the claims back. Connects by itself, and stays so.
     * 1: the first; 0: somebody was before; -1 with the reason: perhaps claimed.
     */
    int (*claim)(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message);

    /*
     * Erases every trace of an account (kind and id of the row): totals of all cycles, records, limits; a cycle in one step. That
     * its cycles were forgotten is remembered, as a digest and for TKR_FORGOTTEN_KEPT_S, so that a collector that counts on sends
     * only what is new (tkr_contribution.erased). Should a record of it get lost in that time, it is taken for forgotten: what the sink
     * had acknowledged is not sent again. Connects by itself.
     * 0 with the number of cycles erased; 1: there was nothing; -1 with the reason: what was done until then is done.
     */
    int (*forget)(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t *ret_cycles, tkr_message *ret_message);

    /* Which data set it holds; one without an id where no backup has given it one yet. Connects by itself. 0; 1: there is no sink
     * yet (no ledger), as the message says; -1 with the reason. */
    int (*dataset)(tkr_sink *sink, struct tkr_dataset *ret_dataset, tkr_message *ret_message);

    /* Says so anew where it still is as it was read; makes a ledger. Connects by itself. 0; 1: it is another one by now; -1. */
    int (*dataset_set)(tkr_sink *sink, const struct tkr_dataset *read, const struct tkr_dataset *next, tkr_message *ret_message);

    /*
     * Visits all that the sink has, an account and cycle as it is at one moment: those that are there from beginning to end, some
     * of them perhaps more than once; and standing limits. Chunks may be sent during a visit. Connects by itself, at a pace that
     * leaves the sink to others, and holds few accounts at a time. 0, the visitor's number, or -1 with the reason.
     */
    int (*holdings)(tkr_sink *sink, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message);

    /* Leaves a number for each source that has none. Connects by itself, and stays so. 0, or -1 with the reason: of some perhaps. */
    int (*sources_set)(tkr_sink *sink, const struct tkr_source_seen *sources, uint32_t count, tkr_message *ret_message);

    /*
     * Restores accounts of a backup, at most chunk_items_max of them, each in one step; of those of cycle 0, the standing limit
     * where there is none. What is done is decided by sink/restore.h. Connects by itself, and stays so.
     * 0 with what came of each, or -1 with the reason: each of them may have been restored or not, and may be restored again.
     */
    int (*restore)(tkr_sink *sink, const struct tkr_restore_terms *terms, const struct tkr_holdings *accounts, uint32_t count,
                   struct tkr_restored *ret_restored, tkr_message *ret_message);

    /*
     * Decides what is to be done about records of this source that are missing, at most chunk_items_max of them, and writes those
     * of which it is known what the totals have of them; adds nothing. What is done is decided by sink/repair.h. Chunks may be in
     * flight meanwhile. Connects by itself, and stays so.
     * 0 with what came of each, or -1 with the reason: each of them may have been written or not, and may be asked again.
     */
    int (*repair)(tkr_sink *sink, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                  uint32_t count, tkr_message *ret_message);

    /* Frees everything; accepts a sink that never connected. */
    void (*close)(tkr_sink *sink);
};

/* Embedded first in each sink's own structure. */
struct tkr_sink {
    const struct tkr_sink_ops *ops;
    uint32_t chunk_items_max; /* contributions in a chunk that serve this sink best */
    uint32_t window;          /* chunks in flight at most, at least 1 */
};

enum tkr_sink_kind { TKR_SINK_REDIS, TKR_SINK_SQLITE, TKR_SINK_NULL };

#define TKR_SINK_TEXT_BYTES 512
#define TKR_SINK_PATH_BYTES 4096

/* Where and how; filled from the environment. Passwords are never printed. */
struct tkr_sink_config {
    enum tkr_sink_kind kind;
    char host[TKR_SINK_TEXT_BYTES];   /* Redis over TCP, when socket is empty */
    char socket[TKR_SINK_TEXT_BYTES]; /* Redis over a Unix socket */
    char username[TKR_SINK_TEXT_BYTES];
    char password[TKR_SINK_TEXT_BYTES];
    char ledger[TKR_SINK_PATH_BYTES]; /* SQLite file */
    int port;
    int db;
    int connect_timeout_ms; /* for one address of Redis; all of them, and resolving its name, have command_timeout_ms */
    int command_timeout_ms;
};

/* How long one step may block whoever uses the sink: connecting, and one answer. */
static inline int64_t tkr_sink_patience_ns(const struct tkr_sink_config *config)
{
    return 2 * config->command_timeout_ms * INT64_C(1000000);
}

/*
 * TOKENRING_SINK = redis | sqlite | null; unset: redis when a Redis address is configured, else sqlite.
 * Redis: REDIS_URL (redis://[[user]:password@]host[:port][/db], unix://[[user]:password@]/path[?db=N]), else
 * REDIS_SOCKET, else REDIS_HOST and REDIS_PORT (a number, or tcp://host:port as Kubernetes puts it there);
 * REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB; TOKENRING_REDIS_TIMEOUT_MS, for an answer, and for resolving and connecting together
 * (50..600000; default 5000).
 * SQLite: TOKENRING_LEDGER, else ledger.db in TOKENRING_STATE_DIR, else in /var/lib/tokenring where that exists, else in
 * ~/.local/state/tokenring.
 * 0, or -1 with a sentence that names the variable, its value (no password) and what is allowed.
 */
int tkr_sink_config_read(struct tkr_sink_config *ret_config, tkr_message *ret_message);

/* Is there an address of a Redis in the environment? Any of its variables, even REDIS_PORT alone, says that totals belong in a
 * Redis: never quietly into a local file. */
bool tkr_sink_redis_named(void);

/* Says what of the environment is most likely not meant so, though it does no harm: calls once a sentence, which begins with the
 * variable's name and holds no value. config: as it was read. */
typedef void tkr_sink_doubt(const tkr_message *doubt, void *argument);
void tkr_sink_config_doubt(const struct tkr_sink_config *config, tkr_sink_doubt *doubt, void *argument);

/* "redis at unix:/run/redis.sock, db 0", "sqlite at /var/lib/tokenring/ledger.db": never a password. */
void tkr_sink_describe(const struct tkr_sink_config *config, tkr_message *ret_text);

/* After a lookup: 0, or -1 with the account and the reason where something about one of them cannot be understood. */
int tkr_usage_found_check(const struct tkr_usage_row *accounts, const struct tkr_usage_found *found, uint32_t count,
                          tkr_message *ret_message);

/* Makes the sink; does not connect. 0, or -1 with the reason (out of memory). The caller closes it. */
int tkr_sink_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message);

/* The sinks, each in its own folder; tkr_sink_open chooses. */
int tkr_sink_redis_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message);
int tkr_sink_sqlite_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message);
int tkr_sink_null_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message);

#endif
