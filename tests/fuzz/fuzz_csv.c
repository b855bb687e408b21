/* SPDX-License-Identifier: Apache-2.0 */
/* Traces: any bytes end in rows that are in range, each further into the buffer, or in an error with a text. */
#include "fuzz/fuzz.h"
#include "traffic/csv.h"

static void check_row(const struct tkr_traffic_row *row)
{
    FUZZ_CHECK(row->start_ns > 0);
    FUZZ_CHECK(row->prompt_tokens >= 0 && row->completion_tokens >= 0);
    FUZZ_CHECK(row->prompt_tokens <= TKR_TOKENS_MAX && row->completion_tokens <= TKR_TOKENS_MAX - row->prompt_tokens);
    FUZZ_CHECK(row->user_len <= TKR_ID_BYTES_MAX && row->model_len <= TKR_MODEL_BYTES_MAX);
}

static void read_all(const char *text, size_t count)
{
    struct tkr_traffic_csv csv;
    struct tkr_traffic_row row;
    tkr_message message = {""};
    uint64_t line = 0;
    size_t rows = 0;
    int more;

    if (tkr_traffic_csv_open(text, count, &csv, &message) != 0) {
        FUZZ_CHECK(message.text[0] != '\0' && memchr(message.text, '\0', sizeof(message.text)) != NULL);
        return;
    }
    while ((more = tkr_traffic_csv_next(&csv, &row, &message)) == 1) {
        check_row(&row);
        FUZZ_CHECK(row.line > line && ++rows <= count);
        line = row.line;
    }
    FUZZ_CHECK(more == 0 || message.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = fuzz_exact(bytes, count);

    read_all(text, count);
    free(text);
    return 0;
}
