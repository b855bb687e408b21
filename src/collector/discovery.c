/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/discovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "region/name.h"

#define ALIVE_NS (200 * TKR_NS_PER_MS) /* between looks at the owners' locks */
#define DENIED_MIN_NS TKR_NS_PER_S     /* before a region that could not be opened is tried again; it doubles, */
#define DENIED_MAX_NS (60 * TKR_NS_PER_S)
#define HALF_MADE_S 10       /* age at which a file under a temporary name is nobody's */
#define STEP_NS TKR_NS_PER_S /* what the wall clock gains or loses on the other between two looks is a step */
#define SENTENCES_MAX 10     /* about files that are left alone, in so long: anyone may put any number there */
#define SENTENCES_NS (60 * TKR_NS_PER_S)
#define LEFT_ALONE "{reason}; left alone"

/* Why a region is not read. */
enum leaving { READ, UNREADABLE, OTHER_LAYOUT, NO_REGION };

/* A region that has been seen. */
struct known {
    uint8_t id[TKR_REGION_ID_BYTES];
    struct tkr_feed *feed; /* NULL: left alone */
    int64_t retry_ns;      /* left alone until then; 0: for good */
    int64_t delay_ns;      /* between the last two tries of one that cannot be read */
    char *reason;          /* why it cannot be read, as the log has it; NULL: it can, or there was no memory */
    uint8_t leaving;       /* enum leaving */
    bool waiting;          /* feed has a cursor, but its region could not be opened yet: no worker has it */
    bool listed;           /* in this look */
    bool fresh;            /* not looked at yet */
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
    int64_t ahead_ns;     /* of the wall clock, of the monotonic one, at the last look */
    int64_t stepped_ns;   /* monotonic: when the wall clock was seen to step, or the first look */
    tkr_message blind;    /* why the directory cannot be read; empty: it can */
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
    free(discovery->known[i].reason);
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

/* A region cannot be read at present: said once, however often it is tried again. */
static void deny(struct tkr_discovery *discovery, struct known *known, const char *why)
{
    if (known->leaving != UNREADABLE) {
        say(discovery, "{reason}; what it holds is not counted; trying again", why);
        known->reason = strdup(why);
    }
    known->leaving = UNREADABLE;
    known->delay_ns = known->delay_ns == 0 ? DENIED_MIN_NS : 2 * known->delay_ns;
    if (known->delay_ns > DENIED_MAX_NS)
        known->delay_ns = DENIED_MAX_NS;
    known->retry_ns = tkr_clock_monotonic_ns() + known->delay_ns;
}

/* It is read, or will never be. */
static void allow(struct known *known, const char *name, enum leaving leaving)
{
    if (known->leaving == UNREADABLE && leaving == READ)
        TKR_LOG(TKR_LOG_INFO, "{region} can be read again", tkr_field_region(name, strlen(name)));
    free(known->reason);
    known->reason = NULL;
    known->leaving = (uint8_t)leaving;
    known->delay_ns = 0;
    known->retry_ns = 0;
}

/* The directory cannot be read: whatever is new in it is not seen. Said once, and when it is over. */
static void set_blind(struct tkr_discovery *discovery, const char *why)
{
    bool was = discovery->blind.text[0] != '\0';

    if (why != NULL && !was)
        TKR_LOG(TKR_LOG_WARNING,
                "the runtime directory cannot be read, and gateways that are new are not seen: {error}; trying again",
                tkr_field_error(why));
    if (why == NULL && was)
        tkr_log(TKR_LOG_INFO, "the runtime directory can be read again");
    (void)tkr_message_set(&discovery->blind, "%s", why != NULL ? why : "");
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

    if (result == TKR_VIEW_DENIED) {
        known->waiting = true;
        deny(discovery, known, message.text);
        return;
    }
    if (result == TKR_VIEW_NEWER || result == TKR_VIEW_OLDER) {
        known->waiting = true;
        allow(known, feed->name, OTHER_LAYOUT);
        known->retry_ns = INT64_MAX;
        say(discovery, LEFT_ALONE, message.text);
        return;
    }
    if (view != NULL && view->inode != atomic_load_explicit(&feed->cursor->inode, memory_order_relaxed)) {
        tkr_view_close(view);
        view = NULL;
    }
    feed->view = view;
    allow(known, feed->name, view != NULL ? READ : NO_REGION);
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
    enum tkr_view_result result = tkr_view_open(discovery->home->runtime, name, true, &view, &message);

    switch (result) {
    case TKR_VIEW_OK:
        feed = feed_make(discovery, name, view);
        if (feed == NULL) {
            tkr_view_close(view);
            (void)tkr_message_set(&message, "no memory for %s", name);
            deny(discovery, known, message.text);
            break;
        }
        known->feed = feed;
        allow(known, name, READ);
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
        deny(discovery, known, message.text);
        break;
    default:
        allow(known, name, result == TKR_VIEW_NEWER || result == TKR_VIEW_OLDER ? OTHER_LAYOUT : NO_REGION);
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

/*
 * Looks whether the wall clock has stepped, against which a file's time is held below: files have no other. A step may make a new
 * file look old or an old one new.
 */
static void look_at_clock(struct tkr_discovery *discovery)
{
    int64_t now_ns = tkr_clock_monotonic_ns();
    int64_t ahead_ns = tkr_clock_unix_ns() - now_ns;

    if (discovery->stepped_ns == 0 || ahead_ns - discovery->ahead_ns > STEP_NS || discovery->ahead_ns - ahead_ns > STEP_NS)
        discovery->stepped_ns = now_ns;
    discovery->ahead_ns = ahead_ns;
}

/* Is it older than the making of a region takes? What is of a time to come was made before the clock stepped back. */
static bool is_old(const struct tkr_discovery *discovery, time_t changed_s)
{
    int64_t age_s = (int64_t)(tkr_clock_unix_ns() / TKR_NS_PER_S) - changed_s;

    return (age_s > HALF_MADE_S || age_s < -HALF_MADE_S) &&
           tkr_clock_monotonic_ns() - discovery->stepped_ns > (HALF_MADE_S + 1) * TKR_NS_PER_S;
}

/* A file under a temporary name whose maker is gone. */
static void sweep(const struct tkr_discovery *discovery, const char *name)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    struct stat status;
    int fd = openat(discovery->home->runtime, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && is_old(discovery, status.st_ctime) &&
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
    bool whole = true;

    if (directory == NULL) {
        set_blind(discovery, strerror(errno)); /* out of descriptors, say: at the next look */
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    look_at_clock(discovery);
    for (size_t i = 0; i < discovery->count; i++)
        discovery->known[i].listed = false;
    while ((item = readdir(directory)) != NULL) {
        struct known *known;
        if (tkr_region_name_parse(item->d_name, id)) {
            known = find(discovery, id);
            if (known == NULL)
                known = note(discovery, id);
            if (known != NULL)
                known->listed = true;
            whole &= known != NULL; /* no memory: at the next look */
        }
        if (tkr_region_name_is_new(item->d_name))
            sweep(discovery, item->d_name);
    }
    (void)closedir(directory);
    set_blind(discovery, whole ? NULL : "no memory");
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

uint64_t tkr_discovery_gateways(const struct tkr_discovery *discovery)
{
    uint64_t gateways = 0;

    for (size_t i = 0; i < discovery->count; i++) {
        const struct tkr_feed *feed = discovery->known[i].feed;
        gateways += feed != NULL && feed->view != NULL && !atomic_load_explicit(&feed->dead, memory_order_relaxed);
    }
    return gateways;
}

static void name_unreadable(struct tkr_unreadable *unreadable, const char *name, const char *reason)
{
    struct tkr_health_region *region = &unreadable->region[unreadable->named];

    unreadable->count++;
    if (unreadable->named == TKR_HEALTH_REGIONS_MAX)
        return;
    (void)snprintf(region->name, sizeof(region->name), "%s", name);
    (void)snprintf(region->reason, sizeof(region->reason), "%s", reason);
    unreadable->named++;
}

void tkr_discovery_unreadable(const struct tkr_discovery *discovery, struct tkr_unreadable *ret_unreadable)
{
    tkr_message why;

    memset(ret_unreadable, 0, sizeof(*ret_unreadable));
    if (discovery->blind.text[0] != '\0') {
        (void)tkr_message_set(&why, "the runtime directory cannot be read: %.200s", discovery->blind.text);
        name_unreadable(ret_unreadable, ".", why.text);
    }
    for (size_t i = 0; i < discovery->count; i++) {
        const struct known *known = &discovery->known[i];
        char name[TKR_REGION_NAME_BYTES];
        if (known->leaving != UNREADABLE)
            continue;
        tkr_region_name_format(TKR_REGION_PREFIX, known->id, name);
        name_unreadable(ret_unreadable, name, known->reason != NULL ? known->reason : "no memory");
    }
}

void tkr_discovery_look_last(struct tkr_discovery *discovery)
{
    for (size_t i = 0; i < discovery->count; i++) {
        if (discovery->known[i].leaving == UNREADABLE)
            discovery->known[i].retry_ns = 1; /* long ago */
    }
    discovery->alive_looked_ns = 0;
    tkr_discovery_look(discovery);
}

static void add_left(const struct tkr_feed *feed, struct tkr_left *left)
{
    bool dead = atomic_load_explicit(&feed->dead, memory_order_relaxed); /* this thread's own */

    if (atomic_load_explicit(&feed->done, memory_order_acquire))
        return;
    left->gateways += feed->view != NULL && !dead;
    if (feed->cursor == NULL) {
        left->no_cursor++;
        return;
    }
    left->unfinished += dead;
    if (tkr_feed_reached(feed))
        return;
    left->behind++;
    left->records += tkr_feed_left(feed);
}

void tkr_discovery_left(const struct tkr_discovery *discovery, struct tkr_left *ret_left)
{
    memset(ret_left, 0, sizeof(*ret_left));
    ret_left->unreadable = discovery->blind.text[0] != '\0';
    for (size_t i = 0; i < discovery->count; i++) {
        const struct known *known = &discovery->known[i];
        ret_left->unreadable += known->leaving == UNREADABLE;
        ret_left->other_layout += known->leaving == OTHER_LAYOUT;
        if (known->feed != NULL && !known->waiting)
            add_left(known->feed, ret_left);
    }
}

void tkr_discovery_close(struct tkr_discovery *discovery)
{
    if (discovery == NULL)
        return;
    for (size_t i = 0; i < discovery->count; i++) {
        free(discovery->known[i].reason);
        if (discovery->known[i].feed != NULL)
            feed_free(discovery->known[i].feed);
    }
    free(discovery->known);
    free(discovery->load);
    free(discovery);
}
