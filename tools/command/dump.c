/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring dump: what is in a file, whoever left it, and in whatever state. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/health.h"
#include "command/command.h"
#include "command/dump/file.h"
#include "command/text.h"
#include "command/dump/tree.h"
#include "limit/layout.h"
#include "region/layout.h"
#include "table/layout.h"

#define HEAD_BYTES 24
#define LIMIT_DEFAULT 20

enum { OPTION_JSON = TKR_COMMAND_OPTION_FIRST, OPTION_LIMIT };

static const char help[] =
    "tokenring dump FILE [OPTION]...\n\n"
    "Says what a file is and prints what is in it: a region (a gateway's file in the runtime directory), a shard, the board of\n"
    "limits, its reservations, the file `health` (the collector's), or a backup. FILE may be cut, damaged, of another boot, or "
    "just\n"
    "being written: what cannot be believed is left out and told under `doubts`. Nothing is changed, and nobody is disturbed.\n\n"
    "Of a region: frames that wait, and those that are counted and have not been overwritten yet; open calls and what they hold. "
    "Of a\n"
    "shard: the undo log, how far each region has been counted, accounts and models.\n\n"
    "Options:\n"
    "  --limit N          rows of each list, 1..1000000000; default 20; how many there are in all is told\n"
    "  --json             print one JSON object\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that FILE is none of these, or that there are doubts.\n";

static const struct option options[] = {{"limit", required_argument, NULL, OPTION_LIMIT},
                                        {"json", no_argument, NULL, OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct dumping {
    const char *command;
    const char *path;
    int64_t limit;
    bool json;
};

static const struct kind {
    uint64_t magic;
    const char *name;
    void (*dump)(struct tkr_dump *dump);
} kinds[] = {
    {TKR_REGION_MAGIC, "region", tkr_dump_region},
    {TKR_REGION_MAGIC_RETIRED, "region, counted to its end", tkr_dump_region},
    {TKR_SHARD_MAGIC, "shard", tkr_dump_shard},
    {TKR_BOARD_MAGIC, "board", tkr_dump_board},
    {TKR_RESERVATIONS_MAGIC, "reservations", tkr_dump_reservations},
    {TKR_HEALTH_MAGIC, "health", tkr_dump_health},
};

static int take_option(void *arg, int option)
{
    struct dumping *dumping = arg;

    switch (option) {
    case OPTION_LIMIT:
        return tkr_command_integer(dumping->command, "limit", optarg, 1, 1000000000, &dumping->limit);
    case OPTION_JSON:
        dumping->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

/* Fills in what the first bytes say that it is. false: nothing of ours. */
static bool dump_kind(struct tkr_dump *dump, const unsigned char head[HEAD_BYTES])
{
    static const char backup[] = "{\"tokenring_backup\":";
    uint64_t magic;

    memcpy(&magic, head, sizeof(magic));
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].magic == magic) {
            tkr_dump_set_text(dump->object, "kind", kinds[i].name);
            kinds[i].dump(dump);
            return true;
        }
    }
    _Static_assert(sizeof(backup) - 1 <= HEAD_BYTES, "so much is looked at");
    if (memcmp(head, backup, sizeof(backup) - 1) != 0)
        return false;
    tkr_dump_set_text(dump->object, "kind", "backup");
    tkr_dump_backup(dump);
    return true;
}

static bool all_zeros(const struct tkr_dump *dump)
{
    unsigned char bytes[4096];

    for (uint64_t at = 0; at < dump->bytes; at += sizeof(bytes)) {
        (void)tkr_dump_read(dump, at, bytes, sizeof(bytes)); /* zeros behind its end */
        if (bytes[0] != 0 || memcmp(bytes, bytes + 1, sizeof(bytes) - 1) != 0)
            return false;
    }
    return true;
}

/* What else it may be. Returns the exit code. */
static int tell_unknown(const struct dumping *dumping, const struct tkr_dump *dump, const unsigned char head[HEAD_BYTES])
{
    char clean[TKR_COMMAND_CLEAN_BYTES(HEAD_BYTES)];
    size_t count = dump->bytes < HEAD_BYTES ? (size_t)dump->bytes : HEAD_BYTES;

    if (dump->bytes == 0)
        return tkr_command_failed(dumping->command, "%s: the file is empty", dumping->path);
    if (memcmp(head, "SQLite format 3", sizeof("SQLite format 3")) == 0)
        return tkr_command_failed(dumping->command,
                                  "%s: a SQLite database; a ledger is read by 'tokenring usage', or with sqlite3", dumping->path);
    if (all_zeros(dump))
        return tkr_command_failed(dumping->command, "%s: nothing but zeros, %" PRIu64 " bytes of them", dumping->path,
                                  dump->bytes);
    (void)tkr_command_text_clean((const char *)head, count, clean);
    return tkr_command_failed(dumping->command, "%s: no file of tokenring: its %" PRIu64 " bytes begin with \"%s\"",
                              dumping->path, dump->bytes, clean);
}

static int print(const struct dumping *dumping, struct tkr_dump *dump)
{
    int exit_code = dump->doubted > 0 ? TKR_COMMAND_FAILED : TKR_COMMAND_OK;
    int printed;

    tkr_dump_set(dump->object, "doubts_in_all", dump->doubted);
    (void)json_object_set(dump->object, "doubts", dump->doubts);
    if (dumping->json) {
        printed = tkr_command_json_print(dumping->command, json_incref(dump->object));
        return printed != TKR_COMMAND_OK ? printed : exit_code;
    }
    tkr_command_tree_print(dump->object);
    return tkr_command_end(dumping->command, exit_code);
}

static int look_into(const struct dumping *dumping, struct tkr_dump *dump)
{
    unsigned char head[HEAD_BYTES];
    int exit_code;

    dump->object = json_object();
    dump->doubts = json_array();
    (void)tkr_dump_read(dump, 0, head, sizeof(head)); /* zeros where it is shorter */
    tkr_command_json_set_id(dump->object, "file", dumping->path, strlen(dumping->path));
    tkr_dump_set(dump->object, "file_bytes", dump->bytes);
    exit_code = dump_kind(dump, head) ? print(dumping, dump) : tell_unknown(dumping, dump, head);
    json_decref(dump->object);
    json_decref(dump->doubts);
    return exit_code;
}

static int dump_file(const struct dumping *dumping)
{
    struct tkr_dump dump = {.path = dumping->path, .limit = (uint64_t)dumping->limit};
    struct stat status;
    int exit_code;

    dump.fd = open(dumping->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (dump.fd < 0)
        return tkr_command_failed(dumping->command, "%s: %s", dumping->path, strerror(errno));
    if (fstat(dump.fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        exit_code = tkr_command_failed(dumping->command, "%s: it is no regular file", dumping->path);
    } else {
        dump.bytes = (uint64_t)status.st_size;
        dump.inode = status.st_ino;
        exit_code = look_into(dumping, &dump);
    }
    (void)close(dump.fd);
    return exit_code;
}

int tkr_command_dump(int argc, char **argv)
{
    struct dumping dumping = {.command = argv[0], .limit = LIMIT_DEFAULT};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &dumping);

    if (exit_code != -1)
        return exit_code;
    if (optind >= argc)
        return tkr_command_wrong(argv[0], "a FILE is missing; see 'tokenring dump --help'");
    if (optind + 1 < argc)
        return tkr_command_wrong(argv[0], "%s: one FILE is allowed", argv[optind + 1]);
    dumping.path = argv[optind];
    return dump_file(&dumping);
}
