/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/answerer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define ANSWER_NS (30 * TKR_NS_PER_S)
#define TYPE_JSON "application/json"
#define NO_STORE "no-store"

struct waiting {
    struct MHD_Connection *connection;
    struct tkr_ask *ask;
    struct MHD_Response **ret_response;
};

struct tkr_answerer {
    void *argument;
    atomic_bool stop;
    pthread_t thread;
    bool running; /* the thread is there */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct waiting waiting[TKR_ANSWERER_WAITING]; /* a ring */
    uint32_t first;
    uint32_t count;
};

struct MHD_Response *tkr_answer_make(struct tkr_ask *ask, json_t *object)
{
    struct MHD_Response *response = NULL;
    char *text;

    if (object == NULL && ask->why.text[0] == '\0')
        (void)tkr_ask_refuse(ask, MHD_HTTP_INTERNAL_SERVER_ERROR, "there is no memory for the answer");
    if (object == NULL) {
        json_t *why = json_stringn(ask->why.text, strlen(ask->why.text));
        object = json_pack("{s:o}", "error", why != NULL ? why : json_string("the request is not UTF-8"));
    }
    text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text != NULL)
        response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return NULL;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, TYPE_JSON); /* without them it is still the answer */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, NO_STORE);
    return response;
}

static void answer(struct tkr_answerer *answerer, const struct waiting *waiting)
{
    struct tkr_ask *ask = waiting->ask;
    json_t *object = NULL;

    ask->stop = &answerer->stop;
    ask->until_ns = tkr_clock_monotonic_ns() + ANSWER_NS;
    ask->status = MHD_HTTP_OK;
    if (!tkr_ask_given_up(ask))
        object = ask->route->answer(ask, answerer->argument);
    if (object == NULL && tkr_ask_given_up(ask))
        (void)tkr_ask_refuse(ask, MHD_HTTP_SERVICE_UNAVAILABLE, "it was given up: it took 30 s, or the collector ends");
    *waiting->ret_response = tkr_answer_make(ask, object);
    MHD_resume_connection(waiting->connection);
}

/* Waits for a question. false: there is none, and none will come. */
static bool take(struct tkr_answerer *answerer, struct waiting *ret_waiting)
{
    bool taken;

    (void)pthread_mutex_lock(&answerer->mutex);
    while (answerer->count == 0 && !atomic_load_explicit(&answerer->stop, memory_order_relaxed)) /* the mutex orders it */
        (void)pthread_cond_wait(&answerer->wake, &answerer->mutex);
    taken = answerer->count > 0;
    if (taken) {
        *ret_waiting = answerer->waiting[answerer->first];
        answerer->first = (answerer->first + 1) % TKR_ANSWERER_WAITING;
        answerer->count--;
    }
    (void)pthread_mutex_unlock(&answerer->mutex);
    return taken;
}

static void *run(void *argument)
{
    struct tkr_answerer *answerer = argument;
    struct waiting waiting;

    while (take(answerer, &waiting))
        answer(answerer, &waiting);
    return NULL;
}

struct tkr_answerer *tkr_answerer_start(void *argument)
{
    struct tkr_answerer *answerer = calloc(1, sizeof(*answerer));

    if (answerer == NULL)
        return NULL;
    answerer->argument = argument;
    answerer->running = pthread_mutex_init(&answerer->mutex, NULL) == 0 && pthread_cond_init(&answerer->wake, NULL) == 0 &&
                        pthread_create(&answerer->thread, NULL, run, answerer) == 0;
    if (answerer->running)
        return answerer;
    free(answerer);
    return NULL;
}

bool tkr_answerer_put(struct tkr_answerer *answerer, struct MHD_Connection *connection, struct tkr_ask *ask,
                      struct MHD_Response **ret_response)
{
    bool taken;

    (void)pthread_mutex_lock(&answerer->mutex);
    taken = answerer->count < TKR_ANSWERER_WAITING && !atomic_load_explicit(&answerer->stop, memory_order_relaxed);
    if (taken) {
        MHD_suspend_connection(connection); /* before anybody can resume it */
        answerer->waiting[(answerer->first + answerer->count++) % TKR_ANSWERER_WAITING] =
            (struct waiting){.connection = connection, .ask = ask, .ret_response = ret_response};
        (void)pthread_cond_signal(&answerer->wake);
    }
    (void)pthread_mutex_unlock(&answerer->mutex);
    return taken;
}

void tkr_answerer_stop(struct tkr_answerer *answerer)
{
    if (answerer == NULL || !answerer->running)
        return;
    (void)pthread_mutex_lock(&answerer->mutex);
    atomic_store_explicit(&answerer->stop, true, memory_order_relaxed);
    (void)pthread_cond_signal(&answerer->wake);
    (void)pthread_mutex_unlock(&answerer->mutex);
    (void)pthread_join(answerer->thread, NULL); /* it is ours, and joined once */
    answerer->running = false;
}

void tkr_answerer_free(struct tkr_answerer *answerer)
{
    if (answerer == NULL)
        return;
    (void)pthread_cond_destroy(&answerer->wake);
    (void)pthread_mutex_destroy(&answerer->mutex);
    free(answerer);
}
