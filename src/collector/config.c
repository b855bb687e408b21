/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector/ranking.h"
#include "limit/layout.h"
#include "table/shard.h"
#include "tokenring/tokenring.h"
#include "table/layout.h"

#define PROCESSORS_PER_WORKER 4
#define ACCOUNTS_DEFAULT 1000000
#define MODELS_DEFAULT 16
#define USERS_SHOWN_DEFAULT 100
#define BOARD_ACCOUNTS_DEFAULT 65536
#define FLUSH_INTERVAL_DEFAULT_MS 1000
#define FORGET_AFTER_DEFAULT_S 604800
#define PARKED_RETRY_DEFAULT_MS 30000
#define ATTEMPTS_DEFAULT 3
#define RETRY_DELAY_DEFAULT_MS 100
#define RECORDED_MAX 1000000
#define LINGER_MAX_S 86400

static int read_orphans(enum tkr_orphan_policy *ret_policy, tkr_message *ret_message)
{
    static const char *const names[] = {"streamed", "prompt", "reserve", "zero"};
    const char *text = tkr_setting_text("TOKENRING_ORPHANS");

    *ret_policy = TKR_ORPHAN_STREAMED;
    for (int i = 0; text != NULL && i <= TKR_ORPHAN_ZERO; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_policy = (enum tkr_orphan_policy)i;
            return 0;
        }
    }
    if (text != NULL)
        return tkr_setting_refuse(ret_message, "TOKENRING_ORPHANS", text, "allowed are streamed, prompt, reserve, zero");
    return 0;
}

static int read_number(const char *name, int64_t min, int64_t max, int64_t value_default, uint32_t *ret_value,
                       tkr_message *ret_message)
{
    int64_t value;

    if (tkr_setting_integer(name, min, max, value_default, &value, ret_message) != 0)
        return -1;
    *ret_value = (uint32_t)value;
    return 0;
}

static int64_t workers_default(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return processors >= 2 * PROCESSORS_PER_WORKER ? processors / PROCESSORS_PER_WORKER : 1;
}

int tkr_collector_config_read(struct tkr_collector_config *ret_config, tkr_message *ret_message)
{
    struct tkr_collector_config *config = ret_config;
    const char *runtime;
    const char *state;

    memset(config, 0, sizeof(*config));
    if (tkr_setting_path("TOKENRING_RUNTIME_DIR", &runtime, ret_message) != 0 ||
        tkr_setting_path("TOKENRING_STATE_DIR", &state, ret_message) != 0)
        return -1;
    if (tkr_runtime_path(NULL, config->runtime_path, &config->runtime_own) != TKR_OK)
        return tkr_message_set(ret_message, "TOKENRING_RUNTIME_DIR is longer than a path may be");
    if (state != NULL &&
        (size_t)snprintf(config->state_path, sizeof(config->state_path), "%s", state) >= sizeof(config->state_path))
        return tkr_message_set(ret_message, "TOKENRING_STATE_DIR is longer than a path may be");
    if (read_number("TOKENRING_WORKERS", 1, TKR_SHARDS_MAX, workers_default(), &config->workers, ret_message) != 0 ||
        read_number("TOKENRING_MAX_ACCOUNTS", 1000, 10000000, ACCOUNTS_DEFAULT, &config->accounts_max, ret_message) != 0 ||
        read_number("TOKENRING_MODELS", 0, TKR_MODELS_MAX, MODELS_DEFAULT, &config->models_max, ret_message) != 0 ||
        read_number("TOKENRING_METRICS_USERS", 0, TKR_RANKING_SHOWN_MAX, USERS_SHOWN_DEFAULT, &config->users_shown,
                    ret_message) != 0 ||
        read_number("TOKENRING_BOARD_ACCOUNTS", TKR_BOARD_ACCOUNTS_MIN, TKR_BOARD_ACCOUNTS_MAX, BOARD_ACCOUNTS_DEFAULT,
                    &config->board_accounts, ret_message) != 0 ||
        read_number("TOKENRING_FLUSH_INTERVAL_MS", 10, 3600000, FLUSH_INTERVAL_DEFAULT_MS, &config->flush_interval_ms,
                    ret_message) != 0 ||
        read_number("TOKENRING_FORGET_AFTER_S", 0, 31536000, FORGET_AFTER_DEFAULT_S, &config->forget_after_s, ret_message) != 0 ||
        read_number("TOKENRING_PARKED_RETRY_MS", 10, 3600000, PARKED_RETRY_DEFAULT_MS, &config->parked_retry_ms, ret_message) !=
            0 ||
        read_number("TOKENRING_LINGER_S", 0, LINGER_MAX_S, 0, &config->linger_s, ret_message) != 0 ||
        read_number("CALLBACK_RETRY_ATTEMPTS", 1, 1000, ATTEMPTS_DEFAULT, &config->attempts, ret_message) != 0 ||
        read_number("CALLBACK_RETRY_DELAY", 1, 60000, RETRY_DELAY_DEFAULT_MS, &config->retry_delay_ms, ret_message) != 0 ||
        read_number("TOKENRING_LOG_RECORDED", 0, RECORDED_MAX, 0, &config->recorded_max, ret_message) != 0 ||
        read_orphans(&config->orphans, ret_message) != 0)
        return -1;
    return tkr_sink_config_read(&config->sink, ret_message);
}
