/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/backup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backup/print.h"
#include "backup/reader.h"
#include "backup/writer.h"
#include "base/clock.h"
#include "base/crash.h"

#define STOPPED 1 /* a visitor's answer: the reason is in message */
#define TRIES 8   /* to give the data set a number while others do */

struct backup {
    const struct tkr_backup_options *options;
    struct tkr_backup_report *report;
    tkr_message *message;
    tkr_sink *sink;
    struct tkr_backup_writer writer;
    struct tkr_dataset dataset;
    int64_t until_ns;
};

/* --- the data set --- */

static int read_dataset(struct backup *b, struct tkr_dataset *ret_dataset)
{
    return b->sink->ops->dataset(b->sink, ret_dataset, b->message) == 0 ? 0 : -1; /* 1: there is no sink yet */
}

/* 0; 1: somebody else did just now; -1. */
static int number_dataset(struct backup *b)
{
    struct tkr_dataset next = {.begun_s = b->report->head.made_s};

    if (!tkr_dataset_id_draw(next.id))
        return tkr_message_set(b->message, "the kernel gives no random bytes");
    return b->sink->ops->dataset_set(b->sink, &b->dataset, &next, b->message);
}

static int find_dataset(struct backup *b)
{
    for (int i = 0; i < TRIES; i++) {
        if (read_dataset(b, &b->dataset) != 0)
            return -1;
        if (b->dataset.id[0] != '\0') {
            memcpy(b->report->head.dataset, b->dataset.id, sizeof(b->dataset.id));
            return 0;
        }
        if (number_dataset(b) < 0)
            return -1;
    }
    return tkr_message_set(b->message, "others keep changing which data set the sink says it has");
}

static int check_dataset(struct backup *b)
{
    struct tkr_dataset now;

    if (read_dataset(b, &now) != 0)
        return -1;
    if (strcmp(now.id, b->dataset.id) == 0)
        return 0;
    return tkr_message_set(b->message, "the sink lost its data while the backup was made; no backup was made");
}

/* May the file be replaced? See the header. */
static int check_file(struct backup *b)
{
    const struct tkr_dataset *dataset = &b->dataset;
    struct tkr_backup_head head;
    int rc;

    if (strcmp(b->options->path, "-") == 0)
        return 0;
    rc = tkr_backup_head_of(b->options->path, &head, b->message);
    if (rc == 1 ||
        (rc == 0 && (strcmp(head.dataset, dataset->id) == 0 || (strcmp(head.dataset, dataset->of) == 0 && dataset->whole))))
        return 0;
    if (rc == 0)
        return tkr_message_set(
            b->message,
            "%.100s is a backup of data set %s, and the sink's is %s: the former was lost. Restore it first, or "
            "move the file away",
            b->options->path, head.dataset, dataset->id);
    return tkr_message_set(b->message, "%.100s is there and is no backup; it is not replaced", b->options->path);
}

/* --- the lines --- */

static int put(struct backup *b, char *line)
{
    return tkr_backup_writer_put(&b->writer, line, b->message);
}

static int put_source(const char *source, uint64_t seen, void *arg)
{
    struct backup *b = arg;

    if (!tkr_source_valid(source, strlen(source)))
        return 0;
    b->report->end.sources++;
    return put(b, tkr_backup_print_source(source, seen)) == 0 ? 0 : STOPPED;
}

static void leave_out(struct backup *b, const struct tkr_holdings *holdings, const char *why)
{
    b->report->end.left_out++;
    b->options->left_out(holdings, why, b->options->arg);
}

static int put_holdings(struct backup *b, const struct tkr_holdings *holdings)
{
    char *line = tkr_backup_print_account(holdings);

    if (line != NULL && strlen(line) > TKR_BACKUP_LINE_BYTES_MAX) {
        free(line);
        leave_out(b, holdings, "it has so many records that no line holds them");
        return 0;
    }
    *(holdings->cycle == 0 ? &b->report->end.limits : &b->report->end.accounts) += 1;
    b->report->foreign += holdings->foreign;
    return put(b, line);
}

static int take_holdings(const struct tkr_holdings *holdings, const char *why, void *arg)
{
    struct backup *b = arg;

    if (tkr_clock_monotonic_ns() > b->until_ns) {
        (void)tkr_message_set(b->message, "it took longer than %" PRId64 " s, and was given up", b->options->deadline_s);
        return STOPPED;
    }
    if (why != NULL)
        leave_out(b, holdings, why);
    else if (put_holdings(b, holdings) != 0)
        return STOPPED;
    return 0;
}

static int write_file(struct backup *b)
{
    if (put(b, tkr_backup_print_head(&b->report->head)) != 0 || b->sink->ops->sources(b->sink, put_source, b, b->message) != 0 ||
        b->sink->ops->holdings(b->sink, take_holdings, b, b->message) != 0)
        return -1;
    TKR_CRASH(BACKUP_WRITTEN);
    if (check_dataset(b) != 0)
        return -1;
    return tkr_backup_writer_end(&b->writer, &b->report->end, b->message);
}

static int make(struct backup *b)
{
    if (!tkr_dataset_id_draw(b->report->head.backup))
        return tkr_message_set(b->message, "the kernel gives no random bytes");
    if (find_dataset(b) != 0 || check_file(b) != 0 || tkr_backup_writer_open(b->options->path, &b->writer, b->message) != 0)
        return -1;
    return write_file(b);
}

int tkr_backup_make(const struct tkr_backup_options *options, const struct tkr_sink_config *config,
                    struct tkr_backup_report *ret_report, tkr_message *ret_message)
{
    struct backup b = {.options = options, .report = ret_report, .message = ret_message};
    int rc;

    ret_message->text[0] = '\0';
    *ret_report = (struct tkr_backup_report){.head.made_s = tkr_clock_unix_ns() / TKR_NS_PER_S};
    b.until_ns = tkr_clock_monotonic_ns() + options->deadline_s * TKR_NS_PER_S;
    if (tkr_sink_open(config, &b.sink, ret_message) != 0)
        return -1;
    rc = make(&b);
    ret_report->bytes = b.writer.bytes;
    tkr_backup_writer_close(&b.writer);
    b.sink->ops->close(b.sink);
    return rc;
}
