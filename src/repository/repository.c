/* SPDX-License-Identifier: Apache-2.0 */
#include "repository/repository.h"

#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/process.h"

static pthread_once_t zone_once = PTHREAD_ONCE_INIT;
static struct tkr_zone zone; /* for TKR_CYCLE_DAY */

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER; /* a fork holds it, so the list is whole in a child */
static struct tkr_repository *repositories;                 /* that are open; under the lock */
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;
static int forks_failure;

static void read_zone(void)
{
    tkr_zone_read(&zone);
}

int tkr_repository_check_size(uint32_t size, size_t needed)
{
    bool possible = size >= needed && size <= TKR_REPOSITORY_STRUCT_BYTES_MAX && size % sizeof(uint64_t) == 0;

    return possible ? TKR_OK : TKR_ESIZE;
}

/* An older caller lacks fields, which keep their defaults; what a newer one has beyond must be zero. */
static int adopt_options(const tkr_repository_options *given, tkr_repository_options *ret_options)
{
    const unsigned char *bytes = (const unsigned char *)given;
    uint32_t size;

    *ret_options = (tkr_repository_options)TKR_REPOSITORY_OPTIONS_INIT;
    if (given == NULL)
        return TKR_OK;
    size = given->size;
    if (tkr_repository_check_size(size, offsetof(tkr_repository_options, producer)) != TKR_OK)
        return TKR_ESIZE;
    for (size_t i = sizeof(*ret_options); i < size; i++) {
        if (bytes[i] != 0)
            return TKR_ESIZE;
    }
    memcpy(ret_options, given, size < sizeof(*ret_options) ? size : sizeof(*ret_options));
    return TKR_OK;
}

static int take_rule(const tkr_repository_options *options, struct tkr_cycle_rule *ret_rule)
{
    if ((options->flags & ~(uint32_t)TKR_CYCLE_DAY) != 0)
        return TKR_EINVAL;
    if (options->anchor_day < 0 || options->anchor_day > 31)
        return TKR_ECYCLE;
    if (options->utc_offset_minutes < -1440 || options->utc_offset_minutes > 1440)
        return TKR_ERANGE;
    *ret_rule = (struct tkr_cycle_rule){.anchor_day = options->anchor_day != 0 ? options->anchor_day : 1,
                                        .utc_offset_minutes = options->utc_offset_minutes};
    if ((options->flags & TKR_CYCLE_DAY) != 0) {
        (void)pthread_once(&zone_once, read_zone); /* fails only for a bad argument */
        ret_rule->zone = &zone;
    }
    return TKR_OK;
}

/* --- processes --- */

static void close_sink(tkr_repository *repository)
{
    if (repository->sink != NULL)
        repository->sink->ops->close(repository->sink);
    repository->sink = NULL;
}

static bool is_own(const tkr_repository *repository)
{
    /* What was made before it; pairs with the release in make_own. */
    return atomic_load_explicit(&repository->generation, memory_order_acquire) == tkr_process_generation();
}

/* Before all that locks: makes what belongs to a process; what was inherited is left. */
static void make_own(tkr_repository *repository)
{
    if (is_own(repository))
        return;
    tkr_process_lock();
    if (!is_own(repository)) {                                  /* no other thread was faster */
        (void)pthread_mutex_init(&repository->sink_lock, NULL); /* neither fails with default attributes */
        (void)pthread_mutex_init(&repository->error_lock, NULL);
        repository->inherited = repository->sink;
        repository->sink = NULL;
        repository->error.text[0] = '\0';
        atomic_store_explicit(&repository->generation, tkr_process_generation(), memory_order_release);
    }
    tkr_process_unlock();
}

/* Waits for questions to a ledger; of Redis, takes the locks that are free. */
static void before_fork(void)
{
    (void)pthread_mutex_lock(&opening);
    for (tkr_repository *r = repositories; r != NULL; r = r->next) {
        r->held = is_own(r);
        if (r->held && r->config.kind == TKR_SINK_SQLITE)
            (void)pthread_mutex_lock(&r->sink_lock);
        else if (r->held)
            r->held = pthread_mutex_trylock(&r->sink_lock) == 0;
    }
}

static void after_fork_in_parent(void)
{
    for (tkr_repository *r = repositories; r != NULL; r = r->next) {
        if (r->held)
            (void)pthread_mutex_unlock(&r->sink_lock);
    }
    (void)pthread_mutex_unlock(&opening);
}

static void after_fork_in_child(void)
{
    for (tkr_repository *r = repositories; r != NULL; r = r->next) {
        if (!r->held)
            continue;
        close_sink(r);
        (void)pthread_mutex_unlock(&r->sink_lock);
    }
    (void)pthread_mutex_unlock(&opening);
}

static void prepare_forks(void)
{
    forks_failure = tkr_process_prepare() ? pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) : -1;
}

static void enlist(tkr_repository *repository)
{
    make_own(repository);
    (void)pthread_mutex_lock(&opening);
    repository->next = repositories;
    repositories = repository;
    (void)pthread_mutex_unlock(&opening);
}

static void delist(tkr_repository *repository)
{
    struct tkr_repository **link = &repositories;

    (void)pthread_mutex_lock(&opening);
    while (*link != NULL && *link != repository)
        link = &(*link)->next;
    if (*link != NULL)
        *link = repository->next;
    (void)pthread_mutex_unlock(&opening);
}

/* --- opening and closing --- */

int tkr_repository_open(const tkr_repository_options *options, tkr_repository **ret_repository)
{
    tkr_repository_options taken;
    struct tkr_cycle_rule rule;
    tkr_repository *repository;
    tkr_message why;
    int result = ret_repository == NULL ? TKR_EINVAL : adopt_options(options, &taken);

    if (result == TKR_OK)
        result = take_rule(&taken, &rule);
    if (result != TKR_OK)
        return result;
    (void)pthread_once(&forks_once, prepare_forks);
    repository = forks_failure == 0 ? calloc(1, sizeof(*repository)) : NULL;
    if (repository == NULL)
        return TKR_ENOMEM;
    if (tkr_sink_config_read(&repository->config, &why) != 0) {
        explicit_bzero(&repository->config, sizeof(repository->config));
        free(repository);
        return TKR_ESINK;
    }
    repository->producer = taken.producer;
    repository->rule = rule;
    enlist(repository);
    *ret_repository = repository;
    return TKR_OK;
}

void tkr_repository_close(tkr_repository *repository)
{
    if (repository == NULL)
        return;
    delist(repository);
    make_own(repository); /* a child leaves what it inherited */
    close_sink(repository);
    (void)pthread_mutex_destroy(&repository->sink_lock); /* nobody is inside */
    (void)pthread_mutex_destroy(&repository->error_lock);
    explicit_bzero(&repository->config, sizeof(repository->config));
    free(repository);
}

int tkr_repository_error(tkr_repository *repository, char *ret_text, size_t bytes)
{
    size_t len;

    if (repository == NULL || ret_text == NULL || bytes == 0)
        return TKR_EINVAL;
    make_own(repository);
    (void)pthread_mutex_lock(&repository->error_lock);
    len = strnlen(repository->error.text, bytes - 1);
    memcpy(ret_text, repository->error.text, len);
    (void)pthread_mutex_unlock(&repository->error_lock);
    ret_text[len] = '\0';
    return TKR_OK;
}

static void keep_error(tkr_repository *repository, const tkr_message *why)
{
    (void)pthread_mutex_lock(&repository->error_lock);
    repository->error = *why;
    (void)pthread_mutex_unlock(&repository->error_lock);
}

int tkr_repository_ask(tkr_repository *repository, tkr_repository_task *task, void *arg)
{
    tkr_message why = {""};
    int rc;

    make_own(repository);
    (void)pthread_mutex_lock(&repository->sink_lock);
    rc = repository->sink != NULL ? 0 : tkr_sink_open(&repository->config, &repository->sink, &why);
    if (rc == 0)
        rc = task(repository->sink, arg, &why);
    (void)pthread_mutex_unlock(&repository->sink_lock);
    if (rc >= 0)
        return TKR_OK;
    keep_error(repository, &why);
    return TKR_ESINK;
}

static uint32_t default_cycle(const tkr_repository *repository)
{
    struct tkr_cycle_span span;
    int64_t now_ns = tkr_clock_unix_ns();

    tkr_cycle_find(&repository->rule, now_ns > 0 ? now_ns : 0, &span);
    return span.cycle;
}

int tkr_repository_row(const tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                       struct tkr_usage_row *ret_row)
{
    if (repository == NULL || account == NULL)
        return TKR_EINVAL;
    if (account->id == NULL || account->len < 1 || account->len > TKR_ID_BYTES_MAX || !tkr_text_clean(account->id, account->len))
        return TKR_EACCOUNT;
    if (!tkr_kind_valid(account->kind))
        return TKR_EKIND;
    if (cycle != 0 && !tkr_cycle_valid(cycle))
        return TKR_ECYCLE;
    *ret_row = (struct tkr_usage_row){.kind = account->kind,
                                      .id = account->id,
                                      .id_len = account->len,
                                      .cycle = cycle != 0 ? cycle : default_cycle(repository),
                                      .limit = -1};
    return TKR_OK;
}
