/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's settings, from the environment. */
#ifndef TKR_COLLECTOR_CONFIG_H
#define TKR_COLLECTOR_CONFIG_H

#include <stdbool.h>

#include "base/host.h"
#include "sink/sink.h"

/* How a call is counted whose process died before it ended. */
enum tkr_orphan_policy {
    TKR_ORPHAN_STREAMED, /* the prompt's estimate and the tokens streamed so far */
    TKR_ORPHAN_PROMPT,   /* the prompt's estimate */
    TKR_ORPHAN_RESERVE,  /* what was reserved, at least what is known */
    TKR_ORPHAN_ZERO      /* the call, but no tokens */
};

struct tkr_collector_config {
    char runtime_path[TKR_RUNTIME_PATH_BYTES];
    bool runtime_own;                        /* the user's default directory */
    char state_path[TKR_RUNTIME_PATH_BYTES]; /* empty: none; the name then lives as long as the memory */
    uint32_t workers;                        /* threads, 1..64 */
    uint32_t accounts_max;                   /* entries per shard */
    uint32_t board_accounts;                 /* whose limits gateways can look at */
    uint32_t models_max;                     /* of an account and cycle that are told apart; 0: none */
    uint32_t users_shown;                    /* by name, in metrics */
    uint32_t flush_interval_ms;
    uint32_t parked_retry_ms; /* between tries of an account that the sink cannot take */
    uint32_t attempts;        /* of the sink that fail in a row before it is called failing */
    uint32_t retry_delay_ms;  /* before the first try again; it doubles, up to some seconds */
    uint32_t forget_after_s;  /* an acknowledged account that idle leaves memory and its record the sink */
    uint32_t linger_s;        /* after it was asked to leave it waits so long for attached gateways to go; 0: not at all */
    uint32_t recorded_max;    /* lines of the log about what a flush added, an account each; 0: none */
    enum tkr_orphan_policy orphans;
    struct tkr_sink_config sink;
};

/*
 * TOKENRING_RUNTIME_DIR, TOKENRING_STATE_DIR, TOKENRING_WORKERS (1..64; default: a quarter of the processors, at least 1),
 * TOKENRING_MAX_ACCOUNTS (1000..10000000 per shard; default 1000000), TOKENRING_MODELS (0..16 of an account and cycle; default 16), TOKENRING_METRICS_USERS (0..1000; default 100),
 * TOKENRING_BOARD_ACCOUNTS (1024..1048576; default 65536), TOKENRING_FLUSH_INTERVAL_MS (10..3600000; default 1000),
 * TOKENRING_PARKED_RETRY_MS (10..3600000; default 30000), TOKENRING_FORGET_AFTER_S (0: never, to 31536000; default 604800, a week),
 * TOKENRING_LINGER_S (0..86400; default 0), TOKENRING_ORPHANS (streamed, prompt, reserve, zero; default streamed), CALLBACK_RETRY_ATTEMPTS (1..1000; default 3),
 * CALLBACK_RETRY_DELAY (ms, 1..60000; default 100), TOKENRING_LOG_RECORDED (0..1000000 lines in a flush; default 0), and the
 * sink's (sink/sink.h).
 * 0, or -1 with a sentence that names the variable, its value and what is allowed.
 */
int tkr_collector_config_read(struct tkr_collector_config *ret_config, tkr_message *ret_message);

#endif
