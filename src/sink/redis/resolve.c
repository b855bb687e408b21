/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define KEPT_NS (15 * TKR_NS_PER_S)    /* addresses that came too late for who asked are good for the next who asks */
#define JOINED_NS (30 * TKR_NS_PER_S)  /* a lookup that is older is not waited for any more, where another can be started */
#define GLANCE_NS (50 * TKR_NS_PER_MS) /* between looks whether it is given up */
#define SHOWN_BYTES 100

enum state { FREE, PENDING, DONE };

/* A place for one lookup. */
struct lookup {
    enum state state;
    uint32_t waiting; /* callers */
    int64_t since_ns; /* of the state */
    char name[TKR_SINK_TEXT_BYTES];
    struct tkr_addresses found; /* without a port */
    tkr_message why;            /* none was found; empty when some were */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool works; /* false: there was no memory for the handler of forks */
    struct lookup lookup[TKR_LOOKUPS_MAX];
} resolver;

/* --- life --- */

static void make_locks(void)
{
    pthread_condattr_t monotonic;

    (void)pthread_mutex_init(&resolver.mutex, NULL); /* none of these can fail on Linux */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&resolver.done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

/* Another thread of the parent may have held the mutex, and the threads of pending lookups are not here. */
static void forget_all(void)
{
    memset(resolver.lookup, 0, sizeof(resolver.lookup));
    make_locks();
}

static void prepare_process(void)
{
    make_locks();
    resolver.works = pthread_atfork(NULL, NULL, forget_all) == 0;
}

/* --- one lookup --- */

static void take_found(const struct addrinfo *list, struct tkr_addresses *ret_addresses)
{
    ret_addresses->count = 0;
    for (; list != NULL && ret_addresses->count < TKR_ADDRESSES_MAX; list = list->ai_next) {
        struct tkr_address *address = &ret_addresses->address[ret_addresses->count];

        if (list->ai_addrlen > sizeof(address->at) || (list->ai_family != AF_INET && list->ai_family != AF_INET6))
            continue;
        memcpy(&address->at, list->ai_addr, list->ai_addrlen);
        address->len = list->ai_addrlen;
        ret_addresses->count++;
    }
}

/* Asks; blocks for as long as the system likes, unless flags has AI_NUMERICHOST. 0 or EAI_... */
static int ask(const char *host, int flags, struct tkr_addresses *ret_addresses)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *list = NULL;
    int result = getaddrinfo(host, NULL, &hints, &list);

    if (result != 0)
        return result;
    take_found(list, ret_addresses);
    freeaddrinfo(list);
    return ret_addresses->count > 0 ? 0 : EAI_NONAME;
}

static void *look_up(void *argument)
{
    struct lookup *lookup = argument;
    struct tkr_addresses found;
    tkr_message why = {""};
    int result = ask(lookup->name, 0, &found);

    if (result != 0)
        (void)tkr_message_set(&why, "cannot resolve %.*s: %s", SHOWN_BYTES, lookup->name,
                              result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
    (void)pthread_mutex_lock(&resolver.mutex);
    lookup->state = result == 0 || lookup->waiting > 0 ? DONE : FREE;
    lookup->since_ns = tkr_clock_monotonic_ns();
    lookup->why = why;
    if (result == 0)
        lookup->found = found;
    (void)pthread_cond_broadcast(&resolver.done);
    (void)pthread_mutex_unlock(&resolver.mutex);
    return NULL;
}

/* The host's signals are for the host's threads. 0 or an error number. */
static int start_thread(struct lookup *lookup)
{
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int result;

    (void)pthread_attr_init(&detached); /* neither fails on Linux */
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&thread, &detached, look_up, lookup);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&detached);
    return result;
}

/* --- places; the mutex is held --- */

/* Addresses that nobody waits for are free to go when they are old. */
static bool is_free(const struct lookup *lookup, int64_t now)
{
    return lookup->state == FREE || (lookup->state == DONE && lookup->waiting == 0 && now - lookup->since_ns > KEPT_NS);
}

/* One of the name whose result is there or may be waited for: the youngest of them. NULL: none. */
static struct lookup *find(const char *host, int64_t now, bool young)
{
    struct lookup *best = NULL;

    for (size_t i = 0; i < TKR_LOOKUPS_MAX; i++) {
        struct lookup *lookup = &resolver.lookup[i];
        bool usable = lookup->state == DONE || (lookup->state == PENDING && (!young || now - lookup->since_ns <= JOINED_NS));

        if (!is_free(lookup, now) && usable && strcmp(lookup->name, host) == 0 &&
            (best == NULL || lookup->state == DONE || (best->state != DONE && lookup->since_ns > best->since_ns)))
            best = lookup;
    }
    return best;
}

static struct lookup *find_free(int64_t now)
{
    for (size_t i = 0; i < TKR_LOOKUPS_MAX; i++) {
        if (is_free(&resolver.lookup[i], now))
            return &resolver.lookup[i];
    }
    return NULL;
}

static int begin(struct lookup *lookup, const char *host, int64_t now, tkr_message *ret_message)
{
    int failure;

    *lookup = (struct lookup){.state = PENDING, .since_ns = now};
    memcpy(lookup->name, host, strlen(host) + 1);
    failure = start_thread(lookup);
    if (failure == 0)
        return 0;
    lookup->state = FREE;
    return tkr_message_set(ret_message, "cannot start a thread that resolves %.*s: %s", SHOWN_BYTES, host, strerror(failure));
}

/* The lookup to wait for, which has begun now or before. NULL with the reason. */
static struct lookup *join(const char *host, tkr_message *ret_message)
{
    int64_t now = tkr_clock_monotonic_ns();
    struct lookup *lookup = find(host, now, true);

    if (lookup != NULL)
        return lookup;
    lookup = find_free(now);
    if (lookup != NULL)
        return begin(lookup, host, now, ret_message) == 0 ? lookup : NULL;
    lookup = find(host, now, false);
    if (lookup == NULL)
        (void)tkr_message_set(ret_message, "cannot resolve %.*s: %d lookups of other names still wait for the resolver",
                              SHOWN_BYTES, host, TKR_LOOKUPS_MAX);
    return lookup;
}

static void wait_for(struct lookup *lookup, int64_t until_ns, const struct tkr_give_up *give_up)
{
    int64_t now;

    while (lookup->state == PENDING && (now = tkr_clock_monotonic_ns()) < until_ns && !tkr_given_up(give_up)) {
        int64_t at_ns = until_ns - now > GLANCE_NS ? now + GLANCE_NS : until_ns;
        const struct timespec at = {.tv_sec = at_ns / TKR_NS_PER_S, .tv_nsec = at_ns % TKR_NS_PER_S};

        (void)pthread_cond_timedwait(&resolver.done, &resolver.mutex, &at); /* the loop asks why it ended */
    }
}

static int resolve_name(const char *host, int64_t until_ns, const struct tkr_give_up *give_up,
                        struct tkr_addresses *ret_addresses, tkr_message *ret_message)
{
    struct lookup *lookup;
    int rc = -1;

    (void)pthread_mutex_lock(&resolver.mutex);
    lookup = join(host, ret_message);
    if (lookup != NULL) {
        lookup->waiting++;
        wait_for(lookup, until_ns, give_up);
        lookup->waiting--;
        if (lookup->state == PENDING)
            (void)tkr_message_set(ret_message,
                                  "cannot resolve %.*s: the resolver does not answer in time (TOKENRING_REDIS_TIMEOUT_MS)",
                                  SHOWN_BYTES, host);
        else if (lookup->why.text[0] != '\0')
            *ret_message = lookup->why;
        else {
            *ret_addresses = lookup->found;
            rc = 0;
        }
        if (lookup->state == DONE && lookup->waiting == 0)
            lookup->state = FREE;
    }
    (void)pthread_mutex_unlock(&resolver.mutex);
    return rc;
}

/* --- the interface --- */

static void set_port(struct tkr_addresses *addresses, int port)
{
    for (uint32_t i = 0; i < addresses->count; i++) {
        struct sockaddr_storage *at = &addresses->address[i].at;

        if (at->ss_family == AF_INET)
            ((struct sockaddr_in *)at)->sin_port = htons((uint16_t)port);
        else
            ((struct sockaddr_in6 *)at)->sin6_port = htons((uint16_t)port);
    }
}

int tkr_redis_resolve(const char *host, int port, int64_t until_ns, const struct tkr_give_up *give_up,
                      struct tkr_addresses *ret_addresses, tkr_message *ret_message)
{
    struct tkr_addresses addresses;

    if (ask(host, AI_NUMERICHOST, &addresses) != 0) {
        (void)pthread_once(&once, prepare_process); /* fails only for a bad argument */
        if (!resolver.works)
            return tkr_message_set(ret_message, "out of memory");
        if (resolve_name(host, until_ns, give_up, &addresses, ret_message) != 0)
            return -1;
    }
    set_port(&addresses, port);
    *ret_addresses = addresses;
    return 0;
}
