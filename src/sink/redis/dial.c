/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "sink/redis/resolve.h"

#define GLANCE_MS 50 /* between looks whether it is given up */
#define SHOWN_BYTES 80

/* --- one address --- */

/* Waits until the connection stands or has failed. 0 or an error number. */
static int wait_connected(int fd, int64_t until_ns, const struct tkr_give_up *give_up)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int failure = 0;
    socklen_t len = sizeof(failure);
    int n = 0;

    while (n == 0 || (n < 0 && errno == EINTR)) {
        int64_t left_ms = (until_ns - tkr_clock_monotonic_ns() + TKR_NS_PER_MS - 1) / TKR_NS_PER_MS;

        if (left_ms <= 0 || tkr_given_up(give_up))
            return ETIMEDOUT;
        n = poll(&ready, 1, left_ms < GLANCE_MS ? (int)left_ms : GLANCE_MS);
    }
    if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
        return errno;
    return failure;
}

static int set_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 ? 0 : errno;
}

/* 0 with the descriptor, or an error number. */
static int connect_tcp(const struct tkr_address *address, int64_t until_ns, const struct tkr_give_up *give_up, int *ret_fd)
{
    const int on = 1;
    int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failure;

    if (fd < 0)
        return errno;
    failure = connect(fd, (const struct sockaddr *)&address->at, address->len) == 0 ? 0 : errno;
    if (failure == EINPROGRESS || failure == EINTR)
        failure = wait_connected(fd, until_ns, give_up);
    if (failure == 0)
        failure = set_blocking(fd);
    if (failure == 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        failure = errno;
    if (failure == 0)
        *ret_fd = fd;
    else
        (void)close(fd);
    return failure;
}

/* --- all of them --- */

static int64_t share_ns(int64_t until_ns, uint32_t addresses, int max_ms)
{
    int64_t left = until_ns - tkr_clock_monotonic_ns();
    int64_t share = left > 0 ? left / addresses : 0;
    int64_t max = max_ms * TKR_NS_PER_MS;

    return share < max ? share : max;
}

/* Says why: of several addresses, how many there are and what the last one said. */
static int none_connects(const struct tkr_sink_config *config, const struct tkr_addresses *addresses, int failure,
                         tkr_message *ret_message)
{
    const struct tkr_address *last = &addresses->address[addresses->count - 1];
    char host[NI_MAXHOST] = "?";

    if (addresses->count == 1)
        return tkr_message_set(ret_message, "cannot connect to Redis: %s", strerror(failure));
    (void)getnameinfo((const struct sockaddr *)&last->at, last->len, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
    return tkr_message_set(ret_message,
                           "cannot connect to Redis: none of the %u addresses of %.*s can be reached; the last, %s: %s",
                           addresses->count, SHOWN_BYTES, config->host, host, strerror(failure));
}

static int dial_tcp(const struct tkr_sink_config *config, const struct tkr_give_up *give_up, int *ret_fd,
                    tkr_message *ret_message)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    int64_t timeout_ns = config->command_timeout_ms * TKR_NS_PER_MS;
    int64_t until_ns = begun_ns + timeout_ns;
    struct tkr_addresses addresses;
    tkr_message why;
    int failure = 0;

    if (tkr_redis_resolve(config->host, config->port, begun_ns + timeout_ns / 2, give_up, &addresses, &why) != 0)
        return tkr_message_set(ret_message, "cannot connect to Redis: %s", why.text);
    for (uint32_t i = 0; i < addresses.count; i++) {
        int64_t share = share_ns(until_ns, addresses.count - i, config->connect_timeout_ms);

        failure = connect_tcp(&addresses.address[i], tkr_clock_monotonic_ns() + share, give_up, ret_fd);
        if (failure == 0)
            return 0;
    }
    return none_connects(config, &addresses, failure, ret_message);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A Unix socket's connect waits only while the server's backlog is full; the timeout of sending is that of connecting, too. */
static int dial_unix(const struct tkr_sink_config *config, int *ret_fd, tkr_message *ret_message)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int64_t timeout_ms = smaller(config->connect_timeout_ms, config->command_timeout_ms);
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    size_t len = strlen(config->socket);
    int failure = len < sizeof(address.sun_path) ? 0 : ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (failure == 0)
        memcpy(address.sun_path, config->socket, len + 1);
    if (failure == 0 && (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0))
        failure = errno;
    while (failure == 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        if (errno != EINTR)
            failure = errno == EAGAIN ? ETIMEDOUT : errno;
    }
    if (failure == 0) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return tkr_message_set(ret_message, "cannot connect to Redis: %s", strerror(failure));
}

int tkr_redis_dial(const struct tkr_sink_config *config, const struct tkr_give_up *give_up, int *ret_fd, tkr_message *ret_message)
{
    return config->socket[0] != '\0' ? dial_unix(config, ret_fd, ret_message) : dial_tcp(config, give_up, ret_fd, ret_message);
}
