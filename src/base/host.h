/* SPDX-License-Identifier: Apache-2.0 */
/* The host and its runtime directory: where it is, whether it may be used, which boot this is, random bytes. */
#ifndef TKR_BASE_HOST_H
#define TKR_BASE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"

#define TKR_BOOT_ID_BYTES 16
#define TKR_RUNTIME_PATH_BYTES 4096

/* Random identifier of this boot of the kernel (/proc/sys/kernel/random/boot_id). false: not to be had. */
bool tkr_boot_id(uint8_t ret_id[TKR_BOOT_ID_BYTES]);

/* Value of a digit 0-9 or a-f; -1: it is none. */
int tkr_hex_digit(char c);

/* Fills bytes from the kernel's generator. false: not to be had. */
bool tkr_random(void *ret_bytes, size_t count);

/*
 * Absolute path of the runtime directory: given, else $TOKENRING_RUNTIME_DIR, else /run/tokenring where that is a directory, else
 * /dev/shm/tokenring-UID. ret_own says that it is the last one, which belongs to this user alone.
 * 0, or TKR_ENODIR when the path is too long.
 */
int tkr_runtime_path(const char *given, char ret_path[TKR_RUNTIME_PATH_BYTES], bool *ret_own);

/* The last one alone, of the user that the process acts for now. */
void tkr_runtime_path_own(char ret_path[TKR_RUNTIME_PATH_BYTES]);

/*
 * Opens the runtime directory and checks that it is a directory on a tmpfs, not a symbolic link, and that nobody else can take
 * away what lies in it: the user's own one is really this user's, any other has the sticky bit where everybody may write. With
 * create set, makes a missing one: mode 0700 when it is the user's own, else 3773 (producers of other users may create files in
 * it and reach only their own).
 * A file descriptor (close-on-exec; O_PATH when the directory may not be listed), or TKR_ENODIR, TKR_ETMPFS, TKR_ESYSTEM
 * (no descriptor is left), then with a sentence that names the path, the cause and the variable; ret_why may be NULL.
 */
int tkr_runtime_open(const char *path, bool own, bool create, tkr_message *ret_why);

#endif
