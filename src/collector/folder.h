/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's folder as others look into it: tools that read its shards while it works, or when none does. */
#ifndef TKR_COLLECTOR_FOLDER_H
#define TKR_COLLECTOR_FOLDER_H

#include "base/settings.h"

/* Directories, each -1 where it is not open. */
struct tkr_folder {
    int runtime; /* the regions' */
    int folder;  /* the collector's own in it */
};

/* No directory. */
#define TKR_FOLDER_NONE             \
    {                               \
        .runtime = -1, .folder = -1 \
    }

/*
 * Opens both for reading; runtime_dir NULL: the default. 1: both are open. 0: no collector has ever worked there, for which
 * the message has a sentence as well; the runtime directory is open if there is one. -1 with a sentence: unsafe to use, or
 * may not be entered. The caller closes in any case.
 */
int tkr_folder_open(const char *runtime_dir, struct tkr_folder *ret_folder, tkr_message *ret_message);

/* Accepts what is not open. */
void tkr_folder_close(struct tkr_folder *folder);

#endif
