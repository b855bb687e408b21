/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen_use LIBRARY: a plug-in host opens the library, uses it from a thread, closes it, and the thread ends later:
 * its exit still runs the library's destructor, so the code must be there (-z nodelete). */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tokenring/tokenring.h"

typedef int open_function(const tkr_options *, tkr_producer **);
typedef int record_function(tkr_producer *, const tkr_start *, const tkr_usage *);
typedef void close_function(tkr_producer *);

static struct {
    open_function *open;
    record_function *record;
    close_function *close;
    tkr_producer *producer;
    pthread_barrier_t barrier;
    int result;
} host;

/* POSIX promises that a function's address survives this; ISO C does not, hence no cast. */
static void find(void *library, const char *name, void *ret_function)
{
    void *address = dlsym(library, name);
    memcpy(ret_function, &address, sizeof(address));
}

static void *gateway_thread(void *unused)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "alice", .len = 5};
    usage.prompt = 1;
    usage.completion = 2;
    host.result = host.record(host.producer, &start, &usage);
    (void)pthread_barrier_wait(&host.barrier); /* used */
    (void)pthread_barrier_wait(&host.barrier); /* closed */
    return unused;
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    pthread_t thread;
    int result;

    if (library == NULL) {
        (void)fprintf(stderr, "dlopen: %s\n", argc == 2 ? dlerror() : "usage: dlopen_use LIBRARY");
        return 1;
    }
    find(library, "tkr_open", &host.open);
    find(library, "tkr_record", &host.record);
    find(library, "tkr_close", &host.close);
    result = host.open(NULL, &host.producer);
    if (result != 0) {
        (void)fprintf(stderr, "tkr_open: %d\n", result);
        return 1;
    }
    if (pthread_barrier_init(&host.barrier, NULL, 2) != 0 || pthread_create(&thread, NULL, gateway_thread, NULL) != 0)
        return 1;
    (void)pthread_barrier_wait(&host.barrier);
    host.close(host.producer);
    (void)dlclose(library); /* the library stays: that is what is tried */
    (void)pthread_barrier_wait(&host.barrier);
    (void)pthread_join(thread, NULL);
    if (host.result != 0)
        (void)fprintf(stderr, "tkr_record: %d\n", host.result);
    return host.result != 0;
}
