/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/huge.h"
#include "base/log.h"
#include "region/guard.h"

#define NAME_NEW "." /* before the name */
#define TMPFS_PART 8 /* of a tmpfs, that a board may take */
#define BOARD_MODE 0644
#define RESERVATIONS_MODE 0666 /* gateways of other users hold, too: limit/layout.h says what that trusts them with */

/* A file while it is made. */
struct part {
    const char *name;
    const char *name_new;
    mode_t mode;
    uint64_t bytes;
    void *base;
};

static int allocate(int fd, uint64_t bytes)
{
    int failure;

    do {
        failure = posix_fallocate(fd, 0, (off_t)bytes);
    } while (failure == EINTR);
    return failure;
}

/* Its readers look at it anywhere, so it is worth huge pages. */
static int map_part(int fd, struct part *part)
{
    void *span = tkr_huge_reserve(part->bytes, PROT_NONE);

    if (span == NULL)
        return ENOMEM;
    part->base = mmap(span, part->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (part->base == MAP_FAILED) {
        (void)munmap(span, part->bytes);
        return ENOMEM;
    }
    tkr_huge_gather(part->base, part->bytes);
    return 0;
}

/* Makes it under its temporary name and maps it. 0, or an error number. */
static int make_part(int directory, struct part *part)
{
    int failure = 0;
    int fd;

    (void)unlinkat(directory, part->name_new, 0); /* left by a death in here */
    fd = openat(directory, part->name_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, part->mode);
    if (fd < 0)
        return errno;
    if (fchmod(fd, part->mode) != 0)
        failure = errno;
    if (failure == 0)
        failure = allocate(fd, part->bytes);
    if (failure == 0)
        failure = map_part(fd, part);
    (void)close(fd);
    return failure;
}

/*
 * The board that is there is replaced: its readers look for the next one. Somebody else's file there is none, and harms nobody.
 * false: there was none.
 */
static bool retire_last(int directory)
{
    struct stat status;
    int fd = openat(directory, TKR_BOARD_NAME, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct tkr_board_header *header = MAP_FAILED;

    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
        status.st_size >= (off_t)TKR_BOARD_HEADER_BYTES)
        header = mmap(NULL, TKR_BOARD_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (header == MAP_FAILED)
        return false;
    (void)tkr_guarded_store(&header->retired, 1);
    atomic_thread_fence(memory_order_seq_cst); /* P7 */
    (void)munmap(header, TKR_BOARD_HEADER_BYTES);
    return true;
}

static int place(int directory, const struct part *part)
{
    return renameat(directory, part->name_new, directory, part->name) == 0 ? 0 : errno;
}

static int make_files(int directory, struct part part[2])
{
    int failure = make_part(directory, &part[0]);

    return failure != 0 ? failure : make_part(directory, &part[1]);
}

static int format(const struct part part[2], uint32_t accounts_max)
{
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    uint64_t random[2]; /* generation, seed */

    if (!tkr_boot_id(boot_id) || !tkr_random(random, sizeof(random)))
        return EIO;
    tkr_board_format(part[0].base, part[1].base, accounts_max, random[0], random[1], boot_id);
    TKR_CRASH(BOARD_WRITTEN);
    return 0;
}

static void drop_files(int directory, const struct part part[2])
{
    for (int i = 0; i < 2; i++) {
        if (part[i].base != MAP_FAILED)
            (void)munmap(part[i].base, part[i].bytes);
        (void)unlinkat(directory, part[i].name_new, 0);
    }
}

static uint64_t bytes_of(uint32_t accounts)
{
    uint32_t places = tkr_board_places(accounts);

    return tkr_board_bytes(places) + tkr_reservations_bytes(places);
}

/* As many accounts as fit so many bytes. */
static uint32_t fit(uint32_t accounts, uint64_t bytes)
{
    while (accounts > TKR_BOARD_ACCOUNTS_MIN && bytes_of(accounts) > bytes)
        accounts /= 2;
    return accounts < TKR_BOARD_ACCOUNTS_MIN ? TKR_BOARD_ACCOUNTS_MIN : accounts;
}

/* Of the board that is there; 0: there is none. */
static uint64_t bytes_there(int runtime)
{
    struct stat status;

    return fstatat(runtime, TKR_BOARD_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode)
               ? (uint64_t)status.st_size
               : 0;
}

uint32_t tkr_board_accounts_fit(int runtime, const struct tkr_tmpfs *tmpfs, uint32_t wanted)
{
    uint32_t most = fit(wanted, tmpfs->bytes == 0 ? UINT64_MAX : tmpfs->bytes / TMPFS_PART);
    uint32_t made = fit(most, tmpfs->available / 2);
    uint64_t bytes = bytes_there(runtime);

    for (uint32_t there = most; there > made; there /= 2) {
        if (bytes == tkr_board_bytes(tkr_board_places(there)))
            return there;
    }
    return made;
}

static void describe(uint32_t accounts_max, struct part ret_part[2])
{
    uint32_t places = tkr_board_places(accounts_max);

    ret_part[0] = (struct part){TKR_BOARD_NAME, NAME_NEW TKR_BOARD_NAME, BOARD_MODE, tkr_board_bytes(places), MAP_FAILED};
    ret_part[1] = (struct part){TKR_RESERVATIONS_NAME, NAME_NEW TKR_RESERVATIONS_NAME, RESERVATIONS_MODE,
                                tkr_reservations_bytes(places), MAP_FAILED};
}

int tkr_board_make(int runtime, uint32_t accounts_max, struct tkr_board *ret_board, tkr_message *ret_message)
{
    struct part part[2];
    bool replaced;
    int failure;

    describe(accounts_max, part);
    failure = make_files(runtime, part);
    if (failure == 0)
        failure = format(part, accounts_max);
    replaced = retire_last(runtime); /* also when there is no new one: nobody goes on with what is kept no more */
    TKR_CRASH(BOARD_RETIRED);
    if (failure == 0)
        atomic_store_explicit(&((struct tkr_board_header *)part[0].base)->waits, replaced,
                              memory_order_relaxed); /* no name yet */
    if (failure == 0)
        failure = place(runtime, &part[1]);
    if (failure == 0)
        failure = place(runtime, &part[0]);
    if (failure != 0) {
        drop_files(runtime, part);
        return tkr_message_set(ret_message, "the board of limits cannot be made: %s", strerror(failure));
    }
    TKR_CRASH(BOARD_NAMED);
    tkr_board_lay(ret_board, part[0].base, part[1].base, part[0].base);
    return 0;
}

/* --- taking over --- */

/* Opens one of them that is ours and whole, and copies its header. false: it is not. */
static bool open_ours(int directory, struct part *part, int *ret_fd, struct tkr_board_header *ret_header)
{
    struct stat status;
    int fd = openat(directory, part->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    *ret_fd = fd;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 07777) != part->mode || (uint64_t)status.st_size != part->bytes ||
        (uint64_t)status.st_blocks * 512 < part->bytes)
        return false;
    return pread(fd, ret_header, sizeof(*ret_header), 0) == (ssize_t)sizeof(*ret_header);
}

static bool both_fit(const struct part part[2], const struct tkr_board_header header[2], uint32_t accounts_max)
{
    uint8_t boot_id[TKR_BOOT_ID_BYTES];

    return tkr_boot_id(boot_id) && tkr_board_fits(&header[0], part[0].bytes, &header[1], part[1].bytes, boot_id) &&
           header[0].accounts_max == accounts_max && atomic_load_explicit(&header[0].retired, memory_order_relaxed) == 0;
}

int tkr_board_take_over(int runtime, uint32_t accounts_max, struct tkr_board *ret_board, tkr_message *ret_message)
{
    struct part part[2];
    struct tkr_board_header header[2];
    int fd[2] = {-1, -1};
    int result = 0;

    describe(accounts_max, part);
    if (open_ours(runtime, &part[0], &fd[0], &header[0]) && open_ours(runtime, &part[1], &fd[1], &header[1]) &&
        both_fit(part, header, accounts_max))
        result = map_part(fd[0], &part[0]) == 0 && map_part(fd[1], &part[1]) == 0 ? 1 : -1;
    for (int i = 0; i < 2; i++) {
        if (fd[i] >= 0)
            (void)close(fd[i]);
        if (result != 1 && part[i].base != MAP_FAILED)
            (void)munmap(part[i].base, part[i].bytes);
    }
    if (result == -1)
        return tkr_message_set(ret_message, "no memory to map the board of limits");
    if (result == 1) {
        tkr_board_lay(ret_board, part[0].base, part[1].base, &header[0]);
        tkr_board_resume(ret_board);
        TKR_CRASH(BOARD_TAKEN);
    }
    return result;
}

void tkr_board_unmap(struct tkr_board *board)
{
    if (board->header == NULL)
        return;
    (void)munmap((char *)board->cells - TKR_BOARD_HEADER_BYTES, tkr_reservations_bytes(board->places));
    (void)munmap(board->header, tkr_board_bytes(board->places));
    board->header = NULL;
}

/* --- as its collector's threads touch it --- */

static bool given_up(const struct tkr_guarded_board *guarded)
{
    return atomic_load_explicit(&guarded->given_up, memory_order_relaxed);
}

/* Who finds it cut at the same time says nothing: it is said once. */
static void give_up(struct tkr_guarded_board *guarded)
{
    if (!atomic_exchange_explicit(&guarded->given_up, true, memory_order_relaxed))
        tkr_log(TKR_LOG_ERROR, "somebody cut the file of reservations: limits are not known to gateways until the next start");
    atomic_store_explicit(&guarded->board.header->retired, 1, memory_order_relaxed);
}

bool tkr_guarded_board_call(struct tkr_guarded_board *guarded, void (*call)(void *argument), void *argument)
{
    if (given_up(guarded))
        return false;
    if (tkr_guarded_call(call, argument))
        return true;
    give_up(guarded);
    return false;
}

bool tkr_guarded_board_asked(struct tkr_guarded_board *guarded, uint32_t number, uint64_t *ret_asked_s)
{
    if (given_up(guarded))
        return false;
    if (tkr_guarded_load(&guarded->board.cells[number].asked_s, ret_asked_s))
        return true;
    give_up(guarded);
    return false;
}

/* --- as others read it --- */

/* Opens one of them for reading and copies its header. 1; 0: it is not there or too short. */
static int open_part(int runtime, const char *name, uint64_t *ret_bytes, struct tkr_board_header *ret_header)
{
    struct stat status;
    int fd = openat(runtime, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        pread(fd, ret_header, sizeof(*ret_header), 0) != (ssize_t)sizeof(*ret_header)) {
        (void)close(fd);
        errno = ENOENT;
        return -1;
    }
    *ret_bytes = (uint64_t)status.st_size;
    return fd;
}

/* What a process may cut that writes the reservations is copied: a reader's cells are its own. */
static void *copy_cells(int fd, uint64_t bytes)
{
    char *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t done = 0;
    ssize_t n = 1;

    while (copy != MAP_FAILED && done < bytes && n > 0) {
        n = pread(fd, copy + done, bytes - done, (off_t)done);
        done += n > 0 ? (uint64_t)n : 0;
    }
    return copy; /* what is not there any more is 0 */
}

int tkr_board_open(int runtime, struct tkr_board *ret_board, tkr_message *ret_message)
{
    struct tkr_board_header header[2];
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    uint64_t bytes[2] = {0, 0};
    void *base[2] = {MAP_FAILED, MAP_FAILED};
    int fd[2] = {-1, -1};
    int result = 0;

    fd[0] = open_part(runtime, TKR_BOARD_NAME, &bytes[0], &header[0]);
    fd[1] = fd[0] >= 0 ? open_part(runtime, TKR_RESERVATIONS_NAME, &bytes[1], &header[1]) : -1;
    if (fd[1] < 0)
        result = errno == ENOENT ? 0 : tkr_message_set(ret_message, "the board of limits cannot be read: %s", strerror(errno));
    else if (tkr_boot_id(boot_id) && tkr_board_fits(&header[0], bytes[0], &header[1], bytes[1], boot_id)) {
        base[0] = mmap(NULL, bytes[0], PROT_READ, MAP_SHARED, fd[0], 0);
        base[1] = base[0] != MAP_FAILED ? copy_cells(fd[1], bytes[1]) : MAP_FAILED;
        result = base[1] != MAP_FAILED ? 1 : tkr_message_set(ret_message, "no memory for the board of limits");
    }
    for (int i = 0; i < 2; i++) {
        if (fd[i] >= 0)
            (void)close(fd[i]);
        if (result != 1 && base[i] != MAP_FAILED)
            (void)munmap(base[i], bytes[i]);
    }
    if (result == 1)
        tkr_board_lay(ret_board, base[0], base[1], &header[0]);
    return result;
}
