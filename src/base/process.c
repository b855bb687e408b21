/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <sys/mman.h>

struct tkr_process *tkr_process_page;
static _Atomic uint64_t last; /* generation given, here and in all ancestors */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void map_page(void)
{
    void *at = mmap(NULL, sizeof(*tkr_process_page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return;
    if (madvise(at, sizeof(*tkr_process_page), MADV_WIPEONFORK) == 0)
        tkr_process_page = at;
    else
        (void)munmap(at, sizeof(*tkr_process_page));
}

bool tkr_process_prepare(void)
{
    (void)pthread_once(&once, map_page);
    return tkr_process_page != NULL;
}

uint64_t tkr_process_generation_take(void)
{
    uint64_t next = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1; /* a number; of several one is used */
    uint64_t seen = 0;

    if (atomic_compare_exchange_strong_explicit(&tkr_process_page->generation, &seen, next, memory_order_relaxed,
                                                memory_order_relaxed))
        return next;
    return seen; /* another thread was first */
}

void tkr_process_lock(void)
{
    (void)pthread_mutex_lock(&tkr_process_page->mutex);
}

void tkr_process_unlock(void)
{
    (void)pthread_mutex_unlock(&tkr_process_page->mutex);
}
