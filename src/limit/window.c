/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/window.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define RETRY_NS (100 * TKR_NS_PER_MS)
#define BOARD 0
#define RESERVATIONS 1

/* Addresses that were too few for a new board, and geometries: somebody may still look by them. */
struct tkr_window_old {
    struct tkr_window_old *next;
    void *span;
    uint64_t bytes;
    struct tkr_board board;
};

/* The files of a board while they are looked at. */
struct files {
    int fd[2];
    uint64_t bytes[2];
    struct tkr_board_header header[2];
};

/* --- looking at files --- */

/* A board is its collector's, who owns the directory: what somebody else put there is none. */
static bool owner_fits(const struct stat *file, const struct stat *directory)
{
    return file->st_uid == directory->st_uid || file->st_uid == 0;
}

/* Opens one of them and copies its header: read, not mapped, so that a short file is an error and no signal. */
static bool open_file(int directory, const struct stat *of_directory, const char *name, int flags, struct files *files, int which)
{
    struct stat status;
    int fd = openat(directory, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    files->fd[which] = fd;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !owner_fits(&status, of_directory))
        return false;
    files->bytes[which] = (uint64_t)status.st_size;
    return pread(fd, &files->header[which], sizeof(files->header[which]), 0) == (ssize_t)sizeof(files->header[which]) &&
           (uint64_t)status.st_blocks * 512 >= files->bytes[which]; /* with holes it is no file of ours, and may not be backed */
}

static bool open_files(const char *path, bool own, struct files *files)
{
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    struct stat of_directory;
    int directory = tkr_runtime_open(path, own, false);
    bool fit;

    if (directory < 0)
        return false;
    fit = fstat(directory, &of_directory) == 0 && tkr_boot_id(boot_id) &&
          open_file(directory, &of_directory, TKR_BOARD_NAME, O_RDONLY, files, BOARD) &&
          open_file(directory, &of_directory, TKR_RESERVATIONS_NAME, O_RDWR, files, RESERVATIONS) &&
          tkr_board_fits(&files->header[BOARD], files->bytes[BOARD], &files->header[RESERVATIONS], files->bytes[RESERVATIONS],
                         boot_id) &&
          atomic_load_explicit(&files->header[BOARD].retired, memory_order_relaxed) == 0;
    (void)close(directory);
    return fit;
}

static void close_files(const struct files *files)
{
    for (int i = 0; i < 2; i++) {
        if (files->fd[i] >= 0)
            (void)close(files->fd[i]);
    }
}

/* --- addresses --- */

/* In a page of its own, which is not there in a child: nor is what names it. */
static struct tkr_window_old *remember(struct tkr_window *window)
{
    struct tkr_window_old *old = mmap(NULL, sizeof(*old), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (old == MAP_FAILED)
        return NULL;
    (void)madvise(old, sizeof(*old), MADV_DONTFORK);
    old->next = window->old;
    window->old = old;
    return old;
}

/* Zeros that can be read, at these addresses or, NULL, anywhere. */
static void *map_zeros(void *at, uint64_t bytes)
{
    void *zeros = mmap(at, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != NULL ? MAP_FIXED : 0), -1, 0);

    return zeros == MAP_FAILED ? NULL : zeros;
}

/* Addresses for so many bytes: those of before if they suffice. false: none are left. */
static bool make_span(struct tkr_window *window, int which, uint64_t bytes)
{
    struct tkr_window_old *old;
    void *span;

    if (window->span_bytes[which] >= bytes)
        return true;
    old = remember(window);
    span = old != NULL ? map_zeros(NULL, bytes) : NULL;
    if (span == NULL)
        return false;
    old->span = window->span[which];
    old->bytes = window->span_bytes[which];
    window->span[which] = span;
    window->span_bytes[which] = bytes;
    return true;
}

/* Puts a file to the addresses, and zeros behind it. */
static bool map_file(struct tkr_window *window, int which, const struct files *files, int protection)
{
    char *at = window->span[which];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = (files->bytes[which] + page - 1) / page * page;

    if (mmap(at, files->bytes[which], protection, MAP_SHARED | MAP_FIXED, files->fd[which], 0) == MAP_FAILED)
        return false;
    if (end < window->span_bytes[which] && map_zeros(at + end, window->span_bytes[which] - end) == NULL)
        return false;
    return madvise(at, window->span_bytes[which], MADV_DONTFORK) == 0;
}

/* Within busy, with no writer inside: the board of these files becomes the window's. */
static bool exchange(struct tkr_window *window, const struct files *files)
{
    struct tkr_window_old *made = remember(window);
    uint64_t turn = atomic_load_explicit(&window->turn, memory_order_relaxed); /* ours */
    bool mapped;

    if (made == NULL || !make_span(window, BOARD, files->bytes[BOARD]) ||
        !make_span(window, RESERVATIONS, files->bytes[RESERVATIONS]))
        return false;
    atomic_store_explicit(&window->turn, turn + 1,
                          memory_order_seq_cst); /* before the new bytes (P1); mmap is a barrier besides */
    mapped = map_file(window, BOARD, files, PROT_READ) && map_file(window, RESERVATIONS, files, PROT_READ | PROT_WRITE);
    tkr_board_lay(&made->board, window->span[BOARD], window->span[RESERVATIONS], &files->header[BOARD]);
    atomic_store_explicit(&window->board, mapped ? &made->board : NULL, memory_order_release);
    atomic_store_explicit(&window->turn, turn + 2, memory_order_release); /* P1 */
    return mapped;
}

/* --- finding --- */

static bool needs_board(const struct tkr_window *window)
{
    const struct tkr_board *board = atomic_load_explicit(&window->board, memory_order_acquire);

    return board == NULL || atomic_load_explicit(&board->header->retired, memory_order_relaxed) != 0;
}

/* Within busy. */
static void find(struct tkr_window *window, const char *path, bool own)
{
    struct files files = {.fd = {-1, -1}};

    atomic_store_explicit(&window->closing, true, memory_order_seq_cst); /* P2 */
    if (atomic_load_explicit(&window->inside, memory_order_seq_cst) != 0)
        return; /* the next who comes finds them gone: nobody enters any more */
    if (open_files(path, own, &files) && exchange(window, &files))
        atomic_store_explicit(&window->closing, false, memory_order_release);
    close_files(&files);
}

void tkr_window_find(struct tkr_window *window, const char *path, bool own, int64_t now_ns)
{
    if (now_ns < atomic_load_explicit(&window->retry_ns, memory_order_relaxed) || !needs_board(window))
        return;
    if (atomic_flag_test_and_set_explicit(&window->busy, memory_order_acquire))
        return;
    if (needs_board(window)) {
        atomic_store_explicit(&window->retry_ns, now_ns + RETRY_NS, memory_order_relaxed);
        find(window, path, own);
    }
    atomic_flag_clear_explicit(&window->busy, memory_order_release);
}

void tkr_window_close(struct tkr_window *window)
{
    struct tkr_window_old *next;

    for (struct tkr_window_old *old = window->old; old != NULL; old = next) {
        next = old->next;
        if (old->span != NULL)
            (void)munmap(old->span, old->bytes);
        (void)munmap(old, sizeof(*old));
    }
    for (int i = 0; i < 2; i++) {
        if (window->span[i] != NULL)
            (void)munmap(window->span[i], window->span_bytes[i]);
    }
    memset(window, 0, sizeof(*window));
}
