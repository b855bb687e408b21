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
#include "sink/sink.h"
#include "tokenring/callback.h"

#define SHOWN_BYTES 200
#define NAME_BYTES 64
#define TRIES_MAX 64
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

    tkr_setting_redact(value, shown, sizeof(shown));
    tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s=%s", name, strcmp(name, "REDIS_PASSWORD") == 0 ? "***" : shown);
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

/* The variable that a sentence begins with. false: none that is set. */
static bool named_in(const char *sentence, char ret_name[NAME_BYTES])
{
    size_t len = strcspn(sentence, "=: ");

    if (len >= NAME_BYTES)
        return false;
    memcpy(ret_name, sentence, len);
    ret_name[len] = '\0';
    return getenv(ret_name) != NULL;
}

struct kept {
    char name[NAME_BYTES];
    char *value;
};

/* Reads until nothing is wrong: what was, is told and left out in the next try, in this process alone, and put back. */
static void check(struct tkr_findings *findings, int (*read)(tkr_message *ret_message))
{
    struct kept kept[TRIES_MAX];
    tkr_message message = {""};
    size_t count = 0;

    while (count < TRIES_MAX && read(&message) != 0) {
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "correct it: who reads it refuses to start", "%s", message.text);
        if (!named_in(message.text, kept[count].name))
            break;
        kept[count].value = strdup(getenv(kept[count].name));
        (void)unsetenv(kept[count].name);
        count++;
    }
    while (count-- > 0) {
        if (kept[count].value != NULL)
            (void)setenv(kept[count].name, kept[count].value, 1);
        free(kept[count].value);
    }
}

static void add_doubt(const tkr_message *doubt, void *argument)
{
    struct tkr_findings *findings = argument;

    tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "correct it, or unset it", "%s", doubt->text);
}

static void doubt(struct tkr_findings *findings)
{
    struct tkr_sink_config config;
    tkr_message message;

    if (tkr_sink_config_read(&config, &message) == 0)
        tkr_sink_config_doubt(&config, add_doubt, findings);
}

void tkr_doctor_settings(struct tkr_findings *findings)
{
    show_all(findings);
    show_unknown(findings);
    check(findings, read_log);
    check(findings, read_collector);
    check(findings, read_serve);
    check(findings, read_callbacks);
    doubt(findings);
}
