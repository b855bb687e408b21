/* SPDX-License-Identifier: Apache-2.0 */
/* instructions DIRECTORY: some calls recorded, begun and ended, and drained, for instructions.sh to count what each costs. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/drain.h"
#include "region/guard.h"
#include "region/name.h"
#include "table/shard.h"
#include "tokenring/tokenring.h"

#define CALLS 20000 /* instructions.sh divides by it */
#define ACCOUNTS 500
#define LANE_BYTES (8u << 20)

static int fail(const char *what)
{
    (void)fprintf(stderr, "instructions: %s\n", what);
    return 1;
}

static int make_calls(tkr_producer *producer)
{
    int failed = 0;

    for (unsigned i = 0; i < 2 * CALLS; i++) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        tkr_call call;
        char id[40];
        start.account_count = 1;
        start.account[0].id = id;
        start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "%08x-1234-4567-89ab-0123456789ab", i * 7919u % ACCOUNTS);
        start.start_ns = INT64_C(1795000000000000000); /* the clock's share is another on each machine */
        usage.prompt = 812;
        usage.completion = 94;
        if (i % 2 == 0)
            failed |= tkr_record(producer, &start, &usage);
        else
            failed |= tkr_call_begin(producer, &start, &call) != TKR_OK || tkr_call_end(producer, call, &usage) != TKR_OK;
    }
    return failed;
}

/* The one region in the directory. */
static int find_region(const char *path, char ret_name[TKR_REGION_NAME_BYTES])
{
    DIR *listing = opendir(path);
    uint8_t id[TKR_REGION_ID_BYTES];
    int found = -1;

    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        if (!tkr_region_name_parse(entry->d_name, id))
            continue;
        memcpy(ret_name, entry->d_name, strlen(entry->d_name) + 1); /* as long as such names are */
        found = 0;
    }
    if (listing != NULL)
        (void)closedir(listing);
    return found;
}

static int drain(int directory, const char *name)
{
    const struct tkr_shard_options options = {.name = 1, .number = 0, .accounts_max = 10000, .models_max = 16};
    struct tkr_feed feed = {.next = NULL};
    struct tkr_drain *work = aligned_alloc(64, sizeof(*work));
    struct tkr_shard *shard;
    tkr_message why;
    int drained = 0;
    bool more = true;

    if (work == NULL || tkr_view_open(directory, name, true, &feed.view, &why) != TKR_VIEW_OK ||
        tkr_shard_open(directory, &options, &shard, &why) != 0 || !tkr_feed_adopt(shard, &feed))
        return fail("no shard, or its region is not taken");
    while (more)
        drained += tkr_drain_batch(work, shard, &feed, &more);
    tkr_shard_close(shard);
    tkr_view_close(feed.view);
    free(work);
    return drained == 2 * CALLS ? 0 : fail("not all calls were drained");
}

int main(int argc, char **argv)
{
    tkr_options options = TKR_OPTIONS_INIT;
    char name[TKR_REGION_NAME_BYTES];
    tkr_producer *producer;
    int directory;
    int result;

    if (argc != 2 || !tkr_guard_install())
        return 2;
    options.runtime_dir = argv[1];
    options.lane_bytes = LANE_BYTES;
    directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || tkr_open(&options, &producer) != TKR_OK)
        return fail("no producer");
    result =
        make_calls(producer) == 0 && find_region(argv[1], name) == 0 ? drain(directory, name) : fail("a call was not accepted");
    tkr_close(producer);
    (void)close(directory);
    return result;
}
