/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: what is set, what is wrong, what nobody knows. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/settings.h"
#include "collector/config.h"
#include "command/doctor/findings.h"
#include "serve/config.h"
#include "sink/url.h"
#include "tokenring/callback.h"

#define SHOWN_BYTES 200
#define SUBJECT "settings"

/* All variables that README.md lists; tests/project/settings.sh compares. */
static const char *const known[] = {"TOKENRING_RUNTIME_DIR",
                                    "TOKENRING_STATE_DIR",
                                    "TOKENRING_SINK",
                                    "TOKENRING_LEDGER",
                                    "REDIS_URL",
                                    "REDIS_SOCKET",
                                    "REDIS_HOST",
                                    "REDIS_PORT",
                                    "REDIS_USERNAME",
                                    "REDIS_PASSWORD",
                                    "REDIS_DB",
                                    "TOKENRING_WORKERS",
                                    "TOKENRING_MAX_ACCOUNTS",
                                    "TOKENRING_MODELS",
                                    "TOKENRING_BOARD_ACCOUNTS",
                                    "TOKENRING_FLUSH_INTERVAL_MS",
                                    "TOKENRING_REDIS_TIMEOUT_MS",
                                    "TOKENRING_PARKED_RETRY_MS",
                                    "TOKENRING_ORPHANS",
                                    "TOKENRING_HTTP",
                                    "TOKENRING_HTTP_API",
                                    "TOKENRING_METRICS_USERS",
                                    "LOG_LEVEL",
                                    "LOG_FORMAT",
                                    "TOKENRING_LOG_FILE",
                                    "TOKENRING_LOG_RECORDED",
                                    "TOKENRING_LOG_REDACT",
                                    "CALLBACK_RETRY_ATTEMPTS",
                                    "CALLBACK_RETRY_DELAY",
                                    "TOKEN_ESTIMATION_RATIO",
                                    "ENABLE_PERFORMANCE_MONITORING",
                                    "PERFORMANCE_LOG_THRESHOLD",
                                    "TOKENRING_FORGET_AFTER_S",
                                    "TOKENRING_LINGER_S"};

#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))

static bool is_known(const char *name, size_t len)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strlen(known[i]) == len && memcmp(known[i], name, len) == 0)
            return true;
    }
    return false;
}

/* --- what is set --- */

static void show(struct tkr_findings *findings, const char *name, const char *value)
{
    char shown[SHOWN_BYTES];

    if (strcmp(name, "REDIS_PASSWORD") == 0)
        value = "***";
    if (strcmp(name, "REDIS_URL") == 0) {
        tkr_sink_url_redact(value, shown, sizeof(shown));
        value = shown;
    }
    tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s=%.200s", name, value);
}

static void show_all(struct tkr_findings *findings)
{
    bool any = false;

    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const char *value = tkr_setting_text(known[i]);
        if (value != NULL)
            show(findings, known[i], value);
        any |= value != NULL;
    }
    if (!any)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "none is set; defaults hold");
}

/* Names of ours that mean nothing: most likely slips of the pen. */
static void show_unknown(struct tkr_findings *findings)
{
    for (char **variable = environ; *variable != NULL; variable++) {
        size_t len = strcspn(*variable, "=");
        if (strncmp(*variable, "TOKENRING_", sizeof("TOKENRING_") - 1) == 0 && !is_known(*variable, len))
            tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "see README.md for those that there are, or unset it",
                            "%.*s is set, and no such setting is known", len < 100 ? (int)len : 100, *variable);
    }
}

/* --- what is wrong --- */

static int read_log(tkr_message *ret_message)
{
    struct tkr_log_settings settings;

    return tkr_log_settings_read(&settings, ret_message);
}

static int read_collector(tkr_message *ret_message)
{
    struct tkr_collector_config config;

    return tkr_collector_config_read(&config, ret_message);
}

static int read_serve(tkr_message *ret_message)
{
    struct tkr_serve_config config;

    return tkr_serve_config_read(&config, ret_message);
}

static int read_callbacks(tkr_message *ret_message)
{
    tkr_callback_settings settings = TKR_CALLBACK_SETTINGS_INIT;

    return tkr_callback_settings_read(&settings, ret_message->text, sizeof(ret_message->text));
}

/* The variable that a sentence begins with; NULL: none that we know. */
static const char *named_in(const char *sentence)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        size_t len = strlen(known[i]);
        if (strncmp(sentence, known[i], len) == 0 && strchr("=: ", sentence[len]) != NULL)
            return known[i];
    }
    return NULL;
}

/* Reads until nothing is wrong: what was, is told and left out in the next try, in this process alone, and put back. */
static void check(struct tkr_findings *findings, int (*read)(tkr_message *ret_message))
{
    char *kept[KNOWN_COUNT] = {NULL};
    tkr_message message = {""};
    const char *name = NULL;
    size_t tries = 0;

    while (tries++ < KNOWN_COUNT && read(&message) != 0) {
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "correct it: who reads it refuses to start", "%s", message.text);
        name = named_in(message.text);
        if (name == NULL)
            break;
        for (size_t i = 0; i < KNOWN_COUNT; i++) {
            if (known[i] == name && getenv(name) != NULL)
                kept[i] = strdup(getenv(name));
        }
        (void)unsetenv(name);
    }
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (kept[i] != NULL)
            (void)setenv(known[i], kept[i], 1);
        free(kept[i]);
    }
}

void tkr_doctor_settings(struct tkr_findings *findings)
{
    show_all(findings);
    show_unknown(findings);
    check(findings, read_log);
    check(findings, read_collector);
    check(findings, read_serve);
    check(findings, read_callbacks);
}
