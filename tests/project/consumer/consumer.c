#include <stdio.h>
#include <tokenring/tokenring.h>

int main(void)
{
    tkr_producer *producer;
    int result = tkr_open(NULL, &producer); /* once per process; no collector need run */

    if (result == 0) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;

        start.account_count = 1;
        start.account[0] = (tkr_account){.id = "alice", .len = 5};
        start.model = "gpt-4o";
        start.model_len = 6;
        usage.prompt = 812;
        usage.completion = 94;
        result = tkr_record(producer, &start, &usage); /* any thread, once per call */
        tkr_close(producer);                           /* what was recorded stays for the collector */
    }
    if (result != 0)
        fprintf(stderr, "tokenring: %s\n", tkr_strerror(result));
    return result != 0;
}
