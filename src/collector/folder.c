/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/host.h"
#include "collector/home.h"
#include "tokenring/tokenring.h"

int tkr_folder_open(const char *runtime_dir, struct tkr_folder *ret_folder, tkr_message *ret_message)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    bool own;

    *ret_folder = (struct tkr_folder)TKR_FOLDER_NONE;
    if (tkr_runtime_path(runtime_dir, path, &own) != TKR_OK)
        return tkr_message_set(ret_message, "the path of the runtime directory (TOKENRING_RUNTIME_DIR) is too long");
    ret_folder->runtime = tkr_runtime_open(path, own, false, ret_message);
    if (ret_folder->runtime < 0) {
        ret_folder->runtime = -1;
        return access(path, F_OK) != 0 && errno == ENOENT ? 0 : -1;
    }
    ret_folder->folder = openat(ret_folder->runtime, TKR_COLLECTOR_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ret_folder->folder >= 0)
        return 1;
    if (errno != ENOENT)
        return tkr_message_set(ret_message, "%.200s/" TKR_COLLECTOR_FOLDER " cannot be entered: %s", path, strerror(errno));
    (void)tkr_message_set(ret_message,
                          "no collector has ever worked in %.110s; start tokenringd, or set "
                          "TOKENRING_RUNTIME_DIR to where it works",
                          path);
    return 0;
}

void tkr_folder_close(struct tkr_folder *folder)
{
    if (folder->folder >= 0)
        (void)close(folder->folder); /* nothing was written */
    if (folder->runtime >= 0)
        (void)close(folder->runtime);
    *folder = (struct tkr_folder)TKR_FOLDER_NONE;
}
