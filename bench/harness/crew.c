/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"

struct member {
    const struct bench_crew *crew;
    struct gathering *gathering;
    unsigned number;
    int64_t begun_ns;
    int64_t done_ns; /* 0: it died on the way */
    int result;
};

/* In shared memory. */
struct gathering {
    pthread_barrier_t barrier;
    struct member member[BENCH_CREW_MAX];
};

static void *run_member(void *arg)
{
    struct member *member = arg;
    const struct bench_crew *crew = member->crew;

    bench_pin(member->number);
    member->result = crew->prepare(crew->arg, member->number);
    (void)pthread_barrier_wait(&member->gathering->barrier); /* also after a failure: the others wait */
    member->begun_ns = tkr_clock_monotonic_ns();
    if (member->result == 0)
        member->result = crew->work(crew->arg, member->number);
    member->done_ns = tkr_clock_monotonic_ns();
    (void)pthread_barrier_wait(&member->gathering->barrier); /* whose end is its own costs the others no time */
    return NULL;
}

static void run_threads(struct gathering *gathering, unsigned count)
{
    pthread_t thread[BENCH_CREW_MAX];

    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&thread[i], NULL, run_member, &gathering->member[i]) != 0)
            _exit(-bench_wrong("no thread")); /* those that wait already cannot be called off */
    }
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(thread[i], NULL);
}

static void run_processes(struct gathering *gathering, unsigned count)
{
    pid_t child[BENCH_CREW_MAX];

    for (unsigned i = 0; i < count; i++) {
        child[i] = fork();
        if (child[i] < 0)
            _exit(-bench_wrong("no process")); /* the kernel ends the others */
        if (child[i] > 0)
            continue;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)run_member(&gathering->member[i]);
        _exit(0);
    }
    for (unsigned i = 0; i < count; i++)
        (void)waitpid(child[i], NULL, 0);
}

static double spent(const struct gathering *gathering, unsigned count)
{
    int64_t begun_ns = INT64_MAX;
    int64_t done_ns = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct member *member = &gathering->member[i];
        if (member->result != 0 || member->done_ns == 0)
            return bench_wrong("number %u of %u failed: %d", i, count, member->result);
        begun_ns = member->begun_ns < begun_ns ? member->begun_ns : begun_ns;
        done_ns = member->done_ns > done_ns ? member->done_ns : done_ns;
    }
    return (double)(done_ns - begun_ns);
}

double bench_crew_run(const struct bench_crew *crew)
{
    struct gathering *gathering = mmap(NULL, sizeof(*gathering), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    double ns;

    if (gathering == MAP_FAILED)
        return bench_wrong("no memory");
    (void)pthread_barrierattr_init(&shared);
    (void)pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    (void)pthread_barrier_init(&gathering->barrier, &shared, crew->count);
    for (unsigned i = 0; i < crew->count; i++) {
        gathering->member[i].crew = crew;
        gathering->member[i].gathering = gathering;
        gathering->member[i].number = i;
    }
    if (crew->processes)
        run_processes(gathering, crew->count);
    else
        run_threads(gathering, crew->count);
    ns = spent(gathering, crew->count);
    (void)munmap(gathering, sizeof(*gathering));
    return ns;
}
