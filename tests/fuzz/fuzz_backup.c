/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup's file and its lines, and what Redis answers when it is asked for an account: any bytes are refused or understood. An
 * account that is understood is printed again, and read again it is the same: totals, records, rest. The input is read as each
 * of the three.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "backup/parse.h"
#include "backup/print.h"
#include "backup/reader.h"
#include "fuzz/fuzz.h"
#include "sink/redis/snapshot.h"

static bool same_holding(const struct tkr_holding *a, const struct tkr_holding *b)
{
    bool same = a->model_len == b->model_len && memcmp(a->model, b->model, a->model_len) == 0 &&
                memcmp(&a->rest, &b->rest, sizeof(a->rest)) == 0 && memcmp(&a->total, &b->total, sizeof(a->total)) == 0 &&
                a->share_count == b->share_count;

    for (uint32_t i = 0; same && i < a->share_count; i++)
        same = strcmp(a->share[i].source, b->share[i].source) == 0 && a->share[i].record.life == b->share[i].record.life &&
               memcmp(&a->share[i].record.counts, &b->share[i].record.counts, sizeof(tkr_counts)) == 0;
    return same;
}

static void check_account(const struct tkr_holdings *read)
{
    struct tkr_backup_counters counters = {.count = TKR_COUNTER_COUNT};
    struct tkr_backup_line again = {.kind = TKR_BACKUP_HEAD};
    const struct tkr_holdings *holdings = &again.holdings;
    tkr_message why;
    char *text;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        counters.counter[i] = i;
    FUZZ_CHECK(read->id_len >= 1 && read->id_len <= TKR_ID_BYTES_MAX && read->count >= 1);
    FUZZ_CHECK(read->cycle != 0 || read->limit >= 0);
    text = tkr_backup_print_account(read);
    FUZZ_CHECK(text != NULL && tkr_backup_parse(text, strlen(text) - 1, &counters, &again, &why) == 0);
    FUZZ_CHECK(holdings->kind == read->kind && holdings->cycle == read->cycle && holdings->id_len == read->id_len &&
               memcmp(holdings->id, read->id, read->id_len) == 0 && holdings->limit == (read->limit >= 0 ? read->limit : -1) &&
               holdings->count == read->count);
    for (uint32_t i = 0; i < read->count; i++)
        FUZZ_CHECK(same_holding(&holdings->holding[i], &read->holding[i]));
    tkr_holdings_free(&again.holdings);
    free(text);
}

static void read_line(const uint8_t *bytes, size_t count)
{
    struct tkr_backup_counters counters = {.count = TKR_COUNTER_COUNT};
    struct tkr_backup_line line = {.kind = TKR_BACKUP_HEAD};
    char *exact = fuzz_exact(bytes, count);
    tkr_message why = {""};

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        counters.counter[i] = i;
    if (tkr_backup_parse(exact, count, &counters, &line, &why) != 0)
        FUZZ_CHECK(why.text[0] != '\0');
    else if (line.kind == TKR_BACKUP_ACCOUNT)
        check_account(&line.holdings);
    tkr_holdings_free(&line.holdings);
    free(exact);
}

static void read_file(const uint8_t *bytes, size_t count)
{
    struct tkr_backup_reader reader;
    tkr_message message = {""};
    char path[32];
    int fd = memfd_create("backup", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (tkr_backup_reader_open(path, &reader, &message) != 0 || tkr_backup_reader_check(&reader, &message) != 0)
        FUZZ_CHECK(message.text[0] != '\0');
    tkr_backup_reader_close(&reader);
    (void)close(fd);
}

static void take_answer(const redisReply *reply)
{
    const struct tkr_usage_row account = {.id = "alice", .id_len = 5, .cycle = 20261101};
    struct tkr_redis_snapshot snapshot = {.why = ""};
    tkr_message message = {""};
    int rc = tkr_redis_snapshot_take(reply, &account, "backup.0123456789abcdef", &snapshot, &message);

    FUZZ_CHECK((rc < 0) == (message.text[0] != '\0') && (rc <= 0 || snapshot.why[0] != '\0'));
    if (rc == 0)
        check_account(&snapshot.holdings);
    tkr_redis_snapshot_free(&snapshot);
}

static void read_answer(const uint8_t *bytes, size_t count)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    FUZZ_CHECK(reader != NULL && redisReaderFeed(reader, (const char *)bytes, count) == REDIS_OK);
    if (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        take_answer(reply);
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    read_line(bytes, count);
    read_file(bytes, count);
    read_answer(bytes, count);
    return 0;
}
