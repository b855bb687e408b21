/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenring: exact token accounting for LLM gateways.
 *
 * A gateway opens one producer per process and tells it what each call used; a collector on the same host
 * (tokenringd) adds the figures up per account and billing cycle and carries them to Redis or to a SQLite ledger.
 *
 *     tkr_producer *producer;
 *     if (tkr_open(NULL, &producer) == 0) {
 *         tkr_start start = TKR_START_INIT;
 *         tkr_usage usage = TKR_USAGE_INIT;
 *         start.account_count = 1;
 *         start.account[0] = (tkr_account){.id = "alice", .len = 5};
 *         usage.prompt = 812;
 *         usage.completion = 94;
 *         int result = tkr_record(producer, &start, &usage);
 *         ...
 *     }
 *
 * What is NOT promised
 *  - Losing the host (power, kernel) loses what the collector had not yet flushed: it lived in memory.
 *  - Functions are not async-signal-safe; do not call them from a signal handler.
 *  - A producer must not be closed while another thread is inside a call on it.
 *  - The runtime directory must be a tmpfs; network and disk file systems are refused.
 *  - Message text is never taken, so it can never leak: give identifiers only.
 *
 * Conventions
 *  - Every structure begins with its size in bytes; set it with the TKR_*_INIT macros. They give every field a value, in
 *    order, so that C11 and C++11 and later compile them without a warning. A smaller structure (an older caller) leaves the
 *    missing fields at their defaults; a larger one (a newer caller) is accepted when all bytes unknown here are zero, and
 *    refused with TKR_ESIZE otherwise.
 *  - Absent numbers are -1. Times are nanoseconds since the Unix epoch. Inputs are borrowed for the call only.
 *  - Results are 0 or one of the negative TKR_E* codes; outputs are named ret_* and untouched on failure.
 *  - Every refusal with a producer at hand is also counted by its code (`tokenring stat`).
 *
 * Threads: any thread may call any function with the same producer. Fork: a child may go on using the producer;
 * its first call opens a region of its own, and handles of open calls stay with the parent.
 */
#ifndef TOKENRING_TOKENRING_H
#define TOKENRING_TOKENRING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TKR_API __attribute__((visibility("default")))
#define TKR_MUST_CHECK __attribute__((warn_unused_result))
#else
#define TKR_API
#define TKR_MUST_CHECK
#endif

#define TKR_VERSION_MAJOR 0
#define TKR_VERSION_MINOR 1
#define TKR_VERSION_PATCH 0

#define TKR_ACCOUNTS_MAX 4                /* accounts that one call charges, at most */
#define TKR_ID_BYTES_MAX 255              /* account id, bytes; at least 1 */
#define TKR_MODEL_BYTES_MAX 255           /* model name, bytes; 0: not told */
#define TKR_PROVIDER_BYTES_MAX 63         /* provider name, bytes; 0: not told */
#define TKR_TOKENS_MAX (INT64_C(1) << 40) /* any token figure of one call */
#define TKR_COST_MAX (INT64_C(1) << 50)   /* cost of one call, nano US dollars (about 1.1 million dollars) */
#define TKR_OPEN_ERROR_BYTES 256          /* of a sentence by tkr_open_error, with its NUL */
#define TKR_ABSENT INT64_C(-1)            /* a figure that is not known */

/* Result codes. The list with its texts is src/base/errors.def; tkr_strerror() gives the text. */
enum {
    TKR_OK = 0,
    TKR_EINVAL = -1,    /* a pointer that must be given is NULL, or a flag is unknown */
    TKR_ESIZE = -2,     /* a structure's size is impossible, or it carries fields this version does not know */
    TKR_EACCOUNT = -3,  /* 1..4 accounts, each with an id of 1..255 bytes without control characters */
    TKR_EKIND = -4,     /* a kind is a name of 1..12 letters a-z or '_', packed by tkr_kind() */
    TKR_ECYCLE = -5,    /* a cycle is a real date yyyymmdd from 19700101 to 22611231; an anchor day is 1..31 */
    TKR_ERANGE = -6,    /* a number is negative, or above what one call can use */
    TKR_ETEXT = -7,     /* model or provider is too long or holds control characters */
    TKR_EHANDLE = -8,   /* the handle was never given out by this process: never begun, another process, before a fork */
    TKR_EENDED = -9,    /* the call has ended already */
    TKR_ECALLS = -10,   /* max_open_calls are open: the call is not tracked; record it when it ends */
    TKR_EFULL = -11,    /* dropped and counted: the region's memory budget is used up (collector away for long) */
    TKR_ENOSPC = -12,   /* dropped and counted, or not opened: the tmpfs is full */
    TKR_ENODIR = -13,   /* the runtime directory is missing, not writable, or not safe to use */
    TKR_ETMPFS = -14,   /* the runtime directory is not on a tmpfs */
    TKR_ENOMEM = -15,   /* the process has no memory or no address space left */
    TKR_ESYSTEM = -16,  /* the kernel refused what is needed (Linux 5.4 or later is) */
    TKR_ETIMEOUT = -17, /* tkr_sync: not all was counted within the time */
    TKR_ESINK = -18,    /* the sink (Redis, ledger) did not do it: tkr_repository_error() says why */
    TKR_ELIMIT = -19    /* not begun: a limit has no room left for what the call would reserve */
};

/* Why a call failed: tkr_usage.error. A failed call may carry usage too. */
enum {
    TKR_ERROR_NONE = 0,
    TKR_ERROR_OTHER = 1,
    TKR_ERROR_TIMEOUT = 2,
    TKR_ERROR_RATE_LIMIT = 3,
    TKR_ERROR_CANCELLED = 4, /* the client went away */
    TKR_ERROR_NETWORK = 5,
    TKR_ERROR_PROVIDER = 6, /* the provider answered with an error (5xx) */
    TKR_ERROR_REQUEST = 7,  /* the provider refused the request (4xx) */
    TKR_ERROR_CONTENT_FILTER = 8,
    TKR_ERROR_ORPHANED = 9 /* set by the collector: the gateway died before the call ended */
};

/* Which figures of a tkr_usage are estimates rather than reported: tkr_usage.estimated. */
enum { TKR_ESTIMATED_PROMPT = 1, TKR_ESTIMATED_COMPLETION = 2, TKR_ESTIMATED_TOTAL = 4 };

/* tkr_options.flags */
enum {
    TKR_CYCLE_DAY = 1,   /* default cycle is the day of the call, not the month in UTC: in the local time zone that the process,
                            or the one that it was forked from, had at its first tkr_open with this flag */
    TKR_LIMIT_CLOSED = 2 /* an account whose figures are not known is refused by tkr_limit_check, and by tkr_call_begin with a
                            reserve; without it, it is let through */
};

typedef struct tkr_producer tkr_producer; /* opaque; shared by all threads of a process */
typedef uint64_t tkr_call;                /* an open call; 0 is none */

/* Who pays. Sums never mix kinds. */
typedef struct tkr_account {
    uint64_t kind;  /* TKR_KIND_USER (0), another TKR_KIND_*, or what tkr_kind() gave */
    const char *id; /* 1..TKR_ID_BYTES_MAX bytes, no byte below 0x20, no 0x7f; need not end in NUL */
    uint32_t len;   /* bytes at id */
    uint32_t pad;   /* 0 */
} tkr_account;

/* Well-known kinds: the name's letters, 5 bits each, first letter lowest (a = 1 .. z = 26, _ = 27). */
#define TKR_KIND_USER UINT64_C(0)
#define TKR_KIND_TEAM UINT64_C(0x684b4)
#define TKR_KIND_KEY UINT64_C(0x64ab)
#define TKR_KIND_ORGANISATION UINT64_C(0x073d340cd2e09e4f)

typedef struct tkr_options {
    uint32_t size;
    uint32_t flags;              /* TKR_CYCLE_DAY, TKR_LIMIT_CLOSED */
    uint32_t max_open_calls;     /* 1..1,000,000; 0: 16,384. Memory is taken when used: 1.5 KiB a call */
    uint32_t lane_bytes;         /* first lane of a thread: a power of two, 16 KiB..64 MiB; 0: 64 KiB */
    uint64_t region_bytes_max;   /* budget for lanes in bytes, at least lane_bytes; 0: 256 MiB. Taken when used */
    const char *runtime_dir;     /* NULL: $TOKENRING_RUNTIME_DIR, else /run/tokenring, else /dev/shm/tokenring-UID */
    int32_t anchor_day;          /* day of the month on which a cycle begins, 1..31, clamped to the month; 0: 1 */
    int32_t utc_offset_minutes;  /* zone of the cycle, -1440..1440; ignored with TKR_CYCLE_DAY */
    uint32_t limit_warn_percent; /* part of a limit from which it is TKR_LIMIT_SOFT, 1..100; 0: 80 */
    uint32_t limit_max_age_ms;   /* figures older than that are not known, 1..86,400,000; 0: 10,000 */
} tkr_options;
#define TKR_OPTIONS_INIT                                  \
    {                                                     \
        sizeof(tkr_options), 0, 0, 0, 0, NULL, 0, 0, 0, 0 \
    }

/* What is known when a call begins. account_count accounts are read; the rest is optional. */
typedef struct tkr_start {
    uint32_t size;
    uint32_t account_count; /* 1..TKR_ACCOUNTS_MAX */
    tkr_account account[TKR_ACCOUNTS_MAX];
    const char *model;       /* NULL: not told */
    const char *provider;    /* NULL: not told */
    uint32_t model_len;      /* bytes, 0..TKR_MODEL_BYTES_MAX */
    uint32_t provider_len;   /* bytes, 0..TKR_PROVIDER_BYTES_MAX */
    uint8_t call_id[16];     /* the gateway's own id of the request; all zero: none */
    uint32_t attempt;        /* 0 for the first; a retry keeps call_id and counts this up */
    uint32_t cycle;          /* yyyymmdd; 0: the default cycle of start_ns (tkr_options) */
    int64_t start_ns;        /* Unix time; 0: now, to a few ms; for tkr_record it may be the begin of the second */
    int64_t prompt_estimate; /* tokens; 0 or TKR_ABSENT: none. Settles a call whose process died */
    int64_t reserve;         /* tokens to hold against the limits of all accounts until the end; 0 or TKR_ABSENT: none */
} tkr_start;
#define TKR_START_INIT                                                                \
    {                                                                                 \
        sizeof(tkr_start), 0, {{0, NULL, 0, 0}}, NULL, NULL, 0, 0, {0}, 0, 0, 0, 0, 0 \
    }

/*
 * What a call used. prompt, completion, total: any may be absent; an absent total is prompt + completion,
 * which then is at most TKR_TOKENS_MAX.
 *
 * A call's duration is the time from its start to its end, its time to first token that to first_token_ns. Without start_ns and
 * end_ns tkr_call_begin and tkr_call_end measure it, by CLOCK_MONOTONIC, which does not step as the wall clock may: so tell times
 * only of a call that you could not tell of while it went on. With start_ns alone the end is now, by the wall clock. tkr_record
 * measures nothing: without both it has no duration. Times that are told are Unix time. One that comes before the start, or more
 * than a week (604,800 s) after it, or, without a start_ns, more than a second later than now, makes no duration: the call counts
 * without it, and is counted as one with bad times (tokenring stat, tokenring_bad_call_times).
 */
typedef struct tkr_usage {
    uint32_t size;
    uint32_t estimated; /* TKR_ESTIMATED_* bits */
    int32_t error;      /* TKR_ERROR_*; 0: the call succeeded */
    int32_t pad;        /* 0 */
    int64_t prompt;     /* tokens, 0..TKR_TOKENS_MAX or TKR_ABSENT; so are all token figures */
    int64_t completion;
    int64_t total;
    int64_t cached;         /* part of prompt read from a cache */
    int64_t cache_write;    /* part of prompt written to a cache */
    int64_t reasoning;      /* part of completion */
    int64_t cost_nano_usd;  /* 0..TKR_COST_MAX or TKR_ABSENT */
    int64_t first_token_ns; /* Unix time of the first token; TKR_ABSENT or 0: not known */
    int64_t end_ns;         /* Unix time of the end; TKR_ABSENT or 0: now for tkr_call_end, not known for tkr_record */
} tkr_usage;
#define TKR_USAGE_INIT                                                 \
    {                                                                  \
        sizeof(tkr_usage), 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1 \
    }

/* The law's numbers for this process, in calls: offered = counted + in_lanes + dropped. */
typedef struct tkr_stat {
    uint32_t size;
    uint32_t lanes;           /* lanes in use or free for reuse */
    uint64_t offered;         /* usage records that this process tried to hand over */
    uint64_t in_lanes;        /* handed over, not yet counted by the collector */
    uint64_t dropped;         /* lost because memory that the operator sized is exhausted */
    uint64_t refused;         /* calls to this library that were answered with an error */
    uint64_t open_calls;      /* begun, not ended */
    int64_t collector_age_ns; /* since the collector last looked at this process; TKR_ABSENT: never */
} tkr_stat;
#define TKR_STAT_INIT                         \
    {                                         \
        sizeof(tkr_stat), 0, 0, 0, 0, 0, 0, 0 \
    }

/*
 * Opens this process's producer: a region of shared memory in the runtime directory, which a collector finds
 * whenever it runs. options may be NULL (all defaults); strings are copied.
 * Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_ERANGE, TKR_ECYCLE (options); TKR_ENODIR, TKR_ETMPFS, TKR_ENOSPC, TKR_ENOMEM,
 * TKR_ESYSTEM; then tkr_open_error has the path and the cause. Threads: any. Progress: system calls, allocates. Crash: a
 * half-made region is removed by the collector.
 */
TKR_API TKR_MUST_CHECK int tkr_open(const tkr_options *options, tkr_producer **ret_producer);

/*
 * Copies a sentence about why this thread's last tkr_open failed into ret_text, cut to bytes with its NUL (TKR_OPEN_ERROR_BYTES
 * holds any): the directory, option or variable, what is wrong with it and what helps. The same for what this thread failed to do
 * since: to make a callback handler or to read settings because of an environment variable (tokenring/callback.h), or, in a
 * forked child, to open a region with its first call. "" where nothing failed since a tkr_open that succeeded, or where other
 * threads have failed many times since. Paths are cut to 110 bytes.
 * Results: 0; TKR_EINVAL (a NULL, or bytes is 0). Threads: any; each has its own. Progress: wait-free, no system call, no
 * allocation. Fork: a child's thread keeps that of its parent.
 */
TKR_API int tkr_open_error(char *ret_text, size_t bytes);

/*
 * Closes a producer; NULL is allowed. Records are kept for the collector. Calls still open are settled as if the
 * process had died: counted with what tkr_call_progress last said, flagged as estimated and as an error.
 * Threads: no other call on this producer may be under way or follow.
 */
TKR_API void tkr_close(tkr_producer *producer);

/*
 * Begins a call. ret_call is valid in this process until tkr_call_end; any thread may end it.
 * If the process dies first, the collector settles the call from the prompt estimate and the progress told.
 * With a reserve above 0 it is also held against the limits of all accounts, or of none: where one has no room for it, the call
 * is not begun and TKR_ELIMIT answered (tkr_limit_check has the figures). Accounts that are not known hold nothing, or, with
 * TKR_LIMIT_CLOSED, refuse. The end of the call gives it back, however it ends, but for what the call used, which stays held
 * until the collector has counted it: so calls that use at most what they reserve never exceed a limit on one host, also when
 * gateways and the collector are killed. If the process dies, the collector gives it back when it has settled the call, within a
 * second or so. Two calls that together have no room may both be refused; never are both let through.
 * Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_ERANGE, TKR_ETEXT; TKR_ECALLS; TKR_ENOSPC;
 * TKR_ELIMIT. Threads: any. Progress: lock-free; system calls only when slots are first used, a child re-opens after a fork, or,
 * with a reserve, as tkr_limit_check.
 */
TKR_API TKR_MUST_CHECK int tkr_call_begin(tkr_producer *producer, const tkr_start *start, tkr_call *ret_call);

/*
 * Tells how many completion tokens have been streamed so far, 0..TKR_TOKENS_MAX; the highest value told stands.
 * Results: 0; TKR_EINVAL, TKR_EHANDLE, TKR_EENDED, TKR_ERANGE. Threads: any. Progress: lock-free, no system call.
 */
TKR_API int tkr_call_progress(tkr_producer *producer, tkr_call call, int64_t completion_tokens);

/*
 * Ends a call, once: of two enders one gets 0 and the other TKR_EENDED. Figures that are bad refuse with the call
 * still open. TKR_EFULL and TKR_ENOSPC mean dropped: the call has ended and is counted as dropped.
 * Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_ERANGE (still open); TKR_EHANDLE, TKR_EENDED; TKR_EFULL, TKR_ENOSPC.
 * Threads: any. Progress: no system call unless the lane must grow. Crash: counted wholly or settled, never both.
 */
TKR_API TKR_MUST_CHECK int tkr_call_end(tkr_producer *producer, tkr_call call, const tkr_usage *usage);

/*
 * Records a finished call in one shot: tkr_call_begin and tkr_call_end without the time between.
 * Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_ERANGE, TKR_ETEXT; TKR_EFULL, TKR_ENOSPC (dropped).
 * Threads: any. Progress: some ten nanoseconds, no system call unless the lane must grow. Crash: wholly or not at all.
 */
TKR_API TKR_MUST_CHECK int tkr_record(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage);

/*
 * Adds figures to accounts without counting a call: what was used elsewhere, or a part of a call that is told apart. As
 * tkr_record, but neither calls nor errors grow. An absent total is prompt + completion; 0 leaves the total as it is.
 * Results, Threads, Progress, Crash: as tkr_record.
 */
TKR_API TKR_MUST_CHECK int tkr_increment(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage);

/*
 * Records count finished calls, in order, up to the first that fails, whose code is returned; *ret_recorded (may be
 * NULL) is set, also on failure, to the number recorded before it. Elements have the size that the first one states.
 */
TKR_API TKR_MUST_CHECK int tkr_record_many(tkr_producer *producer, const tkr_start *start, const tkr_usage *usage, uint32_t count,
                                           uint32_t *ret_recorded);

/*
 * Waits until the collector has counted all that was recorded before this call, at most timeout_ms milliseconds.
 * Results: 0; TKR_EINVAL; TKR_ETIMEOUT (also when no collector runs). Progress: the one call that waits.
 */
TKR_API TKR_MUST_CHECK int tkr_sync(tkr_producer *producer, uint32_t timeout_ms);

/* What tkr_limit_check says: tkr_limit.verdict. */
enum {
    TKR_LIMIT_UNKNOWN = 0, /* nothing is known about it yet, what is known is too old, or no collector makes a board here */
    TKR_LIMIT_ALLOWED = 1, /* there is room, or no limit */
    TKR_LIMIT_SOFT = 2,    /* there is room, but it, with what is wanted, comes to limit_warn_percent of the limit or more */
    TKR_LIMIT_REFUSED = 3  /* there is no room: nothing is left, or less than wanted */
};

/*
 * An account's limit in a cycle, as far as this host knows. TKR_ABSENT where it is not known; figures that are too old are told.
 */
typedef struct tkr_limit {
    uint32_t size;
    int32_t verdict;   /* TKR_LIMIT_* */
    int64_t limit;     /* tokens; 0: the account is blocked; TKR_ABSENT: none, or not known */
    int64_t used;      /* tokens: of all hosts as of the last look at the sink, and what this host has counted since */
    int64_t reserved;  /* tokens held by open calls of this host, and what calls used that have ended and are not counted yet */
    int64_t remaining; /* limit - used - reserved, at least 0; TKR_ABSENT without a limit */
    int64_t age_ns;    /* since the last look at the sink */
    int64_t cycle_end_ns; /* when the cycle that was asked for ends, and the next begins: as for a Retry-After header */
} tkr_limit;
#define TKR_LIMIT_INIT                               \
    {                                                \
        sizeof(tkr_limit), 0, -1, -1, -1, -1, -1, -1 \
    }

/*
 * Is there room for want_tokens (0..TKR_TOKENS_MAX or TKR_ABSENT: anything at all) within the limit of an account's cycle
 * (yyyymmdd; 0: the default cycle of now)? The limit of the cycle holds, else the account's standing one. Holds nothing: of two
 * that ask at once both may be let through; tkr_call_begin with a reserve lets one. Set ret_limit->size first.
 * An account that nobody asked for recently is TKR_LIMIT_UNKNOWN at first, or TKR_LIMIT_REFUSED without figures with
 * TKR_LIMIT_CLOSED; the collector is told, and looks it up: one within some milliseconds, 100,000 that are asked for at once
 * within 2 seconds. When a cycle ends, accounts that are known in it are known in the next one from its begin on, as long as
 * the collector's board has room for both. An account that nobody asked for within 10 seconds is refused only by figures that
 * are at most 2 seconds old, since its limit may have been raised; else it is TKR_LIMIT_UNKNOWN, and looked up at once.
 * A cycle that is none of the producer's own (tkr_options) is taken for a month that begins on that day: cycle_end_ns.
 * Results: 0 with the verdict; TKR_EINVAL, TKR_ESIZE, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_ERANGE.
 * Threads: any. Progress: lock-free, some 25 nanoseconds, no system call; but for a thread that finds the collector's board
 * missing or replaced and looks for it, ten times a second at most.
 */
TKR_API TKR_MUST_CHECK int tkr_limit_check(tkr_producer *producer, const tkr_account *account, uint32_t cycle,
                                           int64_t want_tokens, tkr_limit *ret_limit);

/* Reads the law's numbers of this process; exact when no other thread is in a call. Set ret_stat->size first. */
TKR_API TKR_MUST_CHECK int tkr_stat_read(tkr_producer *producer, tkr_stat *ret_stat);

/*
 * First day, yyyymmdd, of the monthly cycle that holds unix_ns, where cycles begin on anchor_day (1..31; a month
 * that is shorter begins on its last day) in the zone utc_offset_minutes (-1440..1440) east of UTC.
 * Results: 0; TKR_EINVAL, TKR_ECYCLE (anchor), TKR_ERANGE (time negative or offset out of range). Pure.
 */
TKR_API TKR_MUST_CHECK int tkr_cycle(int64_t unix_ns, int32_t anchor_day, int32_t utc_offset_minutes, uint32_t *ret_cycle);

/*
 * Packs a kind's name, 1..12 bytes a-z or '_', not first or last; "user" gives TKR_KIND_USER.
 * Results: 0; TKR_EINVAL, TKR_EKIND. Pure.
 */
TKR_API TKR_MUST_CHECK int tkr_kind(const char *name, uint64_t *ret_kind);

/*
 * Estimates tokens of UTF-8 text: its Unicode code points divided by characters_per_token (0: 4), rounded down.
 * A byte that continues no character is counted as none. NULL text gives 0. Pure.
 */
TKR_API int64_t tkr_estimate_tokens(const char *utf8, size_t bytes, uint32_t characters_per_token);

/* Text of a result code, static, never NULL. */
TKR_API const char *tkr_strerror(int code);

/* Version of the library linked, major << 16 | minor << 8 | patch. */
TKR_API uint32_t tkr_version(void);

#ifdef __cplusplus
}
#endif
#endif
