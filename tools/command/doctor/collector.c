/* SPDX-License-Identifier: Apache-2.0 */
/* The collector of this host, what it says of its sink, and what is left of gateways; its state directory. */
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/settings.h"
#include "collector/balance.h"
#include "collector/folder.h"
#include "collector/home.h"
#include "command/doctor/findings.h"
#include "command/sink_health.h"
#include "table/reader.h"

#define SUBJECT "collector"

static void look_at_running(struct tkr_findings *findings, const struct tkr_host_balance *balance)
{
    if (balance->collector_running && balance->shard_count > 0)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%016" PRIx64 " is running, with %u shard%s",
                        balance->shard[0].name, balance->shard_count, balance->shard_count == 1 ? "" : "s");
    else if (balance->collector_running)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "it is starting");
    else
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "start tokenringd; calls wait in lanes meanwhile",
                        "none is running");
}

/* Layouts, as the shards' headers have them: the program that runs may be of another version than this one. */
static void look_at_shards(struct tkr_findings *findings, const char *runtime_dir)
{
    struct tkr_reader *reader;
    struct tkr_folder at;
    tkr_message message = {""};
    int opened = tkr_folder_open(runtime_dir, &at, &message) == 1 ? 1 : 0;

    for (uint32_t number = 0; opened == 1; number++) {
        opened = tkr_reader_open(at.folder, number, &reader, &message);
        if (opened == 1) {
            const struct tkr_shard_header *header = tkr_reader_header(reader);
            tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL,
                            "shard-%u has layout %u.%u with %u counters, as this version", number, header->major, header->minor,
                            header->counters);
            tkr_reader_close(reader);
        }
    }
    if (opened < 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT,
                        "start the version of tokenringd that made it, or use that version's tokenring", "%s", message.text);
    tkr_folder_close(&at);
}

static void look_at_law(struct tkr_findings *findings, const struct tkr_host_balance *balance)
{
    uint64_t dropped = tkr_balance_dropped(&balance->host);

    if (!tkr_balance_holds(&balance->host))
        tkr_finding_add(findings, TKR_FINDING_ERROR, "law",
                        "run 'tokenring stat'; if it says so again, keep the runtime directory and report it",
                        "offered %" PRIu64 " is not counted %" PRIu64 " + in lanes %" PRIu64 " + dropped %" PRIu64,
                        balance->host.offered, balance->host.counted, balance->host.in_lanes, dropped);
    else if (dropped > 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "law", "'tokenring stat' names the causes",
                        "%" PRIu64 " calls have been dropped since boot", dropped);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "law", NULL, "all %" PRIu64 " calls are counted or in lanes",
                        balance->host.offered);
}

static void look_at_regions(struct tkr_findings *findings, const struct tkr_host_balance *balance)
{
    uint32_t dead = 0;
    uint32_t quarantined = 0;
    uint32_t unread = 0;

    for (uint32_t i = 0; i < balance->region_count; i++) {
        const struct tkr_balance_region *region = &balance->region[i];
        dead += region->standing <= TKR_REGION_ACTIVE && !region->alive;
        quarantined += region->standing == TKR_REGION_QUARANTINED;
        unread += region->standing > TKR_REGION_QUARANTINED;
    }
    tkr_finding_add(findings, TKR_FINDING_OK, "regions", NULL, "%u, of gateways of this host", balance->region_count);
    if (dead > 0 && !balance->collector_running)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "regions",
                        "start tokenringd, which counts what is in them and removes them",
                        "%u of processes that are dead wait for a collector", dead);
    else if (dead > 0)
        tkr_finding_add(findings, TKR_FINDING_OK, "regions", NULL, "%u of processes that are dead are just being counted", dead);
    if (quarantined > 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "regions",
                        "look at the collector's log, and restart the gateways that 'tokenring stat' names",
                        "%u broke the rules and are not read any more", quarantined);
    if (unread > 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "regions",
                        "'tokenring stat' says why; what another version left, that version's collector reads",
                        "%u cannot be read", unread);
}

static void look_at_health(struct tkr_findings *findings, const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;

    if (health == NULL || !balance->collector_running)
        return;
    if (health->waiting_lanes > 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, "memory",
                        "make it larger (mount -o remount,size=...), or remove what else fills it; nothing is lost",
                        "%" PRIu64 " lanes wait, since the tmpfs has no memory for more accounts", health->waiting_lanes);
    if (health->unreadable > 0)
        tkr_finding_add(
            findings, TKR_FINDING_ERROR, "regions",
            "give tokenringd what it lacks: memory or address space (ulimit -v), descriptors (LimitNOFILE), permissions",
            "the collector cannot read %" PRIu64 ", and what they hold is not counted: %s", health->unreadable,
            health->unreadable_named > 0 ? health->unreadable_region[0].reason : "no memory");
    if (health->state == TKR_HEALTH_FAILING)
        tkr_finding_add(findings, TKR_FINDING_ERROR, "flush", "mend the sink; nothing is lost meanwhile",
                        "the collector's sink does not take usage: %s", health->error);
    else if (health->parked > 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "flush", "'tokenring stat' names them, and why",
                        "%" PRIu64 " accounts cannot be written as they are", health->parked);
    else if (health->advice[0] != '\0')
        tkr_finding_add(findings, TKR_FINDING_WARNING, "flush", NULL, "%s", health->advice);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "flush", NULL, "%s: %s; %" PRIu64 " accounts wait", health->sink,
                        tkr_command_sink_state(health), tkr_command_sink_waiting(balance));
}

static void look_at_limits(struct tkr_findings *findings, const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;

    if (health == NULL || !balance->collector_running)
        return;
    if (health->limits_unreadable > 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "limits", "set them anew; 'tokenring limit list' shows what stands there",
                        "%" PRIu64 " cannot be read%s%s", health->limits_unreadable,
                        health->limit_unreadable[0] != '\0' ? ", one of " : "", health->limit_unreadable);
    if (health->limits_no_room > 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "limits", "raise TOKENRING_BOARD_ACCOUNTS",
                        "the board is full: accounts beyond it stay unknown to gateways");
}

/* Where the name is kept over reboots. */
static void look_at_state(struct tkr_findings *findings)
{
    static const char subject[] = "state directory";
    const char *path = tkr_setting_text("TOKENRING_STATE_DIR");
    struct statfs filesystem;
    struct stat status;

    if (path == NULL)
        tkr_finding_add(
            findings, TKR_FINDING_WARNING, subject, "set TOKENRING_STATE_DIR to a directory on disk",
            "none is set: after a reboot the collector has another name, and records of the one before stay in the sink");
    else if (stat(path, &status) != 0 && errno == ENOENT)
        tkr_finding_add(findings, TKR_FINDING_WARNING, subject, "start tokenringd, which makes it, or make it",
                        "%s is not there yet", path);
    else if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode) || access(path, R_OK | W_OK | X_OK) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, subject, "make it a directory that the collector's user may write",
                        "%s is no directory that this user may read and write", path);
    else if (statfs(path, &filesystem) == 0 && (filesystem.f_type == TMPFS_MAGIC || filesystem.f_type == RAMFS_MAGIC))
        tkr_finding_add(findings, TKR_FINDING_WARNING, subject, "set TOKENRING_STATE_DIR to a directory on disk",
                        "%s is in memory: a reboot takes the collector's name with it", path);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, subject, NULL, "%s can be written", path);
}

void tkr_doctor_collector(struct tkr_findings *findings, const char *runtime_dir)
{
    struct tkr_host_balance balance;
    tkr_message message = {""};

    look_at_shards(findings, runtime_dir);
    if (tkr_balance_read(runtime_dir, &balance, &message) == 0) {
        look_at_running(findings, &balance);
        look_at_law(findings, &balance);
        look_at_regions(findings, &balance);
        look_at_health(findings, &balance);
        look_at_limits(findings, &balance);
        tkr_balance_free(&balance);
    } else {
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, NULL, "what it counts cannot be read: %s", message.text);
    }
    look_at_state(findings);
}
