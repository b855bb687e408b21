/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/stock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "tokenring/tokenring.h"

#define PREFIX "c0ffee00-0000-0000-0000-"
#define DIGITS 12

int bench_stock_open(struct bench_stock *stock, uint64_t name, uint32_t accounts)
{
    tkr_message why;

    memset(stock, 0, sizeof(*stock));
    stock->accounts = accounts;
    stock->options = (struct tkr_shard_options){.name = name, .number = 0, .accounts_max = accounts + 1000};
    if (tempdir_make(stock->path) != 0)
        return bench_wrong("no directory");
    stock->directory = open(stock->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tkr_shard_open(stock->directory, &stock->options, &stock->shard, &why) != 0)
        return bench_wrong("%s", why.text);
    return 0;
}

int bench_stock_reopen(struct bench_stock *stock, double *ret_ns)
{
    int64_t begun_ns;
    tkr_message why;

    tkr_shard_close(stock->shard);
    stock->shard = NULL;
    begun_ns = tkr_clock_monotonic_ns();
    if (tkr_shard_open(stock->directory, &stock->options, &stock->shard, &why) != 0)
        return bench_wrong("%s", why.text);
    *ret_ns = (double)(tkr_clock_monotonic_ns() - begun_ns);
    return 0;
}

void bench_stock_close(struct bench_stock *stock)
{
    tkr_shard_close(stock->shard);
    stock->shard = NULL;
    if (stock->directory > 0)
        (void)close(stock->directory);
    stock->directory = 0;
    tempdir_remove(stock->path);
}

int bench_stock_counter(int n)
{
    static const int order[] = {TKR_COUNTER_PROMPT,      TKR_COUNTER_COMPLETION, TKR_COUNTER_TOTAL,    TKR_COUNTER_CALLS,
                                TKR_COUNTER_CACHED,      TKR_COUNTER_REASONING,  TKR_COUNTER_COST,     TKR_COUNTER_DURATION,
                                TKR_COUNTER_CACHE_WRITE, TKR_COUNTER_ERRORS,     TKR_COUNTER_ESTIMATED};

    return order[n];
}

int64_t bench_stock_value(uint32_t account, int counter)
{
    return INT64_C(100) * (counter + 1) + (int64_t)(account % 97);
}

int64_t bench_stock_expected(const struct bench_stock *stock, uint32_t account, int counter)
{
    return (int64_t)stock->rounds[counter] * bench_stock_value(account, counter);
}

void bench_stock_id(uint32_t account, char ret_id[BENCH_STOCK_ID_BYTES + 1])
{
    (void)snprintf(ret_id, BENCH_STOCK_ID_BYTES + 1, PREFIX "%012u", account);
}

int64_t bench_stock_account(const char *id, size_t id_len)
{
    char digits[DIGITS + 1] = "";

    if (id_len != BENCH_STOCK_ID_BYTES || memcmp(id, PREFIX, sizeof(PREFIX) - 1) != 0)
        return -1;
    memcpy(digits, id + sizeof(PREFIX) - 1, DIGITS);
    return strtoll(digits, NULL, 10);
}

/* A batch of accounts from `first` on. */
static bool change_some(struct bench_stock *stock, uint32_t first, uint32_t count, int counters)
{
    static char id[TKR_BATCH_CHARGES_MAX][BENCH_STOCK_ID_BYTES + 1];
    static tkr_counts counts[TKR_BATCH_CHARGES_MAX];
    static struct tkr_charge charge[TKR_BATCH_CHARGES_MAX];
    bool refused = false;

    if (!tkr_batch_begin(stock->shard))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        bench_stock_id(first + i, id[i]);
        counts[i] = (tkr_counts){{0}};
        for (int n = 0; n < counters; n++)
            counts[i].value[bench_stock_counter(n)] = bench_stock_value(first + i, bench_stock_counter(n));
        charge[i] = (struct tkr_charge){.kind = TKR_KIND_USER,
                                        .id = id[i],
                                        .id_len = BENCH_STOCK_ID_BYTES,
                                        .cycle = BENCH_STOCK_CYCLE,
                                        .counts = &counts[i],
                                        .event = i};
    }
    tkr_batch_apply(stock->shard, charge, count);
    for (uint32_t i = 0; i < count; i++)
        refused |= charge[i].refused;
    tkr_batch_commit(stock->shard);
    return !refused;
}

int bench_stock_change(struct bench_stock *stock, int counters)
{
    for (uint32_t first = 0; first < stock->accounts; first += TKR_BATCH_CHARGES_MAX) {
        uint32_t left = stock->accounts - first;
        if (!change_some(stock, first, left < TKR_BATCH_CHARGES_MAX ? left : TKR_BATCH_CHARGES_MAX, counters))
            return bench_wrong("a charge was refused");
    }
    for (int n = 0; n < counters; n++)
        stock->rounds[bench_stock_counter(n)]++;
    return 0;
}

int bench_stock_check(const struct bench_stock *stock)
{
    uint64_t used = atomic_load_explicit(&stock->shard->header->law.arena_used, memory_order_relaxed); /* nobody writes */
    uint32_t accounts = 0;

    for (uint64_t at = 0; at < used; accounts++) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(stock->shard->arena + at);
        uint8_t id_len = atomic_load_explicit(&entry->id_len, memory_order_relaxed);
        int64_t account = bench_stock_account(entry->id, id_len);
        for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
            if (account < 0 || atomic_load_explicit(&entry->counts[i], memory_order_relaxed) !=
                                   bench_stock_expected(stock, (uint32_t)account, i))
                return bench_wrong("an account of the shard is not what it was charged");
        }
        at += tkr_entry_size(entry);
    }
    return accounts == stock->accounts ? 0 : bench_wrong("the shard has %u accounts of %u", accounts, stock->accounts);
}
