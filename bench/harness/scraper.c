/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/scraper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"

#define PAGE_BYTES (4u << 20)

static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

/* Bytes of the answer, as its head tells; 0: the head is not whole yet. */
static size_t answer_bytes(const char *page)
{
    const char *body = strstr(page, "\r\n\r\n");
    const char *length = strstr(page, "Content-Length: ");

    if (body == NULL || length == NULL || length > body)
        return 0;
    return (size_t)(body + 4 - page) + strtoul(length + strlen("Content-Length: "), NULL, 10);
}

/* Asks once. Returns the bytes of the page, or 0. */
static size_t ask(int fd, char *page)
{
    size_t got = 0;
    size_t whole = 0;

    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        return 0;
    while (whole == 0 || got < whole) {
        ssize_t n = recv(fd, page + got, PAGE_BYTES - got, 0);
        if (n <= 0)
            return 0;
        got += (size_t)n;
        page[got] = '\0';
        whole = answer_bytes(page);
    }
    return strncmp(page, "HTTP/1.1 200", 12) == 0 && strstr(page, "tokenring_law_holds") != NULL ? got : 0;
}

static int ask_on(struct bench_scraper_told *told, const char *path, unsigned per_second)
{
    int64_t turn_ns = tkr_clock_monotonic_ns();
    char *page = malloc(PAGE_BYTES + 1);
    int fd = connect_to(path);

    while (page != NULL && fd >= 0 && !atomic_load(&told->stop)) {
        size_t bytes = ask(fd, page);
        int64_t now_ns = tkr_clock_monotonic_ns();
        if (bytes == 0)
            return 1;
        (void)atomic_fetch_add(&told->pages, 1);
        (void)atomic_fetch_add(&told->bytes, bytes);
        turn_ns += TKR_NS_PER_S / per_second;
        if (turn_ns > now_ns)
            tkr_clock_sleep_ns(turn_ns - now_ns);
    }
    return page != NULL && fd >= 0 ? 0 : 1;
}

int bench_scraper_start(struct bench_scraper *scraper, const char *socket, unsigned per_second)
{
    scraper->told = mmap(NULL, sizeof(*scraper->told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (scraper->told == MAP_FAILED)
        return bench_wrong("no memory");
    scraper->pid = fork();
    if (scraper->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(ask_on(scraper->told, socket, per_second));
    }
    return scraper->pid > 0 ? 0 : bench_wrong("no process");
}

uint64_t bench_scraper_end(struct bench_scraper *scraper)
{
    uint64_t pages;
    int status = 1;

    atomic_store(&scraper->told->stop, true);
    if (waitpid(scraper->pid, &status, 0) != scraper->pid || status != 0)
        (void)bench_wrong("a page of metrics was not as expected");
    pages = status == 0 ? atomic_load(&scraper->told->pages) : 0;
    (void)munmap(scraper->told, sizeof(*scraper->told));
    return pages;
}
