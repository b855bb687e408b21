/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/reader.h"
#include "base/clock.h"
#include "base/crash.h"

#define TIME_BYTES 24
#define TRIES 8 /* to note the backup while others do */

struct restore {
    const struct tkr_backup_restore_options *options;
    struct tkr_backup_restore_report *report;
    tkr_message *message;
    tkr_sink *sink;
    struct tkr_backup_reader reader;
    struct tkr_dataset dataset; /* as it is in the sink */
    struct tkr_restore_terms terms;
    struct tkr_holdings *account; /* that are restored together */
    struct tkr_restored *restored;
    uint32_t count;
    uint32_t max;
};

/* --- the data set --- */

static void time_text(int64_t seconds, char ret_text[TIME_BYTES])
{
    time_t moment = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&moment, &parts) == NULL || strftime(ret_text, TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        (void)snprintf(ret_text, TIME_BYTES, "an unknown time");
}

static int read_dataset(struct restore *r, struct tkr_dataset *ret_dataset)
{
    return r->sink->ops->dataset(r->sink, ret_dataset, r->message) < 0 ? -1 : 0; /* a sink that is not there yet is empty */
}

/* Was the backup's data set lost, and may this backup take its place? */
static int check_dataset(struct restore *r)
{
    const struct tkr_backup_head *head = &r->report->head;
    const struct tkr_dataset *now = &r->dataset;
    char when[TIME_BYTES];

    if (strcmp(now->id, head->dataset) == 0)
        return tkr_message_set(
            r->message,
            "the sink still has the data set that this is a backup of (%s): nothing was lost, and adding it would "
            "count it twice. To go back to the backup, empty the sink first",
            now->id);
    if (now->id[0] == '\0' || strcmp(now->backup, head->backup) == 0)
        return 0;
    if (now->backup[0] != '\0')
        return tkr_message_set(
            r->message,
            "backup %s was restored into this sink; what two backups bring overlaps. To restore this one, empty the "
            "sink first",
            now->backup);
    time_text(now->begun_s, when);
    if (now->begun_s < head->made_s)
        return tkr_message_set(
            r->message,
            "the sink has another data set, which was there before this backup was made (%s, since %s): is this the "
            "right sink?",
            now->id, when);
    return 0;
}

/* Writes the data set's line with this backup in it. 0; 1: it is another one by now; -1. */
static int note_dataset(struct restore *r, bool whole)
{
    struct tkr_dataset next = r->dataset;
    int rc;

    if (next.id[0] == '\0') {
        next.begun_s = tkr_clock_unix_ns() / TKR_NS_PER_S;
        if (!tkr_dataset_id_draw(next.id))
            return tkr_message_set(r->message, "the kernel gives no random bytes");
    }
    memcpy(next.backup, r->report->head.backup, sizeof(next.backup));
    memcpy(next.of, r->report->head.dataset, sizeof(next.of));
    next.whole = whole;
    rc = r->sink->ops->dataset_set(r->sink, &r->dataset, &next, r->message);
    if (rc == 0)
        r->dataset = next;
    return rc;
}

/* Others may begin at the same time: with a backup of their own, which makes a number, or with this one. */
static int begin(struct restore *r)
{
    int rc = 1;

    for (int i = 0; rc == 1 && i < TRIES; i++) {
        if (read_dataset(r, &r->dataset) != 0 || check_dataset(r) != 0)
            return -1;
        if (r->options->dry_run || strcmp(r->dataset.backup, r->report->head.backup) == 0)
            return 0;
        rc = note_dataset(r, false);
    }
    return rc != 1 ? rc : tkr_message_set(r->message, "others keep changing which data set the sink says it has");
}

/* The data set may have been lost once more in the meantime; then what was restored was lost with it. */
static int end(struct restore *r)
{
    char id[TKR_DATASET_ID_BYTES];
    int rc = 1;

    memcpy(id, r->dataset.id, sizeof(id));
    for (int i = 0; rc == 1 && i < TRIES; i++) {
        if (read_dataset(r, &r->dataset) != 0)
            return -1;
        if (strcmp(r->dataset.id, id) != 0)
            return tkr_message_set(r->message, "the sink lost its data again while it was restored; run it again");
        if (r->report->left > 0 || r->report->skipped > 0 || r->dataset.whole)
            return 0;
        rc = note_dataset(r, true);
    }
    return rc != 1 ? rc : tkr_message_set(r->message, "others keep changing which data set the sink says it has");
}

/* --- sources --- */

static int set_sources(struct restore *r)
{
    struct tkr_source_seen *left = calloc(r->reader.source_count + 1, sizeof(*left));
    int rc;

    if (left == NULL)
        return tkr_message_set(r->message, "there is no memory for so many sources");
    for (uint32_t i = 0; i < r->reader.source_count; i++) {
        left[i] = r->reader.source[i];
        left[i].seen = tkr_restore_seen(left[i].seen);
    }
    rc = r->sink->ops->sources_set(r->sink, left, r->reader.source_count, r->message);
    free(left);
    return rc;
}

/* --- accounts --- */

/* A sum that stands at its end is only told. */
static void add_up(tkr_counts *sum, const tkr_counts *more)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (__builtin_add_overflow(sum->value[i], more->value[i], &sum->value[i]))
            sum->value[i] = more->value[i] < 0 ? INT64_MIN : INT64_MAX;
    }
}

static void note(struct restore *r, const struct tkr_holdings *account, const struct tkr_restored *restored)
{
    struct tkr_backup_restore_report *report = r->report;

    report->restored += restored->verdict == TKR_RESTORE_DONE && account->cycle != 0;
    report->before += restored->verdict == TKR_RESTORE_BEFORE;
    report->forgotten += restored->verdict == TKR_RESTORE_FORGOTTEN;
    report->left += restored->verdict == TKR_RESTORE_LEFT;
    report->limits += restored->limit;
    report->records += restored->records;
    add_up(&report->added, &restored->added);
    r->options->tell(account, restored, r->options->arg);
}

static int restore_batch(struct restore *r)
{
    int rc = 0;

    if (r->count > 0)
        rc = r->sink->ops->restore(r->sink, &r->terms, r->account, r->count, r->restored, r->message);
    TKR_CRASH(RESTORE_BATCH);
    for (uint32_t i = 0; rc == 0 && i < r->count; i++)
        note(r, &r->account[i], &r->restored[i]);
    r->count = 0;
    return rc;
}

static bool is_wanted(const struct restore *r, const struct tkr_holdings *account)
{
    const struct tkr_backup_restore_options *options = r->options;

    if (account->cycle == 0 && r->dataset.whole)
        return false; /* whoever cleared it since meant it */
    return options->id == NULL || (account->kind == options->kind && account->id_len == options->id_len &&
                                   memcmp(account->id, options->id, options->id_len) == 0);
}

/* The line's holdings change places with those of the batch, so that the memory of both is used again. */
static int take_account(struct restore *r, struct tkr_backup_line *line)
{
    struct tkr_holdings taken = line->holdings;

    if (!is_wanted(r, &line->holdings)) {
        r->report->skipped += r->options->id != NULL;
        return 0;
    }
    line->holdings = r->account[r->count];
    r->account[r->count++] = taken;
    return r->count == r->max ? restore_batch(r) : 0;
}

static int restore_accounts(struct restore *r)
{
    struct tkr_backup_line line = {.kind = TKR_BACKUP_HEAD};
    int rc;

    while ((rc = tkr_backup_reader_next(&r->reader, &line, r->message)) == 1) {
        if (line.kind == TKR_BACKUP_ACCOUNT && take_account(r, &line) != 0) {
            rc = -1;
            break;
        }
    }
    tkr_holdings_free(&line.holdings);
    return rc == 0 ? restore_batch(r) : rc;
}

static int restore(struct restore *r)
{
    if (begin(r) != 0)
        return -1;
    TKR_CRASH(RESTORE_BEGUN);
    if (!r->options->dry_run && set_sources(r) != 0)
        return -1;
    if (restore_accounts(r) != 0)
        return -1;
    TKR_CRASH(RESTORE_ALL);
    return r->options->dry_run ? 0 : end(r);
}

/* --- */

static int prepare(struct restore *r, const struct tkr_sink_config *config)
{
    if (tkr_backup_reader_open(r->options->path, &r->reader, r->message) != 0 ||
        tkr_backup_reader_check(&r->reader, r->message) != 0)
        return -1;
    r->report->head = r->reader.head;
    r->report->end = r->reader.end;
    if (tkr_sink_open(config, &r->sink, r->message) != 0)
        return -1;
    r->max = r->sink->chunk_items_max;
    r->account = calloc(r->max, sizeof(*r->account));
    r->restored = calloc(r->max, sizeof(*r->restored));
    if (r->account == NULL || r->restored == NULL)
        return tkr_message_set(r->message, "there is no memory to restore with");
    (void)snprintf(r->terms.mark, sizeof(r->terms.mark), TKR_MARK_PREFIX "%s", r->reader.head.backup);
    r->terms.source = r->reader.source;
    r->terms.source_count = r->reader.source_count;
    r->terms.anyway = r->options->anyway;
    r->terms.dry_run = r->options->dry_run;
    return 0;
}

static void release(struct restore *r)
{
    for (uint32_t i = 0; r->account != NULL && i < r->max; i++)
        tkr_holdings_free(&r->account[i]);
    free(r->account);
    free(r->restored);
    if (r->sink != NULL)
        r->sink->ops->close(r->sink);
    tkr_backup_reader_close(&r->reader);
}

int tkr_backup_restore(const struct tkr_backup_restore_options *options, const struct tkr_sink_config *config,
                       struct tkr_backup_restore_report *ret_report, tkr_message *ret_message)
{
    struct restore r = {.options = options, .report = ret_report, .message = ret_message};
    int rc;

    ret_message->text[0] = '\0';
    *ret_report = (struct tkr_backup_restore_report){.restored = 0};
    rc = prepare(&r, config) == 0 ? restore(&r) : -1;
    release(&r);
    return rc;
}
