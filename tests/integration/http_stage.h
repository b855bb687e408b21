/* SPDX-License-Identifier: Apache-2.0 */
/* A collector's port, and a real Prometheus that scrapes it, for tests of what is served and of who looks at it. */
#ifndef TESTS_INTEGRATION_HTTP_STAGE_H
#define TESTS_INTEGRATION_HTTP_STAGE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "integration/collector_stage.h"

#define SERVED "metrics and health are served on "
#define WAIT_MS PROCESS_PATIENCE_MS
#define WHERE_BYTES 64

/* Does the program run, and end well, with such arguments? */
static inline bool runs(const char *program, const char *argument, const char *more)
{
    const char *argv[] = {program, argument, more, NULL};
    struct process process;
    bool fine = process_run(&process, argv, NULL, WAIT_MS) == 0 && process_exit_code(&process) == 0;

    process_end(&process);
    return fine;
}

/* --- the collector's port --- */

/* Starts one that serves as TOKENRING_HTTP says, and tells where, as far as there is room. */
static inline void start_collector_at(struct stage *stage, const char *setting, char ret_where[WHERE_BYTES])
{
    const char *at;

    stage_env(stage, "TOKENRING_HTTP", setting);
    stage_collector_start(stage, "1");
    at = strstr(process_text(&stage->collector, PROCESS_STDERR), SERVED);
    assert_non_null(at);
    at += strlen(SERVED);
    (void)snprintf(ret_where, WHERE_BYTES, "%.*s", (int)strcspn(at, "\n"), at);
}

/* On a free port. */
static inline void start_collector(struct stage *stage, char ret_where[WHERE_BYTES])
{
    start_collector_at(stage, "127.0.0.1:0", ret_where);
}

static inline int connect_to(const char *where)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *colon = strrchr(where, ':');
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

/* Sends bytes and reads until the other side closes, or has nothing more to say; freed by the caller. */
static inline char *talk(int fd, const char *request, size_t len)
{
    size_t room = 1 << 20;
    char *answer = calloc(1, room + 1);
    size_t got = 0;
    ssize_t n = 1;

    assert_non_null(answer);
    (void)send(fd, request, len, MSG_NOSIGNAL); /* it may have hung up: the answer says so */
    while (n > 0 && got < room) {
        n = recv(fd, answer + got, room - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    return answer;
}

/* The answer to GET, head and all; freed by the caller. */
static inline char *get(const char *where, const char *path)
{
    char request[256];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);

    return talk(connect_to(where), request, (size_t)len);
}

/* Value of a series, written out; -1: it is not there. */
static inline double value_of(const char *where, const char *series)
{
    char *page = get(where, "/metrics");
    size_t len = strlen(series);
    double value = -1;

    for (const char *line = page; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, series, len) == 0 && line[len] == ' ')
            value = strtod(line + len, NULL);
        if (*line == '\0')
            break;
    }
    free(page);
    return value;
}

static inline void wait_value(const char *where, const char *series, double value)
{
    long end = process_now_ms() + WAIT_MS;

    while (value_of(where, series) != value) {
        if (process_now_ms() > end)
            fail_msg("%s is %f, not %f", series, value_of(where, series), value);
        process_sleep_ms(20);
    }
}

/* --- Prometheus --- */

static inline uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* rules is a file of them, or NULL. */
static inline void write_config(const struct stage *stage, const char *where, const char *rules, char path[STAGE_PATH_BYTES])
{
    FILE *file;

    (void)snprintf(path, STAGE_PATH_BYTES, "%s/prometheus.yml", stage->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file,
                  "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nscrape_configs:\n  - job_name: tokenring\n"
                  "    static_configs:\n      - targets: ['%s']\n",
                  where);
    if (rules != NULL)
        (void)fprintf(file, "rule_files: ['%s']\n", rules);
    assert_int_equal(fclose(file), 0);
}

/* Starts one that scrapes the collector each second. */
static inline void start_prometheus(const struct stage *stage, const char *where, const char *rules, struct process *ret_process,
                                    char ret_where[WHERE_BYTES])
{
    char config[STAGE_PATH_BYTES];
    char config_option[STAGE_PATH_BYTES + 32];
    char data_option[STAGE_PATH_BYTES + 32];
    char web_option[WHERE_BYTES + 32];
    const char *argv[] = {"prometheus", config_option, data_option, web_option, NULL};

    write_config(stage, where, rules, config);
    (void)snprintf(ret_where, WHERE_BYTES, "127.0.0.1:%u", free_port());
    (void)snprintf(config_option, sizeof(config_option), "--config.file=%s", config);
    (void)snprintf(data_option, sizeof(data_option), "--storage.tsdb.path=%s/prometheus", stage->dir);
    (void)snprintf(web_option, sizeof(web_option), "--web.listen-address=%s", ret_where);
    assert_int_equal(process_start(ret_process, argv, NULL), 0);
    if (process_wait_text(ret_process, PROCESS_STDERR, "Server is ready", WAIT_MS) != 0)
        fail_msg("%s", process_text(ret_process, PROCESS_STDERR));
}

#endif
