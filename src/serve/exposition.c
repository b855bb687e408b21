/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/exposition.h"

#include <inttypes.h>

void tkr_exposition_family(const struct tkr_exposition *exposition, const struct tkr_metric *metric)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const char *suffix = metric->type == TKR_METRIC_COUNTER && !exposition->openmetrics ? "_total" : "";

    (void)fprintf(exposition->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", metric->name, suffix, metric->help, metric->name, suffix,
                  types[metric->type]);
}

/* Between quotes: a backslash, a quote and a line feed have two characters. */
static void put_value(FILE *out, const char *value, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (value[i] == '\n')
            (void)fputs("\\n", out);
        else if (value[i] == '\\' || value[i] == '"')
            (void)fprintf(out, "\\%c", value[i]);
        else
            (void)fputc(value[i], out);
    }
}

static void put_label(FILE *out, bool first, const char *name, const char *value, uint32_t len)
{
    (void)fprintf(out, "%s%s=\"", first ? "{" : ",", name);
    put_value(out, value, len);
    (void)fputc('"', out);
}

/* Name and labels, le with them where it is told. */
static void put_series(const struct tkr_exposition *exposition, const struct tkr_metric *metric, const char *suffix,
                       const struct tkr_label *label, uint32_t labels, const char *le)
{
    (void)fprintf(exposition->out, "%s%s", metric->name, suffix);
    for (uint32_t i = 0; i < labels; i++)
        put_label(exposition->out, i == 0, label[i].name, label[i].value, label[i].len);
    if (le != NULL)
        (void)fprintf(exposition->out, "%sle=\"%s\"", labels == 0 ? "{" : ",", le);
    (void)fputs(labels > 0 || le != NULL ? "} " : " ", exposition->out);
}

static const char *suffix_of(const struct tkr_metric *metric)
{
    return metric->type == TKR_METRIC_COUNTER ? "_total" : "";
}

void tkr_exposition_count(const struct tkr_exposition *exposition, const struct tkr_metric *metric, const struct tkr_label *label,
                          uint32_t labels, uint64_t value)
{
    put_series(exposition, metric, suffix_of(metric), label, labels, NULL);
    (void)fprintf(exposition->out, "%" PRIu64 "\n", value);
}

void tkr_exposition_real(const struct tkr_exposition *exposition, const struct tkr_metric *metric, const struct tkr_label *label,
                         uint32_t labels, double value)
{
    put_series(exposition, metric, suffix_of(metric), label, labels, NULL);
    (void)fprintf(exposition->out, "%.9g\n", value);
}

/* As OpenMetrics wants numbers that are labels: with a point. */
static void le_text(double bound, char text[32])
{
    int len = snprintf(text, 32, "%.9g", bound);
    bool whole = true;

    for (int i = 0; i < len; i++)
        whole &= text[i] != '.' && text[i] != 'e';
    if (whole)
        (void)snprintf(text + len, 32 - (size_t)len, ".0");
}

void tkr_exposition_histogram(const struct tkr_exposition *exposition, const struct tkr_metric *metric,
                              const struct tkr_label *label, uint32_t labels, const struct tkr_bounds *bounds,
                              const struct tkr_buckets_sum *buckets, double per_second)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < bounds->count; i++) {
        char le[32];
        le_text((double)bounds->at[i] / per_second, le);
        count += buckets->in[i];
        put_series(exposition, metric, "_bucket", label, labels, le);
        (void)fprintf(exposition->out, "%" PRIu64 "\n", count);
    }
    put_series(exposition, metric, "_bucket", label, labels, "+Inf");
    (void)fprintf(exposition->out, "%" PRIu64 "\n", buckets->count);
    put_series(exposition, metric, "_count", label, labels, NULL);
    (void)fprintf(exposition->out, "%" PRIu64 "\n", buckets->count);
    put_series(exposition, metric, "_sum", label, labels, NULL);
    (void)fprintf(exposition->out, "%.9g\n", (double)buckets->sum / per_second);
}

void tkr_exposition_end(const struct tkr_exposition *exposition)
{
    if (exposition->openmetrics)
        (void)fputs("# EOF\n", exposition->out);
}
