/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/operator.h"

#include <jansson.h>
#include <string.h>

#include "base/account.h"

#define DEADLINE_MS PROCESS_PATIENCE_MS
#define TRIES 100
#define PAUSE_MS 100 /* between tries */
#define TEXT_BYTES 512
#define ARGUMENTS_MAX 16
#define TOTALS "token_usage"

/* What verify says. */
struct verdict {
    int exit_code;
    json_int_t accounts;
    json_int_t agree;
    json_int_t undecided;
    json_int_t missing;
};

static json_int_t number_of(const json_t *answer, const char *name)
{
    return json_integer_value(json_object_get(answer, name));
}

/* The operator asks Redis itself, not through the proxy. argument: what follows `tokenring verify --json`, ended by NULL. */
static int verify(struct world *world, const char *const argument[], bool verbose, struct verdict *ret_verdict)
{
    const struct servers *servers = &world->servers;
    char program[TEXT_BYTES];
    char setting[2][TEXT_BYTES];
    const char *argv[ARGUMENTS_MAX] = {program, "verify", "--json"};
    const char *env[] = {setting[0], setting[1], NULL};
    struct process process;
    json_t *answer;

    for (int i = 0; argument[i] != NULL; i++)
        argv[3 + i] = argument[i];
    (void)snprintf(program, sizeof(program), "%s/tokenring", world->bin_dir);
    (void)snprintf(setting[0], TEXT_BYTES, "TOKENRING_RUNTIME_DIR=%s", world->place.runtime);
    (void)snprintf(setting[1], TEXT_BYTES, "REDIS_SOCKET=%s", servers->server[servers->primary].socket);
    if (process_run(&process, argv, env, DEADLINE_MS) != 0) {
        process_end(&process);
        return -1;
    }
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    *ret_verdict = (struct verdict){.exit_code = process_exit_code(&process),
                                    .accounts = number_of(answer, "accounts"),
                                    .agree = number_of(answer, "agree"),
                                    .undecided = number_of(answer, "undecided"),
                                    .missing = number_of(answer, "missing")};
    if (verbose)
        (void)fprintf(stderr, "verify: %s%s\n", process_text(&process, PROCESS_STDOUT), process_text(&process, PROCESS_STDERR));
    json_decref(answer);
    process_end(&process);
    return answer != NULL ? 0 : -1;
}

/* repair: an option or NULL. */
static int verify_account(struct world *world, struct operator_account account, const char *repair, bool verbose,
                          struct verdict *ret_verdict)
{
    uint32_t date = chaos_cycle(account.cycle);
    char id[CHAOS_ID_BYTES];
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[16];
    const char *const argument[] = {"--kind", kind, "--cycle", cycle, "--", id, NULL};
    const char *const repairing[] = {repair, "--kind", kind, "--cycle", cycle, "--", id, NULL};

    id[chaos_account_id(account.account, id)] = '\0';
    tkr_kind_name(chaos_account_kind(account.account), kind);
    (void)snprintf(cycle, sizeof(cycle), "%04u-%02u-%02u", date / 10000, date / 100 % 100, date % 100);
    return verify(world, repair != NULL ? repairing : argument, verbose, ret_verdict);
}

static bool was_reset(struct world *world, struct operator_account account)
{
    const struct servers *servers = &world->servers;
    char key[TRUTH_KEY_BYTES];
    size_t len = truth_key(account.account, account.cycle, key);
    redisReply *reply = redis_server_command(&servers->server[servers->primary], "EXISTS " CHAOS_RESET_PREFIX "%b", key, len);
    bool reset = reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer != 0;

    freeReplyObject(reply);
    return reset;
}

bool operator_agrees(struct world *world, struct operator_account account)
{
    struct verdict verdict;

    return !was_reset(world, account) && verify_account(world, account, NULL, false, &verdict) == 0 && verdict.exit_code == 0 &&
           verdict.accounts > 0 && verdict.agree == verdict.accounts;
}

bool operator_misses_nothing(struct world *world, struct operator_account account)
{
    struct verdict verdict;

    return verify_account(world, account, NULL, false, &verdict) == 0 && verdict.exit_code == 0 && verdict.missing == 0;
}

int operator_resend(struct world *world)
{
    const char *const look[] = {NULL};
    const char *const resend[] = {"--repair=resend", NULL};
    struct verdict verdict;
    int undecided;

    if (verify(world, look, false, &verdict) != 0)
        return -1;
    undecided = (int)verdict.undecided;
    return undecided == 0 || verify(world, resend, false, &verdict) == 0 ? undecided : -1;
}

int operator_delete(struct world *world, struct operator_account account, bool of_models)
{
    const struct servers *servers = &world->servers;
    char totals[TRUTH_KEY_BYTES];
    char key[2 * TRUTH_KEY_BYTES];
    const char *colon;
    redisReply *reply;
    int result = -1;

    (void)truth_key(account.account, account.cycle, totals);
    colon = strchr(totals, ':');
    (void)snprintf(key, sizeof(key), "tr1:{0}%.*s%s%s", (int)(colon - totals - (long)strlen(TOTALS)), totals + strlen(TOTALS),
                   of_models ? ".models" : "", colon);
    reply = redis_server_command(&servers->server[servers->primary], "DEL %b", key, strlen(key));
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
        result = (int)reply->integer;
    freeReplyObject(reply);
    return result;
}

int operator_repair(struct world *world, struct operator_account account, bool *ret_chosen)
{
    const char *repair = "--repair";
    struct verdict verdict = {0};

    *ret_chosen = false;
    for (int tries = 0; tries < TRIES; tries++) {
        if (verify_account(world, account, repair, false, &verdict) == 0 && verdict.exit_code == 0 && verdict.undecided == 0)
            return 0;
        *ret_chosen |= verdict.undecided > 0;
        repair = *ret_chosen ? "--repair=record" : "--repair";
        process_sleep_ms(PAUSE_MS);
    }
    (void)verify_account(world, account, repair, true, &verdict);
    return -1;
}
