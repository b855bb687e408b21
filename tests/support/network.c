/* SPDX-License-Identifier: Apache-2.0 */
#include "support/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/process.h"
#include "support/tempdir.h"
#include "support/test.h"

#define DNS_PORT 53
#define DNS_HEAD_BYTES 12
#define DNS_BYTES 512
#define WAITING_MAX 64

/* --- the namespace --- */

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t len = strlen(text);
    int rc = fd >= 0 && write(fd, text, len) == (ssize_t)len ? 0 : -1;

    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* Users without rights get them in a user namespace, where the system lets them. */
static bool enter(void)
{
    char map[64];

    if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
        return true;
    (void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0 && write_file("/proc/self/uid_map", map) == 0;
}

static bool raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;

    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    up = up && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        (void)close(fd);
    return up;
}

/* Puts a file with this text in the place of one that is there. */
static bool replace(const char *directory, const char *path, const char *text)
{
    char own[TEMPDIR_BYTES + 32];

    if (access(path, F_OK) != 0)
        return true;
    (void)snprintf(own, sizeof(own), "%s%s", directory, strrchr(path, '/'));
    return write_file(own, text) == 0 && mount(own, path, NULL, MS_BIND, NULL) == 0;
}

static bool own_names(void)
{
    char directory[TEMPDIR_BYTES] = "";
    bool own = mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && tempdir_make(directory) == 0 &&
               replace(directory, "/etc/hosts", "") && replace(directory, "/etc/resolv.conf", "") &&
               replace(directory, "/etc/nsswitch.conf", "hosts: files dns\n");
    int failure = errno;

    if (access("/var/run/nscd", F_OK) == 0) /* it would resolve names outside */
        own = own && mount("tmpfs", "/var/run/nscd", "tmpfs", 0, "size=4k") == 0;
    tempdir_remove(directory); /* what is mounted stays */
    errno = failure;
    return own;
}

bool network_enter(void)
{
    return enter() && raise_loopback() && own_names();
}

void network_require(void)
{
    if (network_enter())
        return;
    (void)printf("skipped: no network and files of one's own are allowed here: %s\n", strerror(errno));
    exit(TEST_SKIPPED);
}

int network_set_hosts(const char *text)
{
    return write_file("/etc/hosts", text);
}

int network_use_name_server(int timeout_s)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "nameserver " NETWORK_NAME_SERVER "\noptions timeout:%d attempts:2\n", timeout_s);
    return write_file("/etc/resolv.conf", text);
}

/* --- a name server (RFC 1035) --- */

struct question {
    unsigned char bytes[DNS_BYTES];
    size_t len;
    struct sockaddr_in from;
    long due_ms;
};

/* In memory that the test and the server, a process of its own, share: only the test's thread is in the test's process. */
struct network_name_server {
    int fd;
    _Atomic int delay_ms;
    pid_t pid;
    _Atomic uint64_t questions;
    size_t waiting;
    struct question question[WAITING_MAX];
};

static uint16_t number_at(const unsigned char *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* Where the first question's type lies; 0: the packet is not understood. */
static size_t type_at(const struct question *question)
{
    size_t at = DNS_HEAD_BYTES;

    while (at < question->len && question->bytes[at] != 0)
        at += 1u + question->bytes[at];
    return at + 5 <= question->len ? at + 1 : 0;
}

/* The question is sent back as an answer, with one record where an IPv4 address was asked for. */
static void answer(const struct network_name_server *server, struct question *question)
{
    static const unsigned char record[] = {0xc0, DNS_HEAD_BYTES, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
    size_t at = type_at(question);
    bool v4 = at != 0 && number_at(question->bytes + at) == 1;

    if (at == 0 || at + 4 + sizeof(record) > DNS_BYTES)
        return;
    question->bytes[2] |= 0x80; /* an answer */
    question->bytes[3] = 0x80;  /* recursion is available; no error */
    question->bytes[7] = v4 ? 1 : 0;
    memset(question->bytes + 8, 0, 4); /* no other sections */
    question->len = at + 4;
    if (v4) {
        memcpy(question->bytes + question->len, record, sizeof(record));
        question->len += sizeof(record);
    }
    (void)sendto(server->fd, question->bytes, question->len, MSG_NOSIGNAL, (const struct sockaddr *)&question->from,
                 sizeof(question->from));
}

static void take_question(struct network_name_server *server)
{
    struct question *question = &server->question[server->waiting];
    socklen_t len = sizeof(question->from);
    int delay_ms;
    ssize_t n =
        recvfrom(server->fd, question->bytes, sizeof(question->bytes), MSG_DONTWAIT, (struct sockaddr *)&question->from, &len);

    if (n < DNS_HEAD_BYTES)
        return;
    question->len = (size_t)n;
    delay_ms = atomic_load(&server->delay_ms);
    question->due_ms = process_now_ms() + delay_ms;
    if (type_at(question) != 0 && number_at(question->bytes + type_at(question)) == 1)
        atomic_fetch_add(&server->questions, 1);
    if (delay_ms >= 0 && server->waiting + 1 < WAITING_MAX)
        server->waiting++;
}

static void answer_due(struct network_name_server *server)
{
    for (size_t i = 0; i < server->waiting;) {
        if (server->question[i].due_ms > process_now_ms()) {
            i++;
            continue;
        }
        answer(server, &server->question[i]);
        server->question[i] = server->question[--server->waiting];
    }
}

static void serve(struct network_name_server *server)
{
    struct pollfd ready = {.fd = server->fd, .events = POLLIN};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        if (poll(&ready, 1, 5) > 0)
            take_question(server);
        answer_due(server);
    }
}

/* false: with errno. */
static bool start_serving(struct network_name_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    pid_t child;

    (void)inet_pton(AF_INET, NETWORK_NAME_SERVER, &address.sin_addr);
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (server->fd < 0 || bind(server->fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return false;
    child = fork();
    if (child == 0)
        serve(server);
    server->pid = child; /* the child sees this, too: it writes nothing there */
    return child > 0;
}

struct network_name_server *network_name_server_start(int delay_ms)
{
    struct network_name_server *server = mmap(NULL, sizeof(*server), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (server == MAP_FAILED)
        return NULL;
    atomic_store(&server->delay_ms, delay_ms);
    if (start_serving(server))
        return server;
    network_name_server_stop(server);
    return NULL;
}

void network_name_server_delay(struct network_name_server *server, int delay_ms)
{
    atomic_store(&server->delay_ms, delay_ms);
}

uint64_t network_name_server_questions(const struct network_name_server *server)
{
    return atomic_load(&server->questions);
}

void network_name_server_stop(struct network_name_server *server)
{
    if (server == NULL)
        return;
    if (server->pid > 0) {
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, NULL, 0);
    }
    if (server->fd >= 0)
        (void)close(server->fd);
    (void)munmap(server, sizeof(*server));
}

/* --- a host that does not answer --- */

/* A listener whose queue is full, and who accepts nobody: whoever else comes is ignored. */
int network_dead_start(struct network_dead *ret_dead, const struct sockaddr *address, socklen_t len)
{
    const int on = 1;
    struct network_dead dead = {.fd = {-1, -1, -1, -1}};
    bool made;

    for (size_t i = 0; i < sizeof(dead.fd) / sizeof(dead.fd[0]); i++)
        dead.fd[i] = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | (i == 0 ? 0 : SOCK_NONBLOCK), 0);
    made = dead.fd[0] >= 0 && setsockopt(dead.fd[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           bind(dead.fd[0], address, len) == 0 && listen(dead.fd[0], 0) == 0;
    for (size_t i = 1; made && i < sizeof(dead.fd) / sizeof(dead.fd[0]); i++)
        made = connect(dead.fd[i], address, len) == 0 || errno == EINPROGRESS;
    *ret_dead = dead;
    if (!made)
        network_dead_stop(ret_dead);
    return made ? 0 : -1;
}

void network_dead_stop(struct network_dead *dead)
{
    for (size_t i = 0; i < sizeof(dead->fd) / sizeof(dead->fd[0]); i++) {
        if (dead->fd[i] >= 0)
            (void)close(dead->fd[i]);
        dead->fd[i] = -1;
    }
}
