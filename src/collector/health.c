/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/health.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"

#define MAJOR \
    5u /* 3: loops, the board; 4: advice; 5: losses, memory, problems, regions and limits that cannot be read, more notices */
#define MINOR 0u
#define FILE_NAME "health"
#define FILE_NAME_NEW ".health"
#define FILE_MODE 0640
#define TRIES 1000

#define WORDS (sizeof(struct tkr_health) / sizeof(uint64_t))
_Static_assert(sizeof(struct tkr_health) % sizeof(uint64_t) == 0, "copies are words");

struct layout {
    uint64_t magic;
    uint32_t major;
    uint32_t minor;
    uint64_t bytes; /* of a copy */
    alignas(64) _Atomic uint64_t current;
    alignas(128) _Atomic uint64_t copy[2][WORDS];
};

struct tkr_health_file {
    struct layout *layout;
};

static void *map_new(int directory)
{
    void *base = MAP_FAILED;
    int fd;

    (void)unlinkat(directory, FILE_NAME_NEW, 0); /* left by a death in here */
    fd = openat(directory, FILE_NAME_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return MAP_FAILED;
    if (posix_fallocate(fd, 0, sizeof(struct layout)) == 0)
        base = mmap(NULL, sizeof(struct layout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    return base;
}

struct tkr_health_file *tkr_health_open(int collector_directory)
{
    struct tkr_health_file *file = calloc(1, sizeof(*file));
    void *base = file != NULL ? map_new(collector_directory) : MAP_FAILED;

    if (base == MAP_FAILED) {
        free(file);
        return NULL;
    }
    file->layout = base;
    file->layout->major = MAJOR;
    file->layout->minor = MINOR;
    file->layout->bytes = sizeof(struct tkr_health);
    file->layout->magic = TKR_HEALTH_MAGIC;
    if (renameat(collector_directory, FILE_NAME_NEW, collector_directory, FILE_NAME) == 0)
        return file;
    tkr_health_close(file);
    return NULL;
}

void tkr_health_close(struct tkr_health_file *file)
{
    if (file == NULL)
        return;
    (void)munmap(file->layout, sizeof(*file->layout));
    free(file);
}

void tkr_health_publish(struct tkr_health_file *file, const struct tkr_health *health)
{
    uint64_t next;
    _Atomic uint64_t *copy;

    if (file == NULL)
        return;
    next = atomic_load_explicit(&file->layout->current, memory_order_relaxed) + 1; /* the flusher's own */
    copy = file->layout->copy[next % 2];
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word;
        memcpy(&word, (const char *)health + i * sizeof(word), sizeof(word));
        if (atomic_load_explicit(&copy[i], memory_order_relaxed) == word)
            continue;
        atomic_store_explicit(&copy[i], word, memory_order_release); /* who sees it sees that current left this copy */
        TKR_CRASH(HEALTH_HALF);
    }
    atomic_store_explicit(&file->layout->current, next, memory_order_release); /* words before the number that vouches for them */
}

/* One try to copy what holds. false: it was written over meanwhile. */
static bool try_copy(const struct layout *layout, struct tkr_health *ret_health)
{
    uint64_t current = atomic_load_explicit(&layout->current, memory_order_acquire);
    const _Atomic uint64_t *copy = layout->copy[current % 2];

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&copy[i], memory_order_acquire);
        memcpy((char *)ret_health + i * sizeof(word), &word, sizeof(word));
    }
    return atomic_load_explicit(&layout->current, memory_order_relaxed) == current; /* all loads before are acquire */
}

/* What another version, or a wrong one of ours, cannot make us read beyond. */
static void clamp(struct tkr_health *health)
{
    health->sink[sizeof(health->sink) - 1] = '\0';
    health->error[sizeof(health->error) - 1] = '\0';
    health->advice[sizeof(health->advice) - 1] = '\0';
    for (int i = 0; i < TKR_PROBLEM_COUNT; i++)
        health->problem[i][TKR_MESSAGE_BYTES - 1] = '\0';
    if (health->unreadable_named > TKR_HEALTH_REGIONS_MAX)
        health->unreadable_named = TKR_HEALTH_REGIONS_MAX;
    for (uint64_t i = 0; i < health->unreadable_named; i++) {
        health->unreadable_region[i].name[TKR_HEALTH_REGION_BYTES - 1] = '\0';
        health->unreadable_region[i].reason[TKR_MESSAGE_BYTES - 1] = '\0';
    }
    health->limit_unreadable[sizeof(health->limit_unreadable) - 1] = '\0';
    if (health->named > TKR_HEALTH_NAMED_MAX)
        health->named = TKR_HEALTH_NAMED_MAX;
    if (health->handlers > TKR_HEALTH_HANDLERS_MAX)
        health->handlers = TKR_HEALTH_HANDLERS_MAX;
    for (uint64_t i = 0; i < health->handlers; i++)
        health->handler[i].type[TKR_HEALTH_TYPE_BYTES - 1] = '\0';
    for (uint64_t i = 0; i < health->named; i++) {
        struct tkr_health_account *account = &health->account[i];
        account->reason[sizeof(account->reason) - 1] = '\0';
        if (account->id_len > TKR_ENTRY_ID_MAX)
            account->id_len = TKR_ENTRY_ID_MAX;
        if (account->model_len > TKR_ENTRY_LABEL_MAX)
            account->model_len = TKR_ENTRY_LABEL_MAX;
    }
}

static bool read_layout(const struct layout *layout, struct tkr_health *ret_health)
{
    if (layout->magic != TKR_HEALTH_MAGIC || layout->major != MAJOR || layout->bytes != sizeof(*ret_health))
        return false;
    for (int tries = 0; tries < TRIES; tries++) {
        if (try_copy(layout, ret_health)) {
            clamp(ret_health);
            return true;
        }
    }
    return false;
}

bool tkr_health_read(int collector_directory, struct tkr_health *ret_health)
{
    int fd = openat(collector_directory, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    void *base = MAP_FAILED;
    bool read;

    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && status.st_size == (off_t)sizeof(struct layout))
        base = mmap(NULL, sizeof(struct layout), PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (base == MAP_FAILED)
        return false;
    read = read_layout(base, ret_health);
    (void)munmap(base, sizeof(struct layout));
    return read;
}

bool tkr_health_copy(const void *bytes, uint64_t count, struct tkr_health *ret_health)
{
    return count == sizeof(struct layout) && read_layout(bytes, ret_health);
}
