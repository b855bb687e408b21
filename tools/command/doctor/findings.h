/* SPDX-License-Identifier: Apache-2.0 */
/* What `tokenring doctor` finds: of a subject a sentence, whether that is well, and what to do where it is not. */
#ifndef TOOLS_COMMAND_DOCTOR_FINDINGS_H
#define TOOLS_COMMAND_DOCTOR_FINDINGS_H

#include <jansson.h>

enum tkr_finding_level {
    TKR_FINDING_OK,
    TKR_FINDING_WARNING, /* it works, or would; but see the advice */
    TKR_FINDING_ERROR,   /* it does not work so */
    TKR_FINDING_LEVELS
};

struct tkr_findings {
    json_t *array;
    unsigned count[TKR_FINDING_LEVELS];
};

/* Adds a finding: a sentence that may hold bytes of strangers, which are made clean. advice may be NULL. */
void tkr_finding_add(struct tkr_findings *findings, enum tkr_finding_level level, const char *subject, const char *advice,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Prints a line for each, and a last one that sums up. */
void tkr_findings_print(const struct tkr_findings *findings);

/* A new object: findings, ok, warnings, errors. */
json_t *tkr_findings_json(const struct tkr_findings *findings);

/* --- the parts of the examination --- */

struct tkr_sink_config;

/* Kernel, its features, and the limits of this process. */
void tkr_doctor_host(struct tkr_findings *findings);

/* Variables that are set: their values, but for passwords; those that are wrong, or that nobody knows. */
void tkr_doctor_settings(struct tkr_findings *findings);

/* Runtime directory, collector, shards, regions, state directory. runtime_dir NULL: the default. */
void tkr_doctor_runtime(struct tkr_findings *findings, const char *runtime_dir);
void tkr_doctor_collector(struct tkr_findings *findings, const char *runtime_dir);

/* The sink of the environment. */
void tkr_doctor_redis(struct tkr_findings *findings, const struct tkr_sink_config *config);
void tkr_doctor_ledger(struct tkr_findings *findings, const struct tkr_sink_config *config);

#endif
