/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of its own that removes directories once we have ended, however that came. Programs that we started are killed by
 * the kernel (support/process.h).
 */
#ifndef TESTS_CHAOS_CLEANER_H
#define TESTS_CHAOS_CLEANER_H

/* Starts it; before any thread. 0, or -1 with errno. */
int cleaner_start(void);

/* Tells it a directory made by tempdir_make. */
void cleaner_note(const char *dir);

#endif
