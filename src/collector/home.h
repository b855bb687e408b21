/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a collector lives: the runtime directory with its own folder "collector" in it, the lock that only one collector
 * holds, and its name.
 */
#ifndef TKR_COLLECTOR_HOME_H
#define TKR_COLLECTOR_HOME_H

#include "collector/config.h"

#define TKR_COLLECTOR_FOLDER "collector"

struct tkr_home {
    int runtime; /* directory of the regions */
    int folder;  /* the collector's own */
    int lock;
    int state_lock; /* in the state directory, -1 without one: two collectors under one name would not be told apart */
    uint64_t name;  /* 64 random bits, not 0; kept in the state directory, else in the folder */
};

/*
 * Opens, and makes where missing, the directories; takes the lock; reads or draws the name.
 * 0, or -1 with a sentence (missing or unsafe directory, no tmpfs, another collector runs here or under the same name).
 */
int tkr_home_open(const struct tkr_collector_config *config, struct tkr_home *ret_home, tkr_message *ret_message);

/* Does a collector hold the lock in this directory? */
bool tkr_home_locked(int directory);

/* Does a collector run under this name, and keep it in this state directory? */
bool tkr_home_serves(const char *state_path, uint64_t name);

/* No directory, no lock. */
#define TKR_HOME_NONE                                             \
    {                                                             \
        .runtime = -1, .folder = -1, .lock = -1, .state_lock = -1 \
    }

/* Gives up the lock; accepts one that did not open (all -1). */
void tkr_home_close(struct tkr_home *home);

#endif
