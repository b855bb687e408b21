/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenring's repository: usage and limits of accounts, as the sink (Redis or a SQLite ledger) has them, for programs that ask
 * and administer. A library of its own, libtokenring_repository, which needs libtokenring, hiredis and sqlite3.
 *
 *     tkr_repository_options options = TKR_REPOSITORY_OPTIONS_INIT;
 *     tkr_account alice = {.id = "alice", .len = 5};
 *     tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
 *     tkr_repository *repository;
 *     if (tkr_repository_open(&options, &repository) == 0) {
 *         if (tkr_repository_check_usage_limit(repository, &alice, 0, &status) == 0 && status.exceeded)
 *             ...
 *         tkr_repository_close(repository);
 *     }
 *
 * In Redis the keys are those of the programs that were there before, which may go on reading and writing them: hash
 * token_usage:ID:YYYY-MM-DD (token_usage_KIND:... for other kinds) with prompt_tokens, completion_tokens, total_tokens,
 * usage_limit. What is asked here is what the sink has: what a collector has counted and not flushed yet (about a second) is not
 * in it. Increments go through the producer's ring and its collector, and so do reach the sink exactly once.
 *
 * What is NOT promised
 *  - Questions are round trips to the sink: some hundred microseconds, and up to the configured time-outs when it does not answer
 *    (TOKENRING_REDIS_TIMEOUT_MS for an answer). They are not for the hot path of a gateway.
 *  - Functions are not async-signal-safe.
 *  - A repository must not be closed while another thread is inside a call on it.
 *
 * Conventions are those of tokenring/tokenring.h: structures begin with their size, results are 0 or TKR_E*, outputs are
 * untouched on failure, inputs are borrowed for the call only. The library never prints, never ends the process and leaves its
 * signals as they are: a peer that hangs up raises no SIGPIPE.
 *
 * cycle is the first day of a billing cycle, yyyymmdd; 0 is the default cycle of now, by the rule of the options.
 *
 * Threads: any thread may call any function with the same repository; one at a time asks the sink, the others wait for it.
 * Fork: a child may go on using a repository, whatever other threads were doing with it at the fork; it connects anew, and its
 * error text is empty. With a ledger a fork waits until a question that is under way is answered. After a bare clone(2), which
 * runs no fork handlers, so only if no thread was asking a ledger.
 * Crash: what a call had asked of the sink when the process died is done or not done, nothing in between.
 */
#ifndef TOKENRING_REPOSITORY_H
#define TOKENRING_REPOSITORY_H

#include "tokenring/tokenring.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TKR_UNLIMITED INT64_C(-1)                    /* a limit that is not there */
#define TKR_REPOSITORY_ERROR_BYTES 256               /* of a text by tkr_repository_error, with its NUL */
#define TKR_REPOSITORY_ACCOUNTS_MAX UINT32_C(100000) /* in one call of tkr_repository_get_usage_stats */

/* Flags of tkr_repository_reset_usage. */
enum {
    TKR_RESET_LIMITS = 1 /* the cycle's own limit goes too; a standing limit stays */
};

typedef struct tkr_repository tkr_repository; /* opaque */

typedef struct tkr_repository_options {
    uint32_t size;
    uint32_t flags;             /* TKR_CYCLE_DAY: the default cycle is the day, as tkr_options has it; or 0 */
    tkr_producer *producer;     /* borrowed until the repository is closed; NULL: increments are refused */
    int32_t anchor_day;         /* of the default cycle: day of the month on which it begins, 1..31, clamped; 0: 1 */
    int32_t utc_offset_minutes; /* zone of the default cycle, -1440..1440; ignored with TKR_CYCLE_DAY */
} tkr_repository_options;
#define TKR_REPOSITORY_OPTIONS_INIT                   \
    {                                                 \
        sizeof(tkr_repository_options), 0, NULL, 0, 0 \
    }

/* What the sink has of an account in a cycle. Counters are 0..2^63-1; one that was never counted is 0. */
typedef struct tkr_usage_stats {
    uint32_t size;
    uint32_t present;       /* 1: the sink has something of this account's cycle; 0: nothing, and all figures are 0 */
    uint32_t cycle;         /* yyyymmdd: which one it is when 0 was asked for */
    uint32_t pad;           /* 0 */
    int64_t usage_limit;    /* tokens, of this cycle; 0: blocked; TKR_UNLIMITED: none of its own */
    int64_t standing_limit; /* tokens, for every cycle that has none of its own; 0: blocked; TKR_UNLIMITED: none */
    int64_t prompt_tokens;
    int64_t completion_tokens;
    int64_t total_tokens;
    int64_t cached_tokens;      /* part of prompt */
    int64_t cache_write_tokens; /* part of prompt */
    int64_t reasoning_tokens;   /* part of completion */
    int64_t estimated_tokens;   /* part of total: estimated, not reported */
    int64_t calls;
    int64_t errors;        /* calls that failed */
    int64_t cost_nano_usd; /* billionths of a US dollar */
    int64_t duration_ms;   /* of all calls together */
} tkr_usage_stats;
#define TKR_USAGE_STATS_INIT                                                    \
    {                                                                           \
        sizeof(tkr_usage_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* How an account stands with its limit. */
typedef struct tkr_limit_status {
    uint32_t size;
    uint32_t exceeded;     /* 1: there is a limit, and current_usage has reached it; 0: not so */
    int64_t current_usage; /* total tokens of the cycle */
    int64_t limit;         /* the cycle's own, else the standing one; 0: blocked; TKR_UNLIMITED: neither */
    int64_t remaining;     /* limit - current_usage, at least 0; TKR_UNLIMITED: no limit */
} tkr_limit_status;
#define TKR_LIMIT_STATUS_INIT                \
    {                                        \
        sizeof(tkr_limit_status), 0, 0, 0, 0 \
    }

/*
 * Opens a repository on the sink that the environment names, as tokenringd reads it: TOKENRING_SINK, REDIS_URL, REDIS_SOCKET,
 * REDIS_HOST, REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB, TOKENRING_REDIS_TIMEOUT_MS, TOKENRING_LEDGER,
 * TOKENRING_STATE_DIR. options may be NULL (all defaults, no producer). Connects to nothing yet.
 * Results: 0; TKR_EINVAL (ret_repository NULL, unknown flag), TKR_ESIZE, TKR_ECYCLE (anchor_day), TKR_ERANGE (offset); TKR_ENOMEM;
 * TKR_ESINK: the environment names no sink that could be used; there is no repository to ask why: `tokenring usage` tells.
 * Threads: any, while no thread changes the environment. Cost: allocates; no system call that waits.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_open(const tkr_repository_options *options, tkr_repository **ret_repository);

/*
 * Closes a repository and its connection; NULL is allowed. The producer stays open.
 * Threads: no other call on this repository may be under way or follow.
 */
TKR_API void tkr_repository_close(tkr_repository *repository);

/*
 * Copies the sentence about the last call on this repository that gave TKR_ESINK, by any thread, into ret_text, cut to bytes with
 * its NUL (TKR_REPOSITORY_ERROR_BYTES holds any); "" when there was none. It never holds a password.
 * Results: 0; TKR_EINVAL (a NULL, or bytes is 0). Cost: a lock, which a call that asks the sink does not hold.
 */
TKR_API int tkr_repository_error(tkr_repository *repository, char *ret_text, size_t bytes);

/*
 * Adds to an account's prompt_tokens alone, by tkr_increment() on the options' producer: neither total_tokens nor calls grow.
 * tokens: 0..TKR_TOKENS_MAX. cycle: see above.
 * Results: 0: the collector will count it, once; TKR_EINVAL (a NULL, or there is no producer), TKR_ERANGE (tokens is negative or
 * too large), and those of tkr_increment(): TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_EFULL, TKR_ENOSPC.
 * Threads: any, without waiting for those who ask the sink. Cost: as tkr_increment(), tens of nanoseconds; no sink is asked.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_increment_prompt_tokens(tkr_repository *repository, const tkr_account *account,
                                                                  uint32_t cycle, int64_t tokens);

/* As tkr_repository_increment_prompt_tokens, of completion_tokens alone. */
TKR_API TKR_MUST_CHECK int tkr_repository_increment_completion_tokens(tkr_repository *repository, const tkr_account *account,
                                                                      uint32_t cycle, int64_t tokens);

/* As tkr_repository_increment_prompt_tokens, of total_tokens alone. */
TKR_API TKR_MUST_CHECK int tkr_repository_increment_total_usage(tkr_repository *repository, const tkr_account *account,
                                                                uint32_t cycle, int64_t tokens);

/*
 * As tkr_repository_increment_prompt_tokens, of all three in one step: prompt_tokens, completion_tokens, and total_tokens by their
 * sum, which is at most TKR_TOKENS_MAX too. A death in between adds all of them or none.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_increment_detailed_usage(tkr_repository *repository, const tkr_account *account,
                                                                   uint32_t cycle, int64_t prompt_tokens,
                                                                   int64_t completion_tokens);

/*
 * Reads what the sink has of count accounts (1..TKR_REPOSITORY_ACCOUNTS_MAX, or 0: nothing is asked) in a cycle. ret_stats has
 * count elements, each of the size that the first one states; it is untouched on failure.
 * Results: 0; TKR_EINVAL (a NULL), TKR_ESIZE, TKR_ERANGE (count), TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE; TKR_ENOMEM; TKR_ESINK, also when
 * a figure in the sink is no integer: somebody else's writing, and the text names the account.
 * Cost: Redis: a round trip for some 200 accounts; SQLite: the file is opened, then some ten microseconds an account. Allocates.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_get_usage_stats(tkr_repository *repository, const tkr_account *accounts, uint32_t count,
                                                          uint32_t cycle, tkr_usage_stats *ret_stats);

/*
 * Starts an account's cycle from zero, in one step; nothing that was counted comes back, and what a collector has counted and not
 * flushed yet counts for the new total. The limit of the cycle stays unless flags has TKR_RESET_LIMITS. Where there is nothing,
 * nothing happens.
 * Results: 0; TKR_EINVAL (a NULL, an unknown flag), TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE; TKR_ESINK: not reset; with
 * TKR_RESET_LIMITS perhaps reset, the limit being left.
 * Cost: Redis: a connection of its own and two round trips; SQLite: a transaction that is on disk when the call returns.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_reset_usage(tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                                                      uint32_t flags);

/*
 * Sets the limit of total tokens, 0..2^63-1, of an account in a cycle; cycle 0 is the standing limit here: for every cycle that
 * has none of its own. A limit of 0 blocks the account: gateways refuse every call. In Redis that is the field usage_blocked,
 * since a usage_limit of 0 means no limit to other readers of these keys.
 * Results: 0; TKR_EINVAL (a NULL), TKR_ERANGE (the limit is negative), TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE; TKR_ESINK.
 * Cost: Redis: a round trip; SQLite: a transaction that is on disk when the call returns.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_set_usage_limit(tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                                                          int64_t limit);

/*
 * Clears the limit of an account in a cycle, or its standing limit (cycle 0); where there is none, nothing happens.
 * Results and cost: as tkr_repository_set_usage_limit.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_clear_usage_limit(tkr_repository *repository, const tkr_account *account,
                                                            uint32_t cycle);

/*
 * Compares an account's total tokens in a cycle with the limit that holds: the cycle's own, else the standing one. A usage_limit
 * that somebody else has set to 0 or below in Redis is none; one that is written as a whole number in another way (" 7", "+7",
 * "1000.0", "1e3") is read as that number.
 * Results: 0; TKR_EINVAL (a NULL), TKR_ESIZE, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE; TKR_ESINK, also when a figure or the limit
 * cannot be read.
 * Cost: as tkr_repository_get_usage_stats of one account, without allocation in Redis's case but for the connection's buffers.
 */
TKR_API TKR_MUST_CHECK int tkr_repository_check_usage_limit(tkr_repository *repository, const tkr_account *account,
                                                            uint32_t cycle, tkr_limit_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
