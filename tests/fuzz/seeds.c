/* SPDX-License-Identifier: Apache-2.0 */
/* seeds NAME DIRECTORY: writes the seeds of a fuzz target, one file each, as the code of today writes such things. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event/encode.h"
#include "sink/record.h"

static const char *directory;
static int seed_count;
static bool failed;

static void seed(const void *bytes, size_t count)
{
    char path[4096];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%d", directory, seed_count++);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
        failed = true;
}

/* A literal, whose NULs count. */
#define SEED_TEXT(text) seed(text, sizeof(text) - 1)

/* --- frames --- */

static size_t put_frame(unsigned char *at, uint32_t accounts, bool named, bool wide, uint64_t sequence)
{
    static const char id[] = "0123456789abcdef0123456789abcdef";
    tkr_start start = {.account_count = accounts};
    struct tkr_frame_values values = {.error = (uint8_t)(sequence % 2)};
    size_t head_bytes;

    for (uint32_t i = 0; i < accounts; i++)
        start.account[i] = (tkr_account){.kind = i % 2 != 0 ? TKR_KIND_TEAM : TKR_KIND_USER, .id = id, .len = 1 + i * 10};
    if (named) {
        start.model = "gpt-4o-mini";
        start.model_len = 11;
        start.provider = "openai";
        start.provider_len = 6;
        start.call_id[3] = 7;
        start.attempt = 2;
    }
    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, 812);
    tkr_frame_value_add(&values, TKR_COUNTER_COMPLETION, wide ? TKR_TOKENS_MAX : 94);
    tkr_frame_value_add(&values, TKR_COUNTER_TOTAL, 906);
    if (named)
        tkr_frame_value_add(&values, TKR_VALUE_FIRST_TOKEN_US, 250000);
    head_bytes = tkr_frame_head_bytes(&start);
    tkr_frame_head_put(at, head_bytes, &start, 20261101, 1793664000000000000);
    if (sequence > 0)
        tkr_frame_finish(at, head_bytes, &values, sequence);
    return sequence > 0 ? tkr_frame_bytes(head_bytes, &values) : head_bytes;
}

/* Head and nothing behind it, not a zero to round it up. */
static void exact_frame(void)
{
    tkr_start start = {.account_count = 1};
    unsigned char bytes[TKR_FRAME_HEADER_BYTES + 8];

    start.account[0] = (tkr_account){.id = "abcdef", .len = 6};
    tkr_frame_head_put(bytes, sizeof(bytes), &start, 20261101, 1);
    seed(bytes, sizeof(bytes));
}

static void frame_seeds(void)
{
    static const unsigned char padding[24] = {24, 0, 0, 0, TKR_FRAME_PADDING};
    static unsigned char bytes[4 * TKR_FRAME_BYTES_MAX];
    size_t count = 0;

    seed(bytes, put_frame(bytes, 1, false, false, 1));
    seed(bytes, put_frame(bytes, 4, true, true, 2));
    seed(bytes, put_frame(bytes, 2, true, false, 0));
    seed(padding, sizeof(padding));
    exact_frame();
    count += put_frame(bytes, 1, true, false, 1);
    memcpy(bytes + count, padding, sizeof(padding));
    count += sizeof(padding);
    count += put_frame(bytes + count, 3, false, true, 2);
    seed(bytes, count);
}

/* --- regions: flags, seed, program; fuzz_region.c reads them --- */

static void region_seeds(void)
{
    static const char program[] = "\x0a\x06"
                                  "abXY\x07\x01\x02\x03\x04\x05\x06\x07\x0a" /* a frame, drained */
                                  "\x8a"
                                  "ba\x01\x02\x01\x02\x03\x04\x05\x06\x07\x08\x0a"   /* in the other lane */
                                  "\x05\x1f\x01\x20\x00\x00\x00\x09\x00\x00\x00"     /* a frame of an unknown type */
                                  "\x02\x40\x00\x07\x02\x00\x00\x00\x00\x00\x00\x00" /* a slot */
                                  "\x07\x10\x00";                                    /* head, too far */
    unsigned char bytes[sizeof(program) + 1];

    memcpy(bytes + 2, program, sizeof(program) - 1);
    for (unsigned flags = 0; flags < 64; flags += 5) {
        bytes[0] = (unsigned char)flags;
        bytes[1] = (unsigned char)flags;
        seed(bytes, sizeof(program) + 1);
    }
    SEED_TEXT("\x20\x00\x00\x48\x00\x03\x00\x00\x00\x00"); /* geometry */
    SEED_TEXT("\x20\x00\x01\x18\x07\x00\x00\x01\x00\x00\x00\x00\x00");
    SEED_TEXT("\x00\x00\x01\x00\x07\xff\xff\xff\xff\xff\xff\xff\x7f");
    SEED_TEXT("\x00\x00\x08\x00\x10");
    SEED_TEXT("\x03\x2a");
    SEED_TEXT("\x00\x00\x14\xff\x82\xf0\x14\x20"); /* full lanes */
    SEED_TEXT("\x03\x07\x14\x30\x82\xc0\x15\x82\x40");
}

/* --- answers of Redis: flags, contributions, what is said; fuzz_redis.c reads them --- */

#define LOADED "$40\r\n0123456789012345678901234567890123456789\r\n"

static void record_answer(void)
{
    struct tkr_record record = {.life = 7, .counts = {{3, 4, 7}}};
    unsigned char bytes[TKR_RECORD_BYTES_MAX];
    char text[256];
    size_t record_bytes = tkr_record_encode(&record, bytes);
    int count = snprintf(text, sizeof(text), "%c%c*2\r\n$1\r\n4\r\n$%zu\r\n=", 4, 1, record_bytes + 1);

    memcpy(text + count, bytes, record_bytes);
    memcpy(text + (size_t)count + record_bytes, "\r\n", 2);
    seed(text, (size_t)count + record_bytes + 2);
}

static void redis_seeds(void)
{
    static const char scan[] = "*2\r\n$1\r\n0\r\n*2\r\n$28\r\ntoken_usage:alice:2026-11-01\r\n$3\r\nabc\r\n"
                               "*4\r\n$12\r\ntotal_tokens\r\n$3\r\n906\r\n$11\r\nusage_limit\r\n$4\r\n1000\r\n";
    char text[512];

    SEED_TEXT("\x00\x02" LOADED "*3\r\n$1\r\n4\r\n:1\r\n:1\r\n");
    SEED_TEXT("\x03\x01+OK\r\n+OK\r\n" LOADED "*2\r\n$0\r\n\r\n:1\r\n--+OK\r\n+OK\r\n*2\r\n$1\r\n0\r\n*0\r\n");
    SEED_TEXT("\x01\x01-ERR invalid s3cret password\r\n");
    SEED_TEXT("\x04\x02*3\r\n$2\r\n17\r\n$31\r\n!WRONGTYPE Operation against a k\r\n$8\r\n!ERR ou \r\n");
    SEED_TEXT("\x14\x01*2\r\n$1\r\n4\r\n:1\r\n*2\r\n$1\r\n5\r\n$1\r\n=\r\n--");
    SEED_TEXT("\x34\x03-NOSCRIPT No matching script.\r\n--*4\r\n$1\r\n4\r\n:1\r\n:1\r\n:1\r\n--*2\r\n$1\r\n9\r\n*0\r\n");
    SEED_TEXT("\x04\x01*-1\r\n--*2147483647\r\n$5\r\n");
    SEED_TEXT("\x0c\x00*1\r\n$-1\r\n--*2\r\n$13\r\nprompt_tokens\r\n$2\r\n-7\r\n");
    record_answer();
    (void)snprintf(text, sizeof(text), "%c%c*1\r\n$1\r\n4\r\n--%s", 4, 16, scan);
    seed(text, strlen(text));
}

/* --- the rest --- */

static void csv_seeds(void)
{
    SEED_TEXT("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n");
    SEED_TEXT("\xef\xbb\xbfUser,TIMESTAMP,GeneratedTokens,Other,ContextTokens,Model\r\n"
              "\"a \"\"b\"\"\",2024-02-29T23:59:60Z,0,,1099511627776,gpt-4o\r\n");
    SEED_TEXT("TIMESTAMP,ContextTokens,GeneratedTokens,User\n2024-02-29T00:00:00.5+00:00,1,2,\"x,\ny\"\n,,,\n");
    SEED_TEXT("TIMESTAMP,ContextTokens\n");
}

static void record_seeds(void)
{
    struct tkr_record record = {.life = 1793664000000000000};
    unsigned char bytes[TKR_RECORD_BYTES_MAX];

    for (int i = 0; i <= TKR_COUNTER_COUNT; i++) {
        seed(bytes, tkr_record_encode(&record, bytes));
        if (i < TKR_COUNTER_COUNT)
            record.counts.value[i] = INT64_MAX >> (5 * i);
    }
    SEED_TEXT("\x01\x01\x08\x12\x34\x56\x78\x9a\xbc\xde\x7f\x02\xff\xff\x01\x01\x09\x00\x02\x01\x01");
}

static void backup_seeds(void)
{
#define HEAD "{\"tokenring_backup\":1,\"backup\":\"0123456789abcdef\",\"dataset\":\"fedcba9876543210\",\"made_s\":1795000000,"
#define ALICE "{\"account\":\"alice\",\"kind\":\"user\",\"cycle\":\"2026-11-01\","
    SEED_TEXT(
        HEAD "\"counters\":[\"prompt_tokens\",\"calls\"]}\n{\"source\":\"0123456789abcdef.0\",\"seen\":\"1795000000000000001\"}\n"
             "{\"account\":\"alice\",\"kind\":\"user\",\"standing\":5000}\n"
             "{\"end\":{\"sources\":1,\"accounts\":0,\"limits\":1,\"left_out\":0,\"xxh64\":\"0000000000000000\"}}\n");
    SEED_TEXT(ALICE "\"limit\":1000,\"records\":{\"0123456789abcdef.0\":[\"1795000000000000001\",812,94,906]},\"rest\":[-5,0,-5],"
                    "\"models\":[{\"model\":\"gpt-4o\",\"rest\":[1]},{\"model_hex\":\"ff\",\"records\":{\"a.0\":[\"1\"]}}]}");
    SEED_TEXT("{\"account_hex\":\"ff61\",\"kind\":\"team\",\"standing\":9223372036854775807}");
    SEED_TEXT(
        "*6\r\n*4\r\n$13\r\nprompt_tokens\r\n$2\r\n12\r\n$11\r\nusage_limit\r\n$1\r\n5\r\n*2\r\n$4\r\nab.0\r\n$2\r\n\x01\x07\r\n"
        "*2\r\n$7\r\nm:calls\r\n$1\r\n3\r\n*2\r\n$6\r\nab.0:m\r\n$1\r\n\x02\r\n:0\r\n$2\r\nff\r\n");
    SEED_TEXT("*6\r\n$10\r\n!WRONGTYPE\r\n*0\r\n*0\r\n*0\r\n:1\r\n$0\r\n\r\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*write)(void);
    } targets[] = {{"frame", frame_seeds}, {"region", region_seeds}, {"redis", redis_seeds},
                   {"csv", csv_seeds},     {"record", record_seeds}, {"backup", backup_seeds}};

    for (size_t i = 0; argc == 3 && i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (strcmp(argv[1], targets[i].name) != 0)
            continue;
        directory = argv[2];
        targets[i].write();
    }
    if (seed_count == 0 || failed)
        (void)fprintf(stderr, "usage: fuzz_seeds frame|region|redis|csv|record|backup DIRECTORY (that can be written)\n");
    return seed_count == 0 || failed;
}
