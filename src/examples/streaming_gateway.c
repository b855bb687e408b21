/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway that streams: a call is begun before the request goes to the provider, told of its progress while the answer comes, and
 * ended whichever way it ends. Should the gateway die in between, the collector settles the call by what it was told last.
 *
 *     cc -std=c17 -o streaming_gateway streaming_gateway.c $(pkg-config --cflags --libs tokenring)
 */
#include <stdio.h>
#include <string.h>
#include <tokenring/tokenring.h>

/* What would come from the provider, and whether the client stays until the end. */
struct stream {
    const char *user;
    int chunks;
    int client_leaves_at; /* 0: it stays */
};

static int serve(tkr_producer *producer, const struct stream *stream)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_call call;
    int chunk = 0;
    int result;

    start.account_count = 1;
    start.account[0] = (tkr_account){.id = stream->user, .len = (uint32_t)strlen(stream->user)};
    start.model = "gpt-4o";
    start.model_len = 6;
    start.prompt_estimate = tkr_estimate_tokens("Tell me about tokens, at length.", 32, 4);
    result = tkr_call_begin(producer, &start, &call);
    if (result != 0)
        return result; /* TKR_ECALLS: so many calls are open; record this one when it ends */
    while (chunk < stream->chunks && (stream->client_leaves_at == 0 || chunk < stream->client_leaves_at)) {
        chunk++;
        if (chunk % 10 == 0) /* now and then is enough */
            (void)tkr_call_progress(producer, call, chunk);
    }
    usage.completion = chunk;
    usage.prompt = start.prompt_estimate;
    usage.estimated = TKR_ESTIMATED_PROMPT;
    usage.error = chunk < stream->chunks ? TKR_ERROR_CANCELLED : TKR_ERROR_NONE;
    result = tkr_call_end(producer, call, &usage);
    printf("%s: %lld + %d tokens%s\n", stream->user, (long long)usage.prompt, chunk, usage.error ? ", the client left" : "");
    return result;
}

int main(void)
{
    static const struct stream streams[] = {{"alice", 120, 0}, {"bob", 300, 45}};
    tkr_producer *producer = NULL;
    tkr_stat stat = TKR_STAT_INIT;
    int result = tkr_open(NULL, &producer);

    for (int i = 0; result == 0 && i < 2; i++)
        result = serve(producer, &streams[i]);
    if (result == 0)
        result = tkr_stat_read(producer, &stat);
    if (result == 0)
        printf("recorded %llu, still open %llu\n", (unsigned long long)stat.offered, (unsigned long long)stat.open_calls);
    tkr_close(producer);
    if (result != 0)
        (void)fprintf(stderr, "streaming_gateway: %s\n", tkr_strerror(result));
    return result != 0;
}
