/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traffic/csv.h"

#define NO_USER UINT32_MAX
#define CALLS_FIRST 4096
#define BYTES_FIRST 65536

struct buffer {
    char *bytes;
    size_t len;
    size_t room;
};

static int grow_buffer(struct buffer *buffer)
{
    size_t room = buffer->room == 0 ? BYTES_FIRST : buffer->room * 2;
    char *bytes = realloc(buffer->bytes, room);

    if (bytes == NULL)
        return -1;
    buffer->bytes = bytes;
    buffer->room = room;
    return 0;
}

/* All that can be read, so that pipes are files too. 0, or -1 with errno. */
static int read_all(int fd, struct buffer *buffer)
{
    for (;;) {
        ssize_t n;

        if (buffer->len == buffer->room && grow_buffer(buffer) != 0)
            return -1;
        n = read(fd, buffer->bytes + buffer->len, buffer->room - buffer->len);
        if (n == 0)
            return 0;
        if (n > 0)
            buffer->len += (size_t)n;
        else if (errno != EINTR)
            return -1;
    }
}

static int read_file(const char *path, struct buffer *buffer, tkr_message *ret_message)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int result;
    int error;

    if (fd < 0)
        return tkr_message_set(ret_message, "%s: %s", path, strerror(errno));
    result = read_all(fd, buffer);
    error = errno;
    if (!standard)
        (void)close(fd); /* only read from */
    return result == 0 ? 0 : tkr_message_set(ret_message, "%s: %s", path, strerror(error));
}

static struct tkr_traffic_call *append_call(struct tkr_traffic_trace *trace)
{
    if (trace->count == trace->room) {
        size_t room = trace->room == 0 ? CALLS_FIRST : trace->room * 2;
        struct tkr_traffic_call *call = reallocarray(trace->call, room, sizeof(*call));

        if (call == NULL)
            return NULL;
        trace->call = call;
        trace->room = room;
    }
    return &trace->call[trace->count++];
}

static int add_row(struct tkr_traffic_trace *trace, const struct tkr_traffic_row *row)
{
    struct tkr_traffic_call *call = append_call(trace);

    if (call == NULL)
        return -1;
    *call = (struct tkr_traffic_call){.start_ns = row->start_ns,
                                      .prompt_tokens = row->prompt_tokens,
                                      .completion_tokens = row->completion_tokens,
                                      .user = NO_USER};
    if (row->user_len > 0 && tkr_traffic_names_add(&trace->users, row->user, row->user_len, &call->user) != 0)
        return -1;
    if (row->model_len == 0)
        return 0;
    if (tkr_traffic_names_add(&trace->models, row->model, row->model_len, &call->model) != 0)
        return -1;
    call->model++;
    return 0;
}

static int read_rows(struct tkr_traffic_trace *trace, const struct buffer *buffer, tkr_message *ret_message)
{
    struct tkr_traffic_csv csv;
    struct tkr_traffic_row row;
    int result;

    if (tkr_traffic_csv_open(buffer->bytes, buffer->len, &csv, ret_message) != 0)
        return -1;
    while ((result = tkr_traffic_csv_next(&csv, &row, ret_message)) == 1) {
        if (add_row(trace, &row) != 0)
            return tkr_message_set(ret_message, "there is no memory for so many calls");
    }
    return result;
}

int tkr_traffic_trace_read(struct tkr_traffic_trace *trace, const char *path, tkr_message *ret_message)
{
    struct buffer buffer = {.bytes = NULL};
    tkr_message why;
    int result = read_file(path, &buffer, ret_message);

    if (result == 0) {
        result = read_rows(trace, &buffer, &why);
        if (result != 0)
            (void)tkr_message_set(ret_message, "%s: %s", path, why.text);
    }
    free(buffer.bytes);
    return result;
}

int tkr_traffic_trace_draw_users(struct tkr_traffic_trace *trace, const struct tkr_traffic_users *users, uint64_t seed,
                                 tkr_message *ret_message)
{
    for (size_t i = 0; i < trace->count; i++) {
        struct tkr_traffic_random random = tkr_traffic_random_for(seed, i);
        char name[TKR_TRAFFIC_USER_NAME_BYTES];

        if (trace->call[i].user != NO_USER)
            continue;
        tkr_traffic_user_name(tkr_traffic_users_draw(users, &random), name);
        if (tkr_traffic_names_add(&trace->users, name, strlen(name), &trace->call[i].user) != 0)
            return tkr_message_set(ret_message, "there is no memory for so many users");
    }
    return 0;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* By time; calls of one moment by all that they are, so that the order is the same with any qsort. */
static int compare_calls(const void *one, const void *other)
{
    const struct tkr_traffic_call *a = one;
    const struct tkr_traffic_call *b = other;
    int order = compare_numbers(a->start_ns, b->start_ns);

    if (order == 0)
        order = compare_numbers(a->user, b->user);
    if (order == 0)
        order = compare_numbers(a->model, b->model);
    if (order == 0)
        order = compare_numbers(a->prompt_tokens, b->prompt_tokens);
    return order != 0 ? order : compare_numbers(a->completion_tokens, b->completion_tokens);
}

void tkr_traffic_trace_pace(struct tkr_traffic_trace *trace, double speed)
{
    if (trace->count == 0)
        return;
    qsort(trace->call, trace->count, sizeof(trace->call[0]), compare_calls);
    for (size_t i = 0; i < trace->count; i++)
        trace->call[i].due_ns = (int64_t)((double)(trace->call[i].start_ns - trace->call[0].start_ns) / speed);
}

void tkr_traffic_trace_source(const void *arg, uint64_t n, struct tkr_traffic_call *ret_call)
{
    const struct tkr_traffic_trace *trace = arg;

    *ret_call = trace->call[n];
}

void tkr_traffic_trace_free(struct tkr_traffic_trace *trace)
{
    free(trace->call);
    tkr_traffic_names_free(&trace->users);
    tkr_traffic_names_free(&trace->models);
    *trace = (struct tkr_traffic_trace){.call = NULL};
}
