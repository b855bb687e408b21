/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/discovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "region/name.h"

#define ALIVE_NS (200 * TKR_NS_PER_MS) /* between looks at the owners' locks */
#define DENIED_NS (5 * TKR_NS_PER_S)   /* before a region that could not be opened is tried again */
#define HALF_MADE_S 10                 /* age at which a file under a temporary name is nobody's */
#define SENTENCES_MAX 10               /* about files that are left alone, in so long: anyone may put any number there */
#define SENTENCES_NS (60 * TKR_NS_PER_S)
#define LEFT_ALONE "{reason}; left alone"

/* A region that has been seen. */
struct known {
    uint8_t id[TKR_REGION_ID_BYTES];
    struct tkr_feed *feed; /* NULL: left alone */
    int64_t retry_ns;      /* left alone until then; 0: for good */
    bool waiting;          /* feed has a cursor, but its region could not be opened yet: no worker has it */
    bool listed;           /* in this look */
    bool fresh;            /* not looked at yet */
    bool told;             /* the log says that it cannot be opened */
};

struct tkr_discovery {
    const struct tkr_home *home;
    struct tkr_post *posts;
    struct tkr_reaper *reaper; /* of limits; NULL: there is none */
    uint32_t *load;            /* feeds per post */
    uint32_t post_count;
    struct known *known; /* the first `sorted` by id, behind them what this look has found */
    size_t sorted;
    size_t count;
    size_t max;
    int64_t alive_looked_ns;
    int64_t sentences_ns; /* since when they are counted */
    uint32_t sentences;
    uint64_t unsaid;
};

static int compare_known(const void *a, const void *b)
{
    return memcmp(((const struct known *)a)->id, ((const struct known *)b)->id, TKR_REGION_ID_BYTES);
}

static struct known *find(const struct tkr_discovery *discovery, const uint8_t id[TKR_REGION_ID_BYTES])
{
    struct known key;

    if (discovery->sorted == 0)
        return NULL;
    memcpy(key.id, id, sizeof(key.id));
    return bsearch(&key, discovery->known, discovery->sorted, sizeof(key), compare_known);
}

/* Notes a region behind the sorted ones; sort_in() is next. NULL: no memory. */
static struct known *note(struct tkr_discovery *discovery, const uint8_t id[TKR_REGION_ID_BYTES])
{
    struct known *known;

    if (discovery->count == discovery->max) {
        size_t max = discovery->max == 0 ? 64 : 2 * discovery->max;
        struct known *more = realloc(discovery->known, max * sizeof(*more));
        if (more == NULL)
            return NULL;
        discovery->known = more;
        discovery->max = max;
    }
    known = &discovery->known[discovery->count++];
    memset(known, 0, sizeof(*known));
    memcpy(known->id, id, TKR_REGION_ID_BYTES);
    known->fresh = true;
    return known;
}

/* Once for all that was noted: a stranger may have made a hundred thousand. A directory that changes while it is read may name
 * a file twice; opened twice it would be counted twice. */
static void sort_in(struct tkr_discovery *discovery)
{
    size_t kept = 0;

    if (discovery->sorted == discovery->count)
        return;
    qsort(discovery->known, discovery->count, sizeof(*discovery->known), compare_known);
    for (size_t i = 0; i < discovery->count; i++) {
        if (kept == 0 || !discovery->known[i].fresh || compare_known(&discovery->known[kept - 1], &discovery->known[i]) != 0)
            discovery->known[kept++] = discovery->known[i];
    }
    discovery->sorted = discovery->count = kept;
}

static void forget(struct tkr_discovery *discovery, size_t i)
{
    memmove(&discovery->known[i], &discovery->known[i + 1], (discovery->count - i - 1) * sizeof(*discovery->known));
    discovery->sorted = --discovery->count;
}

/* --- what is said of files that are left alone --- */

static void say(struct tkr_discovery *discovery, const char *message, const char *reason)
{
    if (discovery->sentences < SENTENCES_MAX)
        TKR_LOG(TKR_LOG_WARNING, message, tkr_field_reason(reason));
    else
        discovery->unsaid++;
    discovery->sentences++;
}

/* Of a region that cannot be opened at present: once, however often it is tried again. */
static void say_denied(struct tkr_discovery *discovery, struct known *known, const char *what)
{
    if (!known->told)
        say(discovery, "{reason}", what);
    known->told = true;
}

/* The rest in one sentence, and then, for a while, no more. */
static void say_unsaid(struct tkr_discovery *discovery)
{
    int64_t now = tkr_clock_monotonic_ns();
    bool over = now - discovery->sentences_ns >= SENTENCES_NS;

    if (discovery->unsaid > 0 && (over || discovery->unsaid + SENTENCES_MAX == discovery->sentences)) {
        TKR_LOG(TKR_LOG_WARNING, "{files} more files in the runtime directory cannot be read and are left alone",
                tkr_field_files(discovery->unsaid));
        discovery->unsaid = 0;
    }
    if (over) {
        discovery->sentences_ns = now;
        discovery->sentences = 0;
    }
}

/* --- feeds --- */

static struct tkr_feed *feed_make(const struct tkr_discovery *discovery, const char *name, struct tkr_view *view)
{
    struct tkr_feed *feed = calloc(1, sizeof(*feed));

    if (feed == NULL)
        return NULL;
    feed->view = view;
    feed->directory = discovery->home->runtime;
    memcpy(feed->name, name, strnlen(name, sizeof(feed->name) - 1));
    return feed;
}

static void feed_free(struct tkr_feed *feed)
{
    tkr_view_close(feed->view);
    free(feed);
}

static uint32_t least_loaded(const struct tkr_discovery *discovery)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < discovery->post_count; i++) {
        if (discovery->load[i] < discovery->load[best])
            best = i;
    }
    return best;
}

static void feed_give(struct tkr_discovery *discovery, struct tkr_feed *feed, uint32_t post)
{
    feed->shard = post;
    discovery->load[post]++;
    tkr_post_give(&discovery->posts[post], feed);
}

/* --- what the last collector left: a feed for each cursor in use --- */

/*
 * Opens the region that a cursor belongs to and hands the feed to its post. A region that is gone, or another file by now,
 * leaves only the cursor to be folded. One that cannot be opened at present must wait: folded now and found later, it would
 * be counted twice. One of a layout that this version does not read waits, with its cursor, for a version that does.
 */
static void resume_region(struct tkr_discovery *discovery, struct known *known)
{
    struct tkr_feed *feed = known->feed;
    struct tkr_view *view = NULL;
    tkr_message message;
    enum tkr_view_result result = tkr_view_open(discovery->home->runtime, feed->name, true, &view, &message);

    if (result == TKR_VIEW_DENIED || result == TKR_VIEW_NEWER || result == TKR_VIEW_OLDER) {
        known->waiting = true;
        known->retry_ns = result == TKR_VIEW_DENIED ? tkr_clock_monotonic_ns() + DENIED_NS : INT64_MAX;
        if (result == TKR_VIEW_DENIED)
            say_denied(discovery, known, message.text);
        else
            say(discovery, LEFT_ALONE, message.text);
        return;
    }
    if (view != NULL && view->inode != atomic_load_explicit(&feed->cursor->inode, memory_order_relaxed)) {
        tkr_view_close(view);
        view = NULL;
    }
    feed->view = view;
    atomic_store_explicit(&feed->dead, view == NULL, memory_order_relaxed); /* given below */
    known->waiting = false;
    feed_give(discovery, feed, feed->shard);
}

static bool resume(struct tkr_discovery *discovery, uint32_t post, struct tkr_cursor *cursor)
{
    char name[TKR_REGION_NAME_BYTES];
    uint8_t id[TKR_REGION_ID_BYTES];
    struct tkr_feed *feed;
    struct known *known;

    memcpy(id, (const void *)cursor->id, sizeof(id)); /* no worker runs yet */
    tkr_region_name_format(TKR_REGION_PREFIX, id, name);
    feed = feed_make(discovery, name, NULL);
    known = feed != NULL ? note(discovery, id) : NULL;
    if (known == NULL) {
        free(feed);
        return false;
    }
    feed->cursor = cursor;
    feed->shard = post;
    known->feed = feed;
    known->fresh = false;
    resume_region(discovery, known);
    return true;
}

static bool resume_all(struct tkr_discovery *discovery)
{
    for (uint32_t post = 0; post < discovery->post_count; post++) {
        struct tkr_shard *shard = discovery->posts[post].shard;
        for (uint32_t i = 0; i < tkr_shard_cursor_count(shard); i++) {
            struct tkr_cursor *cursor = &shard->cursor[i];
            if (atomic_load_explicit(&cursor->state, memory_order_relaxed) != TKR_CURSOR_FREE && !resume(discovery, post, cursor))
                return false;
        }
    }
    sort_in(discovery);
    return true;
}

int tkr_discovery_open(const struct tkr_home *home, struct tkr_post *posts, uint32_t post_count, struct tkr_reaper *reaper,
                       struct tkr_discovery **ret_discovery, tkr_message *ret_message)
{
    struct tkr_discovery *discovery = calloc(1, sizeof(*discovery));

    if (discovery != NULL) {
        discovery->home = home;
        discovery->posts = posts;
        discovery->reaper = reaper;
        discovery->post_count = post_count;
        discovery->load = calloc(post_count, sizeof(*discovery->load));
    }
    if (discovery == NULL || discovery->load == NULL || !resume_all(discovery)) {
        tkr_discovery_close(discovery);
        return tkr_message_set(ret_message, "no memory to take up the regions");
    }
    *ret_discovery = discovery;
    return 0;
}

/* --- looking --- */

static void look_at_new(struct tkr_discovery *discovery, struct known *known, const char *name)
{
    struct tkr_view *view = NULL;
    struct tkr_feed *feed;
    tkr_message message;

    switch (tkr_view_open(discovery->home->runtime, name, true, &view, &message)) {
    case TKR_VIEW_OK:
        feed = feed_make(discovery, name, view);
        if (feed == NULL) {
            tkr_view_close(view);
            known->retry_ns = tkr_clock_monotonic_ns() + DENIED_NS;
            break;
        }
        known->feed = feed;
        TKR_LOG(TKR_LOG_DEBUG, "found {region} of process {pid} ({command})", tkr_field_region(name, strlen(name)),
                tkr_field_pid(view->pid), tkr_field_command(view->command, strlen(view->command)));
        feed_give(discovery, feed, least_loaded(discovery));
        break;
    case TKR_VIEW_GONE:
        break; /* no longer listed at the next look */
    case TKR_VIEW_RETIRED:
        (void)unlinkat(discovery->home->runtime, name, 0);
        break;
    case TKR_VIEW_DENIED:
        known->retry_ns = tkr_clock_monotonic_ns() + DENIED_NS;
        say_denied(discovery, known, message.text);
        break;
    default:
        known->retry_ns = 0;
        say(discovery, LEFT_ALONE, message.text);
        break;
    }
}

/* Looks at a region that is there, when its time has come. */
static void look_at(struct tkr_discovery *discovery, struct known *known)
{
    bool due = known->retry_ns != 0 && tkr_clock_monotonic_ns() >= known->retry_ns;
    char name[TKR_REGION_NAME_BYTES];

    if (known->waiting && due) {
        resume_region(discovery, known);
    } else if (known->feed == NULL && (known->fresh || due)) {
        tkr_region_name_format(TKR_REGION_PREFIX, known->id, name);
        known->fresh = false;
        look_at_new(discovery, known, name);
    }
}

/* A file under a temporary name whose maker is gone. */
static void sweep(const struct tkr_discovery *discovery, const char *name)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    struct stat status;
    int fd = openat(discovery->home->runtime, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && time(NULL) - status.st_ctime > HALF_MADE_S &&
        fcntl(fd, F_OFD_GETLK, &request) == 0 && request.l_type == F_UNLCK)
        (void)unlinkat(discovery->home->runtime, name, 0);
    (void)close(fd);
}

static void look_at_directory(struct tkr_discovery *discovery)
{
    int fd = openat(discovery->home->runtime, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    uint8_t id[TKR_REGION_ID_BYTES];

    if (directory == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return; /* out of descriptors: at the next look */
    }
    for (size_t i = 0; i < discovery->count; i++)
        discovery->known[i].listed = false;
    while ((item = readdir(directory)) != NULL) {
        struct known *known;
        if (tkr_region_name_parse(item->d_name, id)) {
            known = find(discovery, id);
            if (known == NULL)
                known = note(discovery, id);
            if (known != NULL) /* else there is no memory: at the next look */
                known->listed = true;
        }
        if (tkr_region_name_is_new(item->d_name))
            sweep(discovery, item->d_name);
    }
    (void)closedir(directory);
    sort_in(discovery);
    for (size_t i = 0; i < discovery->count; i++) {
        if (discovery->known[i].listed)
            look_at(discovery, &discovery->known[i]);
    }
    say_unsaid(discovery);
}

/* Frees what is done with and forgets what is gone. */
static void tidy(struct tkr_discovery *discovery)
{
    for (size_t i = discovery->count; i-- > 0;) {
        struct known *known = &discovery->known[i];
        if (known->feed != NULL && atomic_load_explicit(&known->feed->done, memory_order_acquire)) {
            discovery->load[known->feed->shard]--;
            feed_free(known->feed);
            known->feed = NULL;
        }
        if (known->waiting && !known->listed)
            resume_region(discovery, known); /* gone before it could be opened: folded */
        if (known->feed == NULL && !known->listed)
            forget(discovery, i);
    }
}

static void look_at_owners(struct tkr_discovery *discovery)
{
    int64_t now = tkr_clock_monotonic_ns();

    if (now - discovery->alive_looked_ns < ALIVE_NS)
        return;
    discovery->alive_looked_ns = now;
    for (size_t i = 0; i < discovery->count; i++) {
        struct tkr_feed *feed = discovery->known[i].feed;
        if (feed != NULL && feed->view != NULL && !atomic_load_explicit(&feed->dead, memory_order_relaxed) &&
            !tkr_view_owner_alive(feed->view)) {
            atomic_store_explicit(&feed->dead, true, memory_order_release); /* its last stores before this */
        }
    }
}

/* The feed of a region whose slots may hold something; NULL: none, or all of it is given back. */
static struct tkr_feed *holding(const struct known *known)
{
    struct tkr_feed *feed = known->feed;

    return feed != NULL && feed->view != NULL && !atomic_load_explicit(&feed->done, memory_order_acquire) ? feed : NULL;
}

/* Is all obeyed that lanes had when the slots had been looked at? */
static bool lanes_passed(const struct tkr_discovery *discovery)
{
    for (size_t i = 0; i < discovery->count; i++) {
        const struct tkr_feed *feed = holding(&discovery->known[i]);
        if (feed != NULL && !tkr_feed_passed(feed))
            return false;
    }
    return true;
}

/* Shows the reaper what slots hold: of all regions, listed since the round began. The lanes are looked at after all slots are. */
static bool show_slots(struct tkr_discovery *discovery)
{
    bool whole = true;

    for (size_t i = 0; i < discovery->count; i++) {
        const struct known *known = &discovery->known[i];
        const struct tkr_feed *feed = holding(known);
        if (feed != NULL)
            whole &= tkr_reaper_sweep(discovery->reaper, feed->view);
        else if (known->feed == NULL ? known->retry_ns != 0 : known->waiting) /* it cannot be opened at present */
            whole = false;                                                    /* but its owner's calls may hold something */
    }
    for (size_t i = 0; i < discovery->count; i++) {
        struct tkr_feed *feed = holding(&discovery->known[i]);
        if (feed != NULL)
            tkr_feed_mark(feed);
    }
    return whole;
}

static void sweep_limits(struct tkr_discovery *discovery)
{
    if (tkr_reaper_sweep_waits(discovery->reaper) && lanes_passed(discovery))
        tkr_reaper_sweep_end(discovery->reaper);
    if (!tkr_reaper_sweep_begin(discovery->reaper))
        return;
    look_at_directory(discovery);
    tkr_reaper_sweep_wait(discovery->reaper, show_slots(discovery));
}

void tkr_discovery_reap(struct tkr_discovery *discovery, struct tkr_reaper *reaper)
{
    discovery->reaper = reaper;
}

void tkr_discovery_look(struct tkr_discovery *discovery)
{
    look_at_directory(discovery);
    look_at_owners(discovery);
    sweep_limits(discovery);
    tidy(discovery);
}

void tkr_discovery_close(struct tkr_discovery *discovery)
{
    if (discovery == NULL)
        return;
    for (size_t i = 0; i < discovery->count; i++) {
        if (discovery->known[i].feed != NULL)
            feed_free(discovery->known[i].feed);
    }
    free(discovery->known);
    free(discovery->load);
    free(discovery);
}
