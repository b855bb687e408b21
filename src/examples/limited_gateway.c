/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway that keeps to limits: erin may use 1,000 tokens in this cycle. It asks before a call whether there is room, and each
 * call reserves what it may use at most, so that two at once cannot both take the last of it. The cycle is reset first, so that the
 * example can be run again, once all is flushed (a second).
 *
 *     cc -std=c17 -o limited_gateway limited_gateway.c $(pkg-config --cflags --libs tokenring_repository)
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <stdio.h>
#include <time.h>
#include <tokenring/repository.h>
#include <tokenring/tokenring.h>

#define WAIT_MS 30000

static int may_use(tkr_producer *producer, const tkr_account *account, int64_t tokens, tkr_limit *ret_limit)
{
    *ret_limit = (tkr_limit)TKR_LIMIT_INIT;
    if (tkr_limit_check(producer, account, 0, tokens, ret_limit) != 0)
        return 0;
    return ret_limit->verdict != TKR_LIMIT_REFUSED; /* what is not known yet is let through */
}

static int begin(tkr_producer *producer, const tkr_account *account, int64_t at_most, tkr_call *ret_call)
{
    tkr_start start = TKR_START_INIT;

    start.account_count = 1;
    start.account[0] = *account;
    start.reserve = at_most;
    return tkr_call_begin(producer, &start, ret_call); /* TKR_ELIMIT: there is no room for so much */
}

static int end(tkr_producer *producer, tkr_call call, int64_t prompt, int64_t completion)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = prompt; /* what the provider reports; the rest of the reserve is free again */
    usage.completion = completion;
    return tkr_call_end(producer, call, &usage);
}

/* Until this is seen to be used: an account is looked up when it is first asked for, what has ended is counted in milliseconds. */
static void wait_for(int64_t used, tkr_producer *producer, const tkr_account *account, tkr_limit *ret_limit)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    (void)may_use(producer, account, 100, ret_limit);
    for (int ms = 0; ms < WAIT_MS && (ret_limit->verdict == TKR_LIMIT_UNKNOWN || ret_limit->used != used); ms += 10) {
        (void)nanosleep(&pause, NULL);
        (void)may_use(producer, account, 100, ret_limit);
    }
}

static int serve(tkr_producer *producer, const tkr_account *erin)
{
    tkr_limit limit;
    tkr_call first;
    tkr_call second;
    int result = begin(producer, erin, 800, &first);

    if (result != 0)
        return result;
    printf("a second call of 800 tokens at most: %s\n", tkr_strerror(begin(producer, erin, 800, &second)));
    (void)may_use(producer, erin, 100, &limit);
    printf("reserved %lld, remaining %lld\n", (long long)limit.reserved, (long long)limit.remaining);
    result = end(producer, first, 300, 50);
    if (result == 0)
        result = begin(producer, erin, 600, &second);
    if (result == 0)
        result = end(producer, second, 500, 100);
    return result;
}

int main(void)
{
    const tkr_account erin = {.id = "erin", .len = 4};
    tkr_repository *repository = NULL;
    tkr_producer *producer = NULL;
    tkr_limit limit;
    int result = tkr_open(NULL, &producer);

    if (result == 0)
        result = tkr_repository_open(NULL, &repository);
    if (result == 0)
        result = tkr_repository_reset_usage(repository, &erin, 0, 0);
    if (result == 0)
        result = tkr_repository_set_usage_limit(repository, &erin, 0, 1000);
    if (result == 0) {
        wait_for(0, producer, &erin, &limit);
        result = serve(producer, &erin);
    }
    if (result == 0) {
        wait_for(950, producer, &erin, &limit);
        printf("used %lld, room for 100 more: %s\n", (long long)limit.used, limit.verdict == TKR_LIMIT_REFUSED ? "no" : "yes");
    }
    tkr_repository_close(repository);
    tkr_close(producer);
    if (result != 0)
        (void)fprintf(stderr, "limited_gateway: %s\n", tkr_strerror(result));
    return result != 0;
}
