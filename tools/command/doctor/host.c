/* SPDX-License-Identifier: Apache-2.0 */
/* What tokenring needs of kernel and limits. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/host.h"
#include "base/huge.h"
#include "command/doctor/findings.h"
#include "command/number.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define KERNEL_MAJOR_MIN 5
#define KERNEL_MINOR_MIN 4
#define FILES_FEW 1024u
#define REGION_BYTES (UINT64_C(320) << 20) /* of a gateway that sets nothing, rounded up */

static void look_at_version(struct tkr_findings *findings)
{
    struct utsname name;
    unsigned major = 0;
    unsigned minor = 0;

    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2) { /* NOLINT: two small numbers */
        tkr_finding_add(findings, TKR_FINDING_WARNING, "kernel", NULL, "its version cannot be read");
        return;
    }
    if (major < KERNEL_MAJOR_MIN || (major == KERNEL_MAJOR_MIN && minor < KERNEL_MINOR_MIN))
        tkr_finding_add(findings, TKR_FINDING_ERROR, "kernel", "Linux 5.4 or later is needed", "%s %s", name.sysname,
                        name.release);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "kernel", NULL, "%s %s %s", name.sysname, name.release, name.machine);
}

static void look_at_locks(struct tkr_findings *findings)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int fd = memfd_create("tokenring-doctor", MFD_CLOEXEC);
    bool locked = fd >= 0 && fcntl(fd, F_OFD_SETLK, &request) == 0;

    if (locked)
        tkr_finding_add(findings, TKR_FINDING_OK, "file locks", NULL,
                        "the kernel has those of open files (OFD), which tell the living from the dead");
    else
        tkr_finding_add(findings, TKR_FINDING_ERROR, "file locks", "use a kernel, or a sandbox, that has F_OFD_SETLK",
                        "locks of open files (OFD) are refused: %s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

static bool takes(void *page, uint64_t bytes, int advice)
{
    return madvise(page, bytes, advice) == 0 || (errno != EINVAL && errno != ENOSYS);
}

/* What is asked of madvise(2), tried on memory of our own. */
static void look_at_memory(struct tkr_findings *findings)
{
    uint64_t bytes = TKR_HUGE_BYTES;
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        tkr_finding_add(findings, TKR_FINDING_ERROR, "memory", "give the process more address space",
                        "2 MiB cannot be mapped: %s", strerror(errno));
        return;
    }
    if (takes(page, bytes, MADV_WIPEONFORK) && takes(page, bytes, MADV_DONTFORK))
        tkr_finding_add(findings, TKR_FINDING_OK, "forks", NULL, "MADV_WIPEONFORK and MADV_DONTFORK are there");
    else
        tkr_finding_add(findings, TKR_FINDING_ERROR, "forks", "Linux 5.4 or later is needed",
                        "MADV_WIPEONFORK or MADV_DONTFORK is refused");
    if (takes(page, bytes, MADV_POPULATE_WRITE))
        tkr_finding_add(findings, TKR_FINDING_OK, "first touch", NULL,
                        "MADV_POPULATE_WRITE is there: lanes have their pages before they are used");
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "first touch", NULL,
                        "no MADV_POPULATE_WRITE (Linux 5.14): the first call in each page of a lane is a little slower");
    (void)munmap(page, bytes);
}

/* The word in brackets of a file like "always [never] advise". */
static bool read_choice(const char *path, char *ret_choice, size_t room)
{
    char text[128] = "";
    const char *begin;
    size_t len;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0)
        (void)close(fd);
    begin = n > 0 ? strchr(text, '[') : NULL;
    len = begin != NULL ? strcspn(begin + 1, "]") : 0;
    if (len == 0 || len >= room)
        return false;
    memcpy(ret_choice, begin + 1, len);
    ret_choice[len] = '\0';
    return true;
}

/* A hint: without huge pages all works, and checks of accounts in no cache take longer. */
static void look_at_huge_pages(struct tkr_findings *findings)
{
    char *page = tkr_huge_reserve(TKR_HUGE_BYTES, PROT_READ | PROT_WRITE);
    char choice[32] = "unknown";
    bool collapse = false;

    if (page != NULL) {
        *(volatile char *)page = 1; /* of nothing none is made */
        collapse = takes(page, TKR_HUGE_BYTES, MADV_COLLAPSE);
        (void)munmap(page, TKR_HUGE_BYTES);
    }
    (void)read_choice("/sys/kernel/mm/transparent_hugepage/shmem_enabled", choice, sizeof(choice)); /* then it is unknown */
    if (collapse)
        tkr_finding_add(findings, TKR_FINDING_OK, "huge pages", NULL,
                        "MADV_COLLAPSE is there (shmem_enabled: %s): the board of limits gets them where there are some", choice);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "huge pages", "a hint: with them a check of an account in no cache takes less",
                        "no MADV_COLLAPSE (Linux 6.1), shmem_enabled: %s", choice);
}

static const char *limit_text(rlim_t limit, bool bytes, char ret_text[TKR_COMMAND_NUMBER_BYTES])
{
    if (limit == RLIM_INFINITY)
        return "unlimited";
    return bytes ? tkr_command_bytes(limit, ret_text) : tkr_command_unsigned(limit, ret_text);
}

static void look_at_limits(struct tkr_findings *findings)
{
    struct rlimit files = {0};
    struct rlimit lock = {0};
    struct rlimit size = {0};
    struct rlimit space = {0};
    char text[2][TKR_COMMAND_NUMBER_BYTES];

    (void)getrlimit(RLIMIT_NOFILE, &files); /* these exist in every kernel */
    (void)getrlimit(RLIMIT_MEMLOCK, &lock);
    (void)getrlimit(RLIMIT_FSIZE, &size);
    (void)getrlimit(RLIMIT_AS, &space);
    if (files.rlim_max != RLIM_INFINITY && files.rlim_max < FILES_FEW)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "open files", "raise the hard limit (ulimit -Hn, LimitNOFILE=)",
                        "at most %s: the collector holds one for each gateway process",
                        limit_text(files.rlim_max, false, text[0]));
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "open files", NULL, "%s, and up to %s, which the collector asks for",
                        limit_text(files.rlim_cur, false, text[0]), limit_text(files.rlim_max, false, text[1]));
    tkr_finding_add(findings, TKR_FINDING_OK, "locked memory", NULL, "%s: nothing is locked, so any is enough",
                    limit_text(lock.rlim_cur, true, text[0]));
    if (size.rlim_cur != RLIM_INFINITY && size.rlim_cur < REGION_BYTES)
        tkr_finding_add(findings, TKR_FINDING_ERROR, "file size", "raise it (ulimit -f, LimitFSIZE=)",
                        "at most %s, less than a gateway's region has by default", limit_text(size.rlim_cur, true, text[0]));
    if (space.rlim_cur != RLIM_INFINITY && space.rlim_cur < 4 * REGION_BYTES)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "address space", "raise it (ulimit -v, LimitAS=)",
                        "at most %s; regions, shards and boards are mapped whole", limit_text(space.rlim_cur, true, text[0]));
}

void tkr_doctor_host(struct tkr_findings *findings)
{
    uint8_t boot_id[TKR_BOOT_ID_BYTES];

    look_at_version(findings);
    if (!tkr_boot_id(boot_id))
        tkr_finding_add(findings, TKR_FINDING_ERROR, "boot id", "mount /proc", "/proc/sys/kernel/random/boot_id cannot be read");
    look_at_locks(findings);
    look_at_memory(findings);
    look_at_huge_pages(findings);
    look_at_limits(findings);
}
