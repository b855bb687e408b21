/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define SHOWN_BYTES 120
#define VERSION (TKR_LEDGER_LAYOUT * 100 + TKR_COUNTER_COUNT)
#define STATE_DIR_USER "/.local/state/tokenring" /* as in sink/config.c */
#define WAL_KEPT_BYTES "67108864"

#define TKR_COUNTER(symbol, name, letter, help) ", " #name " INTEGER NOT NULL DEFAULT 0"
static const char create_tables[] = "CREATE TABLE contribution (account TEXT NOT NULL, kind TEXT NOT NULL,"
                                    " cycle TEXT NOT NULL, source TEXT NOT NULL, life INTEGER NOT NULL"
#include "base/counters.def"
                                    ", PRIMARY KEY (kind, account, cycle, source)) WITHOUT ROWID;"
                                    "CREATE TABLE seen (source TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL)"
                                    " WITHOUT ROWID;";
#undef TKR_COUNTER

/* Came later, and changes nothing for programs that do not know them. */
static const char create_more[] =
    "CREATE TABLE IF NOT EXISTS usage_limit (kind TEXT NOT NULL, account TEXT NOT NULL,"
    " cycle TEXT NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (kind, account, cycle)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS forgotten (digest INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS alert (kind TEXT NOT NULL, account TEXT NOT NULL, cycle TEXT NOT NULL,"
    " percent INTEGER NOT NULL, PRIMARY KEY (kind, account, cycle, percent)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS dataset (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;";
#define TKR_COUNTER(symbol, name, letter, help) ", " #name " INTEGER NOT NULL DEFAULT 0"
static const char create_models[] = "CREATE TABLE model_contribution (account TEXT NOT NULL, kind TEXT NOT NULL,"
                                    " cycle TEXT NOT NULL, model TEXT NOT NULL, source TEXT NOT NULL, life INTEGER NOT NULL"
#include "base/counters.def"
                                    ", PRIMARY KEY (kind, account, cycle, model, source)) WITHOUT ROWID;";
#undef TKR_COUNTER

#define TKR_COUNTER(symbol, name, letter, help) ", sum(" #name ") AS " #name
static const char create_view[] = "DROP VIEW IF EXISTS usage; CREATE VIEW usage AS SELECT kind, account, cycle"
#include "base/counters.def"
                                  " FROM contribution GROUP BY kind, account, cycle;";
#undef TKR_COUNTER

#define TKR_COUNTER(symbol, name, letter, help) ", sum(" #name ") AS " #name
static const char create_model_view[] = "DROP VIEW IF EXISTS usage_by_model;"
                                        "CREATE VIEW usage_by_model AS SELECT kind, account, cycle, model"
#include "base/counters.def"
                                        " FROM model_contribution GROUP BY kind, account, cycle, model;";
#undef TKR_COUNTER

/* What a file says of itself. */
struct identity {
    int64_t application_id;
    int64_t version;
    int64_t objects; /* tables, views, indexes */
    int64_t models;  /* 1: the table of models is there */
};

int tkr_ledger_failed(const struct tkr_ledger *ledger, tkr_message *ret_message)
{
    int code = ledger->db != NULL ? sqlite3_errcode(ledger->db) & 0xff : SQLITE_NOMEM;
    int error = code == SQLITE_CANTOPEN || code == SQLITE_IOERR ? sqlite3_system_errno(ledger->db) : 0;

    return tkr_message_set(ret_message, "ledger %.*s: %s%s%s", SHOWN_BYTES, ledger->path,
                           ledger->db != NULL ? sqlite3_errmsg(ledger->db) : "out of memory", error != 0 ? ": " : "",
                           error != 0 ? strerror(error) : "");
}

int tkr_ledger_run(const struct tkr_ledger *ledger, const char *sql, tkr_message *ret_message)
{
    return sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : tkr_ledger_failed(ledger, ret_message);
}

int tkr_ledger_prepare(const struct tkr_ledger *ledger, const char *sql, sqlite3_stmt **ret_statement, tkr_message *ret_message)
{
    int rc = sqlite3_prepare_v3(ledger->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);

    return rc == SQLITE_OK ? 0 : tkr_ledger_failed(ledger, ret_message);
}

void tkr_ledger_close(struct tkr_ledger *ledger)
{
    (void)sqlite3_close_v2(ledger->db); /* NULL is fine; it is always closed in the end */
    ledger->db = NULL;
}

static int query_integer(const struct tkr_ledger *ledger, const char *sql, int64_t *ret_value, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int rc = 0;

    if (tkr_ledger_prepare(ledger, sql, &statement, ret_message) != 0)
        return -1;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    else
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* its failure is that of the step */
    return rc;
}

static bool has_table(const struct tkr_ledger *ledger, const char *sql)
{
    tkr_message ignored; /* what is wrong shows when something is asked for */
    int64_t count = 0;

    return query_integer(ledger, sql, &count, &ignored) == 0 && count > 0;
}

bool tkr_ledger_has_limits(const struct tkr_ledger *ledger)
{
    return has_table(ledger, "SELECT count(*) FROM sqlite_master WHERE type='table' AND name='usage_limit'");
}

bool tkr_ledger_has_dataset(const struct tkr_ledger *ledger)
{
    return has_table(ledger, "SELECT count(*) FROM sqlite_master WHERE type='table' AND name='dataset'");
}

static int identify(const struct tkr_ledger *ledger, struct identity *ret_identity, tkr_message *ret_message)
{
    if (query_integer(ledger, "PRAGMA application_id", &ret_identity->application_id, ret_message) != 0 ||
        query_integer(ledger, "PRAGMA user_version", &ret_identity->version, ret_message) != 0 ||
        query_integer(ledger, "SELECT count(*) FROM sqlite_master WHERE name='model_contribution'", &ret_identity->models,
                      ret_message) != 0)
        return -1;
    return query_integer(ledger, "SELECT count(*) FROM sqlite_master", &ret_identity->objects, ret_message);
}

static bool unused(const struct identity *identity)
{
    return identity->application_id == 0 && identity->version == 0 && identity->objects == 0;
}

/* Is it a ledger that this program understands, or one that is yet to be made? */
static int check(const struct tkr_ledger *ledger, const struct identity *identity, tkr_message *ret_message)
{
    if (unused(identity))
        return 0;
    if (identity->application_id != TKR_LEDGER_APPLICATION_ID)
        return tkr_message_set(ret_message, "ledger %.*s: this SQLite file is not a ledger of tokenring; left alone", SHOWN_BYTES,
                               ledger->path);
    if (identity->version > VERSION)
        return tkr_message_set(ret_message, "ledger %.*s: written by a newer tokenring (version %d, known is %d)", SHOWN_BYTES,
                               ledger->path, (int)identity->version, VERSION);
    if (identity->version < TKR_LEDGER_LAYOUT * 100)
        return tkr_message_set(ret_message, "ledger %.*s: its version is %d, which no tokenring wrote", SHOWN_BYTES, ledger->path,
                               (int)identity->version);
    return 0;
}

static int add_column(const struct tkr_ledger *ledger, const char *table, const char *name, tkr_message *ret_message)
{
    char sql[128];

    (void)snprintf(sql, sizeof(sql), "ALTER TABLE %s ADD COLUMN %s INTEGER NOT NULL DEFAULT 0", table, name);
    return tkr_ledger_run(ledger, sql, ret_message);
}

static int create(const struct tkr_ledger *ledger, const struct identity *identity, tkr_message *ret_message)
{
    int64_t counters = unused(identity) ? TKR_COUNTER_COUNT : identity->version - TKR_LEDGER_LAYOUT * 100;
    char sql[96];

    if (unused(identity) && tkr_ledger_run(ledger, create_tables, ret_message) != 0)
        return -1;
    for (int64_t i = counters; i < TKR_COUNTER_COUNT; i++) {
        if (add_column(ledger, "contribution", tkr_counter_name[i], ret_message) != 0 ||
            (identity->models != 0 && add_column(ledger, "model_contribution", tkr_counter_name[i], ret_message) != 0))
            return -1;
    }
    if ((identity->models == 0 && tkr_ledger_run(ledger, create_models, ret_message) != 0) ||
        tkr_ledger_run(ledger, create_view, ret_message) != 0 || tkr_ledger_run(ledger, create_model_view, ret_message) != 0)
        return -1;
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d", TKR_LEDGER_APPLICATION_ID, VERSION);
    return tkr_ledger_run(ledger, sql, ret_message);
}

/* Makes the tables, or adds what this program counts and the file does not; another process may do the same now. */
static int bring_up(const struct tkr_ledger *ledger, tkr_message *ret_message)
{
    struct identity identity;

    if (tkr_ledger_run(ledger, "BEGIN IMMEDIATE", ret_message) != 0)
        return -1;
    if (identify(ledger, &identity, ret_message) != 0 || check(ledger, &identity, ret_message) != 0)
        return -1;
    if ((identity.version != VERSION || identity.models == 0) && create(ledger, &identity, ret_message) != 0)
        return -1;
    if (tkr_ledger_run(ledger, create_more, ret_message) != 0)
        return -1;
    return tkr_ledger_run(ledger, "COMMIT", ret_message);
}

/* Changing the mode of a new file does not wait for others who do the same now, as all else does: so we do. */
static int step_patiently(sqlite3_stmt *statement, int timeout_ms)
{
    int64_t until_ns = tkr_clock_monotonic_ns() + timeout_ms * TKR_NS_PER_MS;
    int step = sqlite3_step(statement);

    while ((step & 0xff) == SQLITE_BUSY && tkr_clock_monotonic_ns() < until_ns) {
        (void)sqlite3_reset(statement); /* tells the step's failure once more */
        tkr_clock_sleep_ns(TKR_NS_PER_MS);
        step = sqlite3_step(statement);
    }
    return step;
}

/* journal_mode answers with the mode that it is in, and does not fail when that is another one. */
static int use_wal(const struct tkr_ledger *ledger, int timeout_ms, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    bool wal;

    if (tkr_ledger_prepare(ledger, "PRAGMA journal_mode=WAL", &statement, ret_message) != 0)
        return -1;
    if (step_patiently(statement, timeout_ms) != SQLITE_ROW) {
        (void)tkr_ledger_failed(ledger, ret_message); /* -1, as we return */
        (void)sqlite3_finalize(statement);
        return -1;
    }
    wal = strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    (void)sqlite3_finalize(statement);
    if (!wal)
        return tkr_message_set(ret_message, "ledger %.*s: no WAL mode there; is it on a network file system?", SHOWN_BYTES,
                               ledger->path);
    return tkr_ledger_run(ledger, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=" WAL_KEPT_BYTES, ret_message);
}

/* The inode of the file that SQLite keeps beside the ledger; 0: there is none. */
static ino_t inode_beside(const struct tkr_ledger *ledger, const char *suffix, char ret_path[TKR_SINK_PATH_BYTES + 8])
{
    struct stat st;

    (void)snprintf(ret_path, TKR_SINK_PATH_BYTES + 8, "%s%s", ledger->path, suffix);
    return stat(ret_path, &st) == 0 && st.st_dev == ledger->device ? st.st_ino : 0;
}

static void remove_beside(const struct tkr_ledger *ledger, const char *suffix, ino_t inode)
{
    char path[TKR_SINK_PATH_BYTES + 8];

    if (inode != 0 && inode_beside(ledger, suffix, path) == inode)
        (void)unlink(path); /* if it cannot be, the next file says that it is damaged */
}

void tkr_ledger_leave(struct tkr_ledger *ledger)
{
    /* As far as readers let it, without waiting for them; what it lacks then is sent to the next file all the same. */
    (void)sqlite3_wal_checkpoint_v2(ledger->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    tkr_ledger_close(ledger);
    remove_beside(ledger, "-wal", ledger->wal_inode);
    remove_beside(ledger, "-shm", ledger->shm_inode);
}

/* Which file it is that was opened; that it still lies at the path is for SQLite to say. */
static int note_file(struct tkr_ledger *ledger, tkr_message *ret_message)
{
    char beside[TKR_SINK_PATH_BYTES + 8];
    struct stat st;

    if (stat(ledger->path, &st) != 0)
        return tkr_message_set(ret_message, "ledger %.*s: %s", SHOWN_BYTES, ledger->path, strerror(errno));
    ledger->device = st.st_dev;
    ledger->inode = st.st_ino;
    ledger->wal_inode = inode_beside(ledger, "-wal", beside);
    ledger->shm_inode = inode_beside(ledger, "-shm", beside);
    if (tkr_ledger_gone(ledger))
        return tkr_message_set(ret_message, "ledger %.*s: the file was replaced while it was opened", SHOWN_BYTES, ledger->path);
    return 0;
}

bool tkr_ledger_gone(const struct tkr_ledger *ledger)
{
    struct stat st;
    int moved = 0;

    if (stat(ledger->path, &st) != 0 || st.st_dev != ledger->device || st.st_ino != ledger->inode)
        return true;
    return sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

uint64_t tkr_ledger_wal_bytes(const char *path)
{
    char wal[TKR_SINK_PATH_BYTES + 8];
    struct stat st;

    (void)snprintf(wal, sizeof(wal), "%s-wal", path);
    return stat(wal, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Makes the directories of path from byte `from` on, each 0700. */
static void make_directories(const char *path, size_t from)
{
    char part[TKR_SINK_PATH_BYTES];

    for (size_t i = from + 1; path[i] != '\0' && i < sizeof(part); i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        (void)mkdir(part, 0700); /* what could not be made shows when the file is opened */
    }
}

/* Only the default place: a directory that somebody named and that is not there may be a disk that is not mounted. */
static void make_default_directory(const char *path)
{
    const char *home = getenv("HOME");
    size_t len = home != NULL ? strlen(home) : 0;

    if (len > 0 && strncmp(path, home, len) == 0 && strncmp(path + len, STATE_DIR_USER "/", sizeof(STATE_DIR_USER)) == 0)
        make_directories(path, len);
}

/* Extended codes tell more, and the messages are theirs. */
static int open_file(struct tkr_ledger *ledger, const char *name, int flags, int timeout_ms, tkr_message *ret_message)
{
    struct identity identity;

    if (sqlite3_open_v2(name, &ledger->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_extended_result_codes(ledger->db, 1);
    (void)sqlite3_busy_timeout(ledger->db, timeout_ms);    /* neither fails on an open database */
    if (tkr_ledger_run(ledger, "BEGIN", ret_message) != 0) /* another process may be making it */
        return -1;
    if (identify(ledger, &identity, ret_message) != 0 || check(ledger, &identity, ret_message) != 0)
        return -1;
    return tkr_ledger_run(ledger, "COMMIT", ret_message);
}

int tkr_ledger_open(const char *path, int timeout_ms, struct tkr_ledger *ret_ledger, tkr_message *ret_message)
{
    struct tkr_ledger ledger = {.path = path};

    make_default_directory(path);
    if (open_file(&ledger, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, timeout_ms, ret_message) != 0 ||
        use_wal(&ledger, timeout_ms, ret_message) != 0 || bring_up(&ledger, ret_message) != 0 ||
        note_file(&ledger, ret_message) != 0) {
        tkr_ledger_close(&ledger);
        return -1;
    }
    *ret_ledger = ledger;
    return 0;
}

/* file:PATH?immutable=1 with the path's special bytes escaped; the caller frees it by sqlite3_free. NULL: no memory. */
static char *immutable_name(const char *path)
{
    sqlite3_str *name = sqlite3_str_new(NULL);

    sqlite3_str_appendall(name, "file:");
    for (; *path != '\0'; path++) {
        if (strchr("%?#", *path) != NULL)
            sqlite3_str_appendf(name, "%%%02X", (unsigned)(unsigned char)*path);
        else
            sqlite3_str_appendchar(name, 1, *path);
    }
    sqlite3_str_appendall(name, "?immutable=1");
    return sqlite3_str_finish(name);
}

/*
 * Reading needs files beside the ledger that a reader of another user may not be able to make. When nobody has it open
 * (then there is no WAL file) it can be read as a file that does not change.
 */
static int open_unchanging(struct tkr_ledger *ledger, int timeout_ms, tkr_message *ret_message)
{
    char wal[TKR_SINK_PATH_BYTES + 8];
    tkr_message ignored;
    struct stat st;
    char *name;
    int rc = -1;

    (void)snprintf(wal, sizeof(wal), "%s-wal", ledger->path);
    if (stat(wal, &st) == 0)
        return -1;
    name = immutable_name(ledger->path);
    if (name != NULL) {
        tkr_ledger_close(ledger);
        rc = open_file(ledger, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, timeout_ms, &ignored);
    }
    sqlite3_free(name);
    if (rc == 0)
        ret_message->text[0] = '\0';
    return rc;
}

static bool could_not_prepare(const struct tkr_ledger *ledger)
{
    int code = ledger->db != NULL ? sqlite3_errcode(ledger->db) & 0xff : SQLITE_OK;

    return code == SQLITE_CANTOPEN || code == SQLITE_READONLY;
}

static int no_ledger(const char *path, tkr_message *ret_message)
{
    (void)tkr_message_set(ret_message,
                          "no ledger at %.*s yet; start tokenringd, which makes it, or name another by TOKENRING_LEDGER or "
                          "TOKENRING_STATE_DIR",
                          SHOWN_BYTES, path);
    return 1;
}

int tkr_ledger_open_to_read(const char *path, int timeout_ms, struct tkr_ledger *ret_ledger, int *ret_counters,
                            tkr_message *ret_message)
{
    struct tkr_ledger ledger = {.path = path};
    struct identity identity;
    struct stat st;
    int rc = -1;

    if (stat(path, &st) != 0 && errno == ENOENT)
        return no_ledger(path, ret_message);
    if (open_file(&ledger, path, SQLITE_OPEN_READONLY, timeout_ms, ret_message) != 0 &&
        !(could_not_prepare(&ledger) && open_unchanging(&ledger, timeout_ms, ret_message) == 0))
        goto fail;
    if (identify(&ledger, &identity, ret_message) != 0)
        goto fail;
    if (unused(&identity)) {
        rc = no_ledger(path, ret_message);
        goto fail;
    }
    *ret_counters = (int)(identity.version - TKR_LEDGER_LAYOUT * 100);
    ledger.by_model = identity.models != 0;
    *ret_ledger = ledger;
    return 0;
fail:
    tkr_ledger_close(&ledger);
    return rc;
}
