/* SPDX-License-Identifier: Apache-2.0 */
#include "command/doctor/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "command/text.h"

#define SENTENCE_BYTES 2048

static const char *const keys[TKR_FINDING_LEVELS] = {"ok", "warning", "error"};

void tkr_finding_add(struct tkr_findings *findings, enum tkr_finding_level level, const char *subject, const char *advice,
                     const char *format, ...)
{
    char sentence[SENTENCE_BYTES];
    char clean[TKR_COMMAND_CLEAN_BYTES(SENTENCE_BYTES)];
    va_list args;
    json_t *row = json_object();

    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    (void)tkr_command_text_clean(sentence, strlen(sentence), clean);
    findings->count[level]++;
    (void)json_object_set_new(row, "level", json_string(keys[level]));
    (void)json_object_set_new(row, "subject", json_string(subject));
    (void)json_object_set_new(row, "finding", json_string(clean));
    (void)json_object_set_new(row, "advice", advice == NULL ? json_null() : json_string(advice));
    (void)json_array_append_new(findings->array, row);
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text != NULL ? text : "";
}

void tkr_findings_print(const struct tkr_findings *findings)
{
    json_t *row;
    size_t i;

    json_array_foreach (findings->array, i, row) {
        const char *advice = text_of(row, "advice");
        (void)printf("%-8s %-18s %s%s%s\n", text_of(row, "level"), text_of(row, "subject"), text_of(row, "finding"),
                     advice[0] != '\0' ? "; " : "", advice);
    }
    (void)printf("%u ok, %u warning%s, %u error%s\n", findings->count[TKR_FINDING_OK], findings->count[TKR_FINDING_WARNING],
                 findings->count[TKR_FINDING_WARNING] == 1 ? "" : "s", findings->count[TKR_FINDING_ERROR],
                 findings->count[TKR_FINDING_ERROR] == 1 ? "" : "s");
}

json_t *tkr_findings_json(const struct tkr_findings *findings)
{
    return json_pack("{s:O, s:i, s:i, s:i}", "findings", findings->array, "ok", (int)findings->count[TKR_FINDING_OK], "warnings",
                     (int)findings->count[TKR_FINDING_WARNING], "errors", (int)findings->count[TKR_FINDING_ERROR]);
}
