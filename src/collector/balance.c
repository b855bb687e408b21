/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/balance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "collector/folder.h"
#include "collector/home.h"
#include "region/name.h"
#include "region/view.h"
#include "table/reader.h"
#include "tokenring/tokenring.h"

#define TRIES 8
#define PAUSE_NS 1000000
#define COPY_BYTES (UINT32_C(64) << 10)

/* What is open while a balance is made. */
struct survey {
    struct tkr_folder at; /* without the collector's own: none has ever run here */
    struct tkr_reader *reader[TKR_SHARDS_MAX];
    struct tkr_law law[TKR_SHARDS_MAX];
    struct tkr_host_balance *host;
    bool entries; /* they are looked at */
};

uint64_t tkr_balance_dropped(const struct tkr_balance *balance)
{
    uint64_t sum = 0;

    for (int i = 0; i < TKR_DROP_MAX; i++)
        sum += balance->dropped[i];
    return sum;
}

bool tkr_balance_holds(const struct tkr_balance *balance)
{
    return balance->offered == balance->counted + balance->in_lanes + tkr_balance_dropped(balance);
}

static void add(struct tkr_balance *sum, const struct tkr_balance *more)
{
    sum->offered += more->offered;
    sum->counted += more->counted;
    sum->in_lanes += more->in_lanes;
    sum->unknown += more->unknown;
    sum->bad_times += more->bad_times;
    sum->settled += more->settled;
    sum->open_calls += more->open_calls;
    sum->lanes += more->lanes;
    sum->lane_bytes += more->lane_bytes;
    sum->lane_used += more->lane_used;
    for (int i = 0; i < TKR_DROP_MAX; i++)
        sum->dropped[i] += more->dropped[i];
    for (int i = 0; i < TKR_REFUSED_MAX; i++)
        sum->refused[i] += more->refused[i];
}

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* of private copies */
}

/* --- lanes --- */

/* Counts the usage frames in bytes that may end within a frame. Returns the bytes walked. */
static size_t walk(const unsigned char *bytes, size_t count, uint64_t *frames, uint64_t *last_sequence)
{
    size_t at = 0;
    size_t length;
    struct tkr_event event;

    while ((length = tkr_frame_length(bytes + at, count - at)) != 0) {
        if (tkr_frame_decode(bytes + at, length, &event) && tkr_frame_type_charges(event.type)) {
            ++*frames;
            *last_sequence = event.sequence;
        }
        at += length;
    }
    return at;
}

/*
 * Walks the frames from *at to where the producer stands now, which *at is then. last_sequence is that of the frame before, then
 * of the last one. false: the producer overwrote them meanwhile, which it may once the collector has counted them.
 */
static bool walk_lane(const struct tkr_view *view, uint32_t lane, uint64_t *at, unsigned char *buffer, uint64_t *ret_frames,
                      uint64_t *ret_last_sequence)
{
    uint64_t position = *at;
    uint64_t end;

    *ret_frames = 0;
    if (!tkr_view_lane_head(view, lane, &end))
        return false;
    while (position < end) {
        uint64_t head;
        size_t count;
        size_t walked;
        if (!tkr_view_lane_read(view, lane, position, buffer, COPY_BYTES, &count, &head))
            return false;
        if (count > end - position)
            count = (size_t)(end - position);
        walked = walk(buffer, count, ret_frames, ret_last_sequence);
        if (walked == 0 || !tkr_view_lane_head(view, lane, &head) || head - position > view->lane[lane].capacity)
            return false;
        position += walked;
    }
    *at = position;
    return true;
}

/* One lane's share. false: it could not be read at one moment. */
static bool survey_lane(const struct tkr_view *view, uint32_t lane, const struct tkr_shard_header *header,
                        const struct tkr_cursor *cursor, unsigned char *buffer, struct tkr_balance *balance)
{
    struct tkr_lane_cursor copy;
    uint64_t position;
    uint64_t frames;
    uint64_t last;

    memset(&copy, 0, sizeof(copy));
    if (cursor != NULL && !tkr_stamped_copy(header, &cursor->lane[lane], sizeof(copy), &copy))
        return false;
    last = get(&copy.sequence);
    position = get(&copy.position);
    if (!walk_lane(view, lane, &position, buffer, &frames, &last))
        return false;
    balance->offered += last;
    balance->counted += get(&copy.counted);
    balance->in_lanes += frames;
    balance->lanes++;
    balance->lane_bytes += view->lane[lane].capacity;
    balance->lane_used += position - get(&copy.position);
    return true;
}

/* --- regions --- */

static const struct tkr_cursor *find_cursor(const struct survey *survey, const uint8_t id[TKR_REGION_ID_BYTES],
                                            uint32_t *ret_shard, struct tkr_cursor *ret_head)
{
    for (uint32_t s = 0; s < survey->host->shard_count; s++) {
        const struct tkr_shard_header *header = tkr_reader_header(survey->reader[s]);
        const struct tkr_cursor *cursor;
        for (uint32_t i = 0; (cursor = tkr_reader_cursor(survey->reader[s], i)) != NULL; i++) {
            if (!tkr_stamped_copy(header, cursor, TKR_CURSOR_HEAD_BYTES, ret_head) || get(&ret_head->state) == TKR_CURSOR_FREE ||
                memcmp((const void *)ret_head->id, id, TKR_REGION_ID_BYTES) != 0)
                continue;
            *ret_shard = s;
            return cursor;
        }
    }
    return NULL;
}

static void survey_cursor(const struct tkr_cursor *head, struct tkr_balance *balance)
{
    balance->offered += get(&head->orphans) + get(&head->dropped[TKR_DROP_CORRUPT]);
    balance->offered -= get(&head->adopted); /* modulo 2^64: the lanes' sequences are added */
    balance->counted += get(&head->settled);
    balance->settled += get(&head->settled);
    balance->unknown += get(&head->unknown);
    for (int i = 0; i < TKR_DROP_MAX; i++)
        balance->dropped[i] += get(&head->dropped[i]);
}

static bool survey_producer(const struct tkr_view *view, struct tkr_balance *balance)
{
    uint64_t dropped[TKR_DROP_MAX];

    if (!tkr_view_counters(view, dropped, balance->refused) || !tkr_view_bad_times(view, &balance->bad_times))
        return false;
    for (int i = 0; i < TKR_DROP_MAX; i++) {
        balance->offered += dropped[i];
        balance->dropped[i] += dropped[i];
    }
    return true;
}

static void count_open_calls(const struct tkr_view *view, uint64_t from, struct tkr_balance *balance)
{
    struct tkr_call_slot slot;
    uint32_t slots;
    bool open;

    if (!tkr_view_slot_count(view, &slots))
        return;
    for (uint64_t i = from; i < slots; i++) {
        if (tkr_view_slot_read(view, (uint32_t)i, &slot, &open))
            balance->open_calls += open;
    }
}

/* Lanes of a region that is not drained any more: what was counted, and no more. */
static void survey_cursor_lanes(const struct tkr_shard_header *header, const struct tkr_cursor *cursor,
                                struct tkr_balance *balance)
{
    struct tkr_lane_cursor copy;

    for (uint32_t i = 0; i < TKR_SHARD_LANES_MAX; i++) {
        if (tkr_stamped_copy(header, &cursor->lane[i], sizeof(copy), &copy)) {
            balance->offered += get(&copy.sequence);
            balance->counted += get(&copy.counted);
        }
    }
}

/* What its owner has published since it was quarantined: lost, and folded as such once the owner is dead. */
static void survey_set_aside(const struct tkr_view *view, const struct tkr_shard_header *header, const struct tkr_cursor *cursor,
                             const struct tkr_cursor *head, struct tkr_balance *balance)
{
    struct tkr_lane_cursor copy;
    uint64_t left = 0;

    for (uint32_t i = 0; i < view->lane_count; i++) {
        if (tkr_stamped_copy(header, &cursor->lane[i], sizeof(copy), &copy))
            left += tkr_view_lane_left(view, i, get(&copy.sequence));
    }
    if (left <= get(&head->set_aside))
        return;
    balance->offered += left - get(&head->set_aside);
    balance->dropped[TKR_DROP_CORRUPT] += left - get(&head->set_aside);
}

/*
 * Has nothing of the cursor's head changed since it was copied? What is dropped and settled stands there, what of the lanes is
 * counted stands in others: figures of both are of one moment only if so.
 */
static bool head_is_unchanged(const struct tkr_shard_header *header, const struct tkr_cursor *cursor,
                              const struct tkr_cursor *head)
{
    struct tkr_cursor now;

    return tkr_stamped_copy(header, cursor, TKR_CURSOR_HEAD_BYTES, &now) && get(&now.stamp) == get(&head->stamp);
}

/* false: try the whole survey again. A region that is folded into the law already is left out: if the law that was read
 * does not have it yet, law_changed() says so. */
static bool survey_view(const struct survey *survey, struct tkr_view *view, unsigned char *buffer,
                        struct tkr_balance_region *region)
{
    struct tkr_cursor head;
    uint32_t shard = 0;
    const struct tkr_cursor *cursor = find_cursor(survey, view->id, &shard, &head);
    const struct tkr_shard_header *header = cursor != NULL ? tkr_reader_header(survey->reader[shard]) : NULL;

    if (cursor != NULL && get(&head.state) == TKR_CURSOR_GONE) {
        survey->host->region_count--;
        return true;
    }
    region->shard = cursor != NULL ? (int)shard : -1;
    region->standing = cursor != NULL ? TKR_REGION_ACTIVE : TKR_REGION_NEW;
    region->pid = view->pid;
    memcpy(region->command, view->command, sizeof(region->command));
    region->alive = tkr_view_owner_alive(view);
    if (!survey_producer(view, &region->balance) || !tkr_view_lanes_refresh(view))
        return false;
    if (cursor != NULL)
        survey_cursor(&head, &region->balance);
    if (cursor != NULL && get(&head.state) == TKR_CURSOR_QUARANTINED) {
        region->standing = TKR_REGION_QUARANTINED;
        survey_cursor_lanes(header, cursor, &region->balance);
        survey_set_aside(view, header, cursor, &head, &region->balance);
        count_open_calls(view, get(&head.slots_settled), &region->balance);
        return true;
    }
    for (uint32_t i = 0; i < view->lane_count; i++) {
        if (!survey_lane(view, i, header, cursor, buffer, &region->balance))
            return false;
    }
    count_open_calls(view, cursor != NULL ? get(&head.slots_settled) : 0, &region->balance);
    return cursor == NULL || head_is_unchanged(header, cursor, &head);
}

static struct tkr_balance_region *region_add(struct tkr_host_balance *host, const char *name)
{
    struct tkr_balance_region *more = realloc(host->region, (host->region_count + 1) * sizeof(*more));

    if (more == NULL)
        return NULL;
    host->region = more;
    more += host->region_count++;
    memset(more, 0, sizeof(*more));
    more->shard = -1;
    memcpy(more->name, name, strnlen(name, sizeof(more->name) - 1));
    return more;
}

static enum tkr_region_standing unread_standing(enum tkr_view_result result)
{
    if (result == TKR_VIEW_NEWER)
        return TKR_REGION_NEWER;
    return result == TKR_VIEW_OLDER ? TKR_REGION_OLDER : TKR_REGION_UNREADABLE;
}

static bool survey_region(const struct survey *survey, const char *name, unsigned char *buffer)
{
    struct tkr_balance_region *region = region_add(survey->host, name);
    struct tkr_view *view = NULL;
    tkr_message ignored;
    enum tkr_view_result result;
    bool whole = true;

    if (region == NULL)
        return false;
    result = tkr_view_open(survey->at.runtime, name, false, &view, &ignored);
    if (result == TKR_VIEW_OK) {
        whole = survey_view(survey, view, buffer, region);
        tkr_view_close(view);
    } else if (result == TKR_VIEW_GONE) {
        whole = false;
    } else if (result == TKR_VIEW_RETIRED) {
        survey->host->region_count--; /* the law has it */
    } else {
        region->standing = unread_standing(result);
    }
    return whole;
}

static bool survey_regions(const struct survey *survey, unsigned char *buffer)
{
    int fd = openat(survey->at.runtime, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    uint8_t id[TKR_REGION_ID_BYTES];
    const struct dirent *item;
    bool whole = directory != NULL;

    if (directory == NULL && fd >= 0)
        (void)close(fd);
    while (whole && (item = readdir(directory)) != NULL)
        whole = !tkr_region_name_parse(item->d_name, id) || survey_region(survey, item->d_name, buffer);
    if (directory != NULL)
        (void)closedir(directory);
    return whole;
}

/* --- shards --- */

static bool entry_unflushed(const struct tkr_entry_copy *copy)
{
    tkr_counts unflushed;
    int64_t any = 0;

    tkr_entry_copy_unflushed(copy, &unflushed);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        any |= unflushed.value[i];
    return any != 0;
}

static bool survey_shard(struct survey *survey, uint32_t i)
{
    struct tkr_balance_shard *shard = &survey->host->shard[i];
    const struct tkr_law *law = &survey->law[i];
    struct tkr_entry_copy copy;

    if (!tkr_reader_law(survey->reader[i], &survey->law[i]))
        return false;
    memset(shard, 0, sizeof(*shard));
    shard->number = tkr_reader_header(survey->reader[i])->number;
    shard->name = tkr_reader_header(survey->reader[i])->name;
    shard->accounts = get(&law->accounts);
    shard->overflow_charges = get(&law->overflow_charges);
    shard->gone_regions = get(&law->gone_regions);
    shard->balance.offered = get(&law->gone_offered);
    shard->balance.counted = get(&law->gone_counted);
    shard->balance.settled = get(&law->gone_settled);
    shard->balance.unknown = get(&law->gone_unknown);
    shard->balance.bad_times = get(&law->gone_bad_times);
    for (int c = 0; c < TKR_DROP_MAX; c++)
        shard->balance.dropped[c] = get(&law->gone_dropped[c]);
    for (int c = 0; c < TKR_REFUSED_MAX; c++)
        shard->balance.refused[c] = get(&law->gone_refused[c]);
    tkr_reader_rewind(survey->reader[i]);
    while (survey->entries && tkr_reader_next(survey->reader[i], &copy))
        shard->unflushed += entry_unflushed(&copy);
    return true;
}

/* Did regions go, or cursors change hands, since the law was read? */
static bool law_changed(const struct survey *survey)
{
    struct tkr_law now;

    for (uint32_t i = 0; i < survey->host->shard_count; i++) {
        if (!tkr_reader_law(survey->reader[i], &now) || get(&now.gone_regions) != get(&survey->law[i].gone_regions))
            return true;
    }
    return false;
}

static void sum_up(struct tkr_host_balance *host)
{
    memset(&host->host, 0, sizeof(host->host));
    for (uint32_t i = 0; i < host->region_count; i++) {
        const struct tkr_balance_region *region = &host->region[i];
        if (region->shard >= 0)
            add(&host->shard[region->shard].balance, &region->balance);
        else
            add(&host->host, &region->balance);
    }
    for (uint32_t i = 0; i < host->shard_count; i++)
        add(&host->host, &host->shard[i].balance);
}

static bool survey_once(struct survey *survey, unsigned char *buffer)
{
    bool whole = true;

    survey->host->region_count = 0;
    for (uint32_t i = 0; i < survey->host->shard_count; i++)
        whole &= survey_shard(survey, i);
    whole = whole && survey_regions(survey, buffer) && !law_changed(survey);
    sum_up(survey->host);
    return whole;
}

/* --- opening --- */

static int open_shards(struct survey *survey, tkr_message *ret_message)
{
    struct tkr_host_balance *host = survey->host;
    int opened = 1;

    host->shard = calloc(TKR_SHARDS_MAX, sizeof(*host->shard));
    if (host->shard == NULL)
        return tkr_message_set(ret_message, "no memory for a balance");
    while (survey->at.folder >= 0 && host->shard_count < TKR_SHARDS_MAX && opened == 1) {
        opened = tkr_reader_open(survey->at.folder, host->shard_count, &survey->reader[host->shard_count], ret_message);
        host->shard_count += opened == 1;
    }
    return opened < 0 ? -1 : 0;
}

static int open_directories(struct survey *survey, const char *runtime_dir, tkr_message *ret_message)
{
    if (tkr_folder_open(runtime_dir, &survey->at, ret_message) < 0 || survey->at.runtime < 0)
        return -1;
    survey->host->collector_running = survey->at.folder >= 0 && tkr_home_locked(survey->at.folder);
    return 0;
}

/* Not being told is no failure. */
static void read_health(struct survey *survey)
{
    struct tkr_health *health = survey->at.folder >= 0 ? malloc(sizeof(*health)) : NULL;

    if (health == NULL || !tkr_health_read(survey->at.folder, health)) {
        free(health);
        return;
    }
    survey->host->health = health;
}

static void close_survey(struct survey *survey)
{
    for (uint32_t i = 0; i < survey->host->shard_count; i++)
        tkr_reader_close(survey->reader[i]);
    tkr_folder_close(&survey->at);
}

static int read_balance(const char *runtime_dir, bool entries, struct tkr_host_balance *ret_balance, tkr_message *ret_message)
{
    struct survey survey = {.at = TKR_FOLDER_NONE, .host = ret_balance, .entries = entries};
    unsigned char *buffer = malloc(COPY_BYTES);
    int result = -1;

    memset(ret_balance, 0, sizeof(*ret_balance));
    if (buffer == NULL) {
        (void)tkr_message_set(ret_message, "no memory for a balance");
    } else if (open_directories(&survey, runtime_dir, ret_message) == 0 && open_shards(&survey, ret_message) == 0) {
        for (int tries = 0; tries < TRIES && result != 0; tries++) {
            const struct timespec pause = {.tv_nsec = tries * PAUSE_NS};
            (void)nanosleep(&pause, NULL);
            result = survey_once(&survey, buffer) ? 0 : -1;
        }
        read_health(&survey);
        if (result != 0)
            (void)tkr_message_set(ret_message, "regions come and go faster than they can be read, or a collector is stopped");
    }
    close_survey(&survey);
    free(buffer);
    if (result != 0)
        tkr_balance_free(ret_balance);
    return result;
}

int tkr_balance_read(const char *runtime_dir, struct tkr_host_balance *ret_balance, tkr_message *ret_message)
{
    return read_balance(runtime_dir, true, ret_balance, ret_message);
}

int tkr_balance_read_law(const char *runtime_dir, struct tkr_host_balance *ret_balance, tkr_message *ret_message)
{
    return read_balance(runtime_dir, false, ret_balance, ret_message);
}

void tkr_balance_free(struct tkr_host_balance *balance)
{
    free(balance->shard);
    free(balance->region);
    free(balance->health);
    memset(balance, 0, sizeof(*balance));
}
