/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/host.h"
#include "collector/home.h"
#include "tokenring/tokenring.h"

static int open_runtime(const char *path, bool own, tkr_message *ret_message)
{
    int runtime = tkr_runtime_open(path, own, false);

    if (runtime == TKR_ETMPFS)
        (void)tkr_message_set(ret_message, "%.200s is not on a tmpfs, so no collector works there", path);
    else if (runtime < 0)
        (void)tkr_message_set(ret_message, "there is no runtime directory %.150s, or it may not be entered", path);
    return runtime < 0 ? -1 : runtime;
}

int tkr_folder_open(const char *runtime_dir, struct tkr_folder *ret_folder, tkr_message *ret_message)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    bool own;

    *ret_folder = (struct tkr_folder)TKR_FOLDER_NONE;
    if (tkr_runtime_path(runtime_dir, path, &own) != TKR_OK)
        return tkr_message_set(ret_message, "the path of the runtime directory is too long");
    ret_folder->runtime = open_runtime(path, own, ret_message);
    if (ret_folder->runtime < 0)
        return access(path, F_OK) != 0 && errno == ENOENT ? 0 : -1;
    ret_folder->folder = openat(ret_folder->runtime, TKR_COLLECTOR_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ret_folder->folder >= 0)
        return 1;
    if (errno != ENOENT)
        return tkr_message_set(ret_message, "%.200s/" TKR_COLLECTOR_FOLDER " cannot be entered: %s", path, strerror(errno));
    (void)tkr_message_set(ret_message, "no collector has ever worked in %.200s", path);
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
