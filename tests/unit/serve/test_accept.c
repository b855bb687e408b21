/* SPDX-License-Identifier: Apache-2.0 */
/* Accept headers as clients write them, and as they should not: which form of /metrics each of them gets. */
#include "serve/accept.h"
#include "support/test.h"

#define OPENMETRICS TKR_ACCEPT_OPENMETRICS
#define TEXT TKR_ACCEPT_TEXT
#define HEADERS_MAX 3

static const struct {
    enum tkr_accept_form form;
    const char *header[HEADERS_MAX]; /* values of as many Accept headers */
} rows[] = {
    /* no header, and what programs send */
    {TEXT, {NULL}},
    {TEXT, {""}},
    {TEXT, {"*/*"}},
    {TEXT, {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}},
    {TEXT, {"text/plain"}},
    {OPENMETRICS, {"application/openmetrics-text"}},
    {OPENMETRICS,
     {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}},
    {OPENMETRICS,
     {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;"
      "version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,"
      "*/*;q=0.1"}},
    {TEXT,
     {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}},
    /* quality */
    {TEXT, {"application/openmetrics-text;q=0"}},
    {TEXT, {"application/openmetrics-text;q=0.000"}},
    {TEXT, {"application/openmetrics-text;q=0, */*"}},
    {TEXT, {"application/openmetrics-text;q=0.3, text/plain;q=0.5"}},
    {TEXT, {"text/plain;q=0.5, application/openmetrics-text;q=0.499"}},
    {OPENMETRICS, {"text/plain;q=0.5, application/openmetrics-text;q=0.501"}},
    {OPENMETRICS, {"text/plain;q=0, application/openmetrics-text;q=0.001"}},
    {OPENMETRICS, {"text/plain, application/openmetrics-text"}},
    {OPENMETRICS, {"text/plain;q=1.000, application/openmetrics-text;q=1."}},
    {OPENMETRICS, {"application/openmetrics-text;Q=0.9, text/plain;Q=0.8"}},
    {TEXT, {"application/openmetrics-text; q=0.1 , text/plain ; q=0.2"}},
    {OPENMETRICS, {"application/openmetrics-text;q=0.1, application/openmetrics-text;q=0.9, text/plain;q=0.5"}},
    /* type */
    {TEXT, {"application/openmetrics-text-foo"}},
    {TEXT, {"xapplication/openmetrics-text"}},
    {TEXT, {"application/openmetrics"}},
    {TEXT, {"application/json;profile=application/openmetrics-text"}},
    {TEXT, {"application/json;profile=\"a,application/openmetrics-text\""}},
    {TEXT, {"application/json;profile=\"\\\",application/openmetrics-text\""}},
    {OPENMETRICS, {"Application/OpenMetrics-Text"}},
    {OPENMETRICS, {"APPLICATION/OPENMETRICS-TEXT;VERSION=1.0.0"}},
    /* wildcards, and which range decides */
    {OPENMETRICS, {"application/*"}},
    {TEXT, {"text/*"}},
    {TEXT, {"*/*;q=0.5"}},
    {OPENMETRICS, {"*/*, text/plain;q=0.9"}},
    {OPENMETRICS, {"*/*;q=0.1, application/openmetrics-text;q=0.1"}},
    {TEXT, {"*/*, application/openmetrics-text;q=0.9"}},
    {TEXT, {"application/*, application/openmetrics-text;q=0"}},
    {TEXT, {"application/openmetrics-text, application/openmetrics-text;version=1.0.0;q=0"}},
    {TEXT, {"*/openmetrics-text"}},
    /* parameters */
    {OPENMETRICS, {"application/openmetrics-text; version=1.0.0; charset=utf-8"}},
    {OPENMETRICS, {"application/openmetrics-text;version=\"1.0.0\""}},
    {OPENMETRICS, {"application/openmetrics-text;charset=UTF-8"}},
    {OPENMETRICS, {"application/openmetrics-text;charset=\"x;y\", application/openmetrics-text"}},
    {TEXT, {"application/openmetrics-text;version=2.0.0"}},
    {TEXT, {"application/openmetrics-text;version=0.0.1"}},
    {TEXT, {"application/openmetrics-text;charset=iso-8859-1"}},
    {OPENMETRICS, {"application/openmetrics-text;q=0.5;version=9"}}, /* behind q: an extension */
    {OPENMETRICS, {"application/openmetrics-text;;q=0.5;"}},
    {OPENMETRICS, {"text/plain;version=1.0.0, application/openmetrics-text;q=0.1"}}, /* a text that is not served */
    /* several headers are one list */
    {OPENMETRICS, {"text/plain;q=0.5", "application/openmetrics-text"}},
    {TEXT, {"application/openmetrics-text;q=0.4", "text/plain;q=0.5", "*/*;q=0.1"}},
    {OPENMETRICS, {"text/html", "application/openmetrics-text"}},
    /* what breaks the grammar is left out, the rest holds */
    {OPENMETRICS, {",, ,application/openmetrics-text, ,"}},
    {OPENMETRICS, {"\tapplication/openmetrics-text"}},
    {OPENMETRICS, {"nonsense, application/openmetrics-text"}},
    {OPENMETRICS, {"/, application/openmetrics-text"}},
    {TEXT, {"application/openmetrics-text;q=2"}},
    {TEXT, {"application/openmetrics-text;q=1.001"}},
    {TEXT, {"application/openmetrics-text;q=-1"}},
    {TEXT, {"application/openmetrics-text;q=0.1234"}},
    {TEXT, {"application/openmetrics-text;q=.5"}},
    {TEXT, {"application/openmetrics-text;q="}},
    {TEXT, {"application/openmetrics-text;q=\"\""}},
    {TEXT, {"application/openmetrics-text;q"}},
    {TEXT, {"application / openmetrics-text"}},
    {TEXT, {"application/openmetrics-text text/plain"}},
    {TEXT, {"application/openmetrics-text;version=\"1.0.0"}},
    {TEXT, {"application/openmetrics-text;x=\"\\"}},
};

static void test_accept_gets_its_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tkr_accept accept = {0};

        for (int h = 0; h < HEADERS_MAX && rows[i].header[h] != NULL; h++)
            tkr_accept_take(&accept, rows[i].header[h]);
        if (tkr_accept_choose(&accept) != rows[i].form)
            fail_msg("row %zu, Accept: %s: not %s", i, rows[i].header[0], tkr_accept_type[rows[i].form]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accept_gets_its_form)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
