/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/window.h"

#include <ck_pr.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/huge.h"

#define RETRY_NS (100 * TKR_NS_PER_MS)
#define BOARD 0
#define RESERVATIONS 1

/* What was ever seen: a thread may still look by it. */
struct tkr_window_view {
    struct tkr_board board;
    struct tkr_window_view *next_cells;
    void *cells; /* addresses of its reservations, until a later view has them */
    uint64_t cells_bytes;
    void *outgrown; /* addresses of boards that were too few for the next one */
    uint64_t outgrown_bytes;
};

/* Where views lie: pages that are not there in a child, nor is what names them. */
struct tkr_window_page {
    struct tkr_window_page *next;
    uint32_t count;
    struct tkr_window_view view[(4096 - 2 * sizeof(void *)) / sizeof(struct tkr_window_view)];
};
_Static_assert(sizeof(struct tkr_window_page) <= 4096, "it is a page");

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
    int directory = tkr_runtime_open(path, own, false, NULL);
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

/* Thread sanitizer takes a mapping for a write of all its bytes. Here readers may be looking, and find out by turn (P1). */
#if defined(__SANITIZE_THREAD__)
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define UNSEEN_BEGIN() AnnotateIgnoreWritesBegin(__FILE__, __LINE__)
#define UNSEEN_END() AnnotateIgnoreWritesEnd(__FILE__, __LINE__)
#else
#define UNSEEN_BEGIN() ((void)0)
#define UNSEEN_END() ((void)0)
#endif

static void *map(void *at, uint64_t bytes, int protection, int flags, int fd)
{
    void *mapped;

    UNSEEN_BEGIN();
    mapped = mmap(at, bytes, protection, flags | (at != NULL ? MAP_FIXED : 0), fd, 0);
    UNSEEN_END();
    if (mapped == MAP_FAILED)
        return NULL;
    (void)madvise(mapped, bytes, MADV_DONTFORK);
    return mapped;
}

/* Zeros of this process, at these addresses or, NULL, anywhere. */
static void *map_zeros(void *at, uint64_t bytes, int protection)
{
    return map(at, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

/* Zeros at addresses of their own, for a file whose maker may have found huge pages for it. */
static void *map_span(uint64_t bytes, int protection)
{
    void *span = tkr_huge_reserve(bytes, protection);

    if (span != NULL)
        (void)madvise(span, bytes, MADV_DONTFORK);
    return span;
}

static struct tkr_window_view *make_view(struct tkr_window *window)
{
    struct tkr_window_page *page = window->page;

    if (page == NULL || page->count == sizeof(page->view) / sizeof(page->view[0])) {
        page = map_zeros(NULL, sizeof(*page), PROT_READ | PROT_WRITE);
        if (page == NULL)
            return NULL;
        page->next = window->page;
        window->page = page;
    }
    return &page->view[page->count++];
}

/* Puts a file to the first of so many bytes of addresses, and zeros behind it. */
static bool map_file(void *at, uint64_t span_bytes, int fd, uint64_t bytes, int protection)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = (bytes + page - 1) / page * page;

    if (map(at, bytes, protection, MAP_SHARED, fd) == NULL)
        return false;
    return end >= span_bytes || map_zeros((char *)at + end, span_bytes - end, protection) != NULL;
}

/* Addresses for a board of so many bytes: those of before if they suffice. false: none are left. */
static bool make_span(struct tkr_window *window, struct tkr_window_view *view, uint64_t bytes)
{
    void *span;

    if (window->span_bytes >= bytes)
        return true;
    span = map_span(bytes, PROT_READ);
    if (span == NULL)
        return false;
    view->outgrown = window->span;
    view->outgrown_bytes = window->span_bytes;
    window->span = span;
    window->span_bytes = bytes;
    return true;
}

/* Takes the addresses of an older view's reservations that nobody writes to any more (P2). false: there are none so many. */
static bool inherit_cells(struct tkr_window *window, struct tkr_window_view *view, uint64_t bytes, tkr_window_named *named,
                          const void *context)
{
    for (struct tkr_window_view **at = &window->cells; *at != NULL; at = &(*at)->next_cells) {
        struct tkr_window_view *old = *at;
        if (old->cells_bytes < bytes || named(context, old->board.generation))
            continue;
        *at = old->next_cells;
        view->cells = old->cells;
        view->cells_bytes = old->cells_bytes;
        old->cells = NULL;
        return true;
    }
    return false;
}

static bool make_cells(struct tkr_window *window, struct tkr_window_view *view, uint64_t bytes, tkr_window_named *named,
                       const void *context)
{
    if (!inherit_cells(window, view, bytes, named, context)) {
        view->cells = map_span(bytes, PROT_READ | PROT_WRITE);
        view->cells_bytes = bytes;
    }
    if (view->cells == NULL)
        return false;
    view->next_cells = window->cells;
    window->cells = view;
    return true;
}

/* What was held there goes with its board; the file is let go of. */
static void drop_cells(const struct tkr_window_view *last)
{
    if (last != NULL)
        (void)map_zeros(last->cells, last->cells_bytes, PROT_READ | PROT_WRITE);
}

/* Within busy: the board of these files becomes the window's. */
static bool exchange(struct tkr_window *window, const struct files *files, tkr_window_named *named, const void *context)
{
    struct tkr_window_view *last = window->cells;
    struct tkr_window_view *view = make_view(window);
    uint64_t turn;
    bool mapped;

    if (view == NULL)
        return false;
    turn = atomic_fetch_add_explicit(&window->turn, 1, memory_order_seq_cst);
    ck_pr_fence_atomic_load(); /* before the new bytes (P1; mmap is a barrier besides), and before slots are looked at (P2) */
    drop_cells(last);
    mapped =
        make_span(window, view, files->bytes[BOARD]) && make_cells(window, view, files->bytes[RESERVATIONS], named, context) &&
        map_file(window->span, window->span_bytes, files->fd[BOARD], files->bytes[BOARD], PROT_READ) &&
        map_file(view->cells, view->cells_bytes, files->fd[RESERVATIONS], files->bytes[RESERVATIONS], PROT_READ | PROT_WRITE);
    if (mapped) {
        tkr_board_lay(&view->board, window->span, view->cells, &files->header[BOARD]);
        view->board.turn = &window->turn;
        view->board.shown = turn + 2;
    }
    atomic_store_explicit(&window->board, mapped ? &view->board : NULL, memory_order_release);
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
static void find(struct tkr_window *window, const char *path, bool own, tkr_window_named *named, const void *context)
{
    struct files files = {.fd = {-1, -1}};

    if (open_files(path, own, &files))
        (void)exchange(window, &files, named, context);
    close_files(&files);
}

void tkr_window_find(struct tkr_window *window, const char *path, bool own, int64_t now_ns, tkr_window_named *named,
                     const void *context)
{
    if (now_ns < atomic_load_explicit(&window->retry_ns, memory_order_relaxed) || !needs_board(window))
        return;
    if (atomic_flag_test_and_set_explicit(&window->busy, memory_order_acquire))
        return;
    if (needs_board(window)) {
        atomic_store_explicit(&window->retry_ns, now_ns + RETRY_NS, memory_order_relaxed);
        find(window, path, own, named, context);
    }
    atomic_flag_clear_explicit(&window->busy, memory_order_release);
}

static void unmap(void *span, uint64_t bytes)
{
    if (span != NULL)
        (void)munmap(span, bytes);
}

void tkr_window_close(struct tkr_window *window)
{
    struct tkr_window_page *next;

    for (struct tkr_window_page *page = window->page; page != NULL; page = next) {
        next = page->next;
        for (uint32_t i = 0; i < page->count; i++) {
            unmap(page->view[i].cells, page->view[i].cells_bytes);
            unmap(page->view[i].outgrown, page->view[i].outgrown_bytes);
        }
        (void)munmap(page, sizeof(*page));
    }
    unmap(window->span, window->span_bytes);
    memset(window, 0, sizeof(*window));
}
