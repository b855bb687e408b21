/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health: what the flusher has to say of its sink, and gateways' handlers of themselves, for other processes to read. The file "health" of the collector's folder:
 *
 *   offset
 *        0   magic, major, minor, bytes of a copy
 *       64   current: number of the copy that holds
 *      128   copies 0 and 1 of struct tkr_health, in words
 *
 * The flusher writes copy (current + 1) mod 2, then current + 1 (release). A reader takes current (acquire), the words of that copy
 * (acquire; stored with release, so that one of a later number shows that number too), and current again: unchanged, the copy
 * was not written to meanwhile. No lock, and a kill at any instruction leaves the copy before.
 *
 * Each collector makes the file anew, under another name first, and allocated whole: nobody's mapping ever shrinks.
 */
#ifndef TKR_COLLECTOR_HEALTH_H
#define TKR_COLLECTOR_HEALTH_H

#include <stdbool.h>

#include "event/frame.h"
#include "sink/sink.h"
#include "table/layout.h"

#define TKR_HEALTH_MAGIC UINT64_C(0x31544c4145485254) /* "TRHEALT1" */
#define TKR_HEALTH_NAMED_MAX 32u
#define TKR_HEALTH_HANDLERS_MAX 32u
#define TKR_HEALTH_TYPE_BYTES 32u
#define TKR_HEALTH_LOOP_BYTES 16u
#define TKR_HEALTH_WAL_BYTES (UINT64_C(256) << 20) /* a write-ahead log beyond it is a problem; 64 MiB of one stay allocated */
#define TKR_HEALTH_REGIONS_MAX 4u
#define TKR_HEALTH_REGION_BYTES 48u

enum tkr_health_state {
    TKR_HEALTH_STARTING, /* not tried yet */
    TKR_HEALTH_GOOD,     /* the sink takes usage */
    TKR_HEALTH_FAILING   /* it does not: `error`; tried again with back-off */
};

/* What else an operator should look at while the collector goes on. */
enum tkr_problem {
    TKR_PROBLEM_WAL,  /* the ledger's write-ahead log is beyond TKR_HEALTH_WAL_BYTES */
    TKR_PROBLEM_LOG,  /* the log's file cannot be opened */
    TKR_PROBLEM_HTTP, /* metrics and health are not served */
    TKR_PROBLEM_COUNT
};

/* An account, or a model of it, that the sink cannot take as it is. */
struct tkr_health_account {
    uint64_t kind;
    uint32_t cycle;
    uint32_t id_len;
    char id[TKR_ENTRY_ID_MAX + 1];
    uint64_t model_len; /* 0: the account's own totals */
    char model[TKR_ENTRY_LABEL_MAX];
    int64_t since_ns; /* Unix time */
    char reason[TKR_REASON_BYTES];
};

/* What handlers of one type have had to say to this collector. */
struct tkr_health_handler {
    char type[TKR_HEALTH_TYPE_BYTES];
    uint64_t told[24]; /* by enum tkr_notice */
};
_Static_assert(TKR_NOTICE_COUNT <= 24, "there is a place for each notice");

/* A region, or the runtime directory itself, that the collector cannot read at present; it is tried again. */
struct tkr_health_region {
    char name[TKR_HEALTH_REGION_BYTES];
    char reason[TKR_MESSAGE_BYTES];
};

struct tkr_health {
    uint64_t state;                 /* enum tkr_health_state */
    int64_t since_ns;               /* Unix time since when it is so */
    int64_t answered_ns;            /* when the sink answered last; 0: never */
    int64_t since_monotonic_ns;     /* the two moments by a clock that does not step, */
    int64_t answered_monotonic_ns;  /* for how long ago that is */
    uint64_t failures;              /* tries that failed since then; 0 unless failing */
    uint64_t parked;                /* accounts that the sink cannot take as they are */
    uint64_t named;                 /* of them, in account[] */
    char sink[TKR_MESSAGE_BYTES];   /* which it is, as tkr_sink_describe has it */
    char error[TKR_MESSAGE_BYTES];  /* of the last failure; empty unless failing */
    char advice[TKR_MESSAGE_BYTES]; /* what of the sink's settings endangers what it holds; empty: nothing that is seen */
    struct tkr_health_account account[TKR_HEALTH_NAMED_MAX];
    int64_t seen_ns;                                    /* monotonic: when this was published */
    int64_t stalled_ns;                                 /* how long, then, the loop had not moved that had not for longest */
    int64_t patience_ns;                                /* what the sink may take: the flusher waits for it */
    char stalled[TKR_HEALTH_LOOP_BYTES];                /* that loop */
    uint64_t no_board;                                  /* not 0: gateways know no limits */
    uint64_t waiting_lanes;                             /* that wait: the tmpfs has no memory for accounts in them */
    uint64_t dropped_recent;                            /* records dropped in the last ten minutes */
    uint64_t tmpfs_bytes;                               /* of the runtime directory; 0: it has no bound */
    uint64_t tmpfs_available;                           /* of them, free */
    uint64_t wal_bytes;                                 /* of the ledger's write-ahead log; 0: there is none */
    char problem[TKR_PROBLEM_COUNT][TKR_MESSAGE_BYTES]; /* a sentence; empty: there is no such problem */
    uint64_t unreadable;                                /* regions, and the directory, that cannot be read, nor counted */
    uint64_t unreadable_named;                          /* of them, below */
    struct tkr_health_region unreadable_region[TKR_HEALTH_REGIONS_MAX];
    uint64_t handlers; /* types, in handler[] */
    struct tkr_health_handler handler[TKR_HEALTH_HANDLERS_MAX];
    uint64_t limits_unreadable; /* accounts on the board whose limits cannot be read */
    uint64_t limits_no_room;    /* times that an account found no room on the board; 0: not within the last minute */
    char limit_unreadable[TKR_MESSAGE_BYTES]; /* one of the former, and what stands there; may be empty */
};

struct tkr_health_file;

/* Makes the file. NULL: it cannot be made, and the collector goes on without. */
struct tkr_health_file *tkr_health_open(int collector_directory);

/* Accepts NULL. The file stays: it says how the last collector left the sink. */
void tkr_health_close(struct tkr_health_file *file);

/* Lets others see it. Accepts no file at all. */
void tkr_health_publish(struct tkr_health_file *file, const struct tkr_health *health);

/* Any process. false: there is none, or none of this layout. Texts end with a NUL and numbers are within their arrays. */
bool tkr_health_read(int collector_directory, struct tkr_health *ret_health);

/* The same, of a copy of the file, which begins at a multiple of 128. */
bool tkr_health_copy(const void *bytes, uint64_t count, struct tkr_health *ret_health);

#endif
