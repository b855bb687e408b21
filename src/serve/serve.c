/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/accept.h"
#include "serve/api.h"
#include "serve/metrics.h"

#define CONNECTIONS_MAX 64u
#define CONNECTION_TIMEOUT_S 10u
#define CONNECTION_BYTES ((size_t)16 << 10)
#define STALE_NS (250 * TKR_NS_PER_MS)
#define SOCKET_MODE 0660
#define API_PREFIX "/api/"
#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"

/* A page as it was made last; connections that are being answered share it. */
struct page {
    struct MHD_Response *response;
    unsigned status;
    int64_t made_ns;
};

struct tkr_serve {
    struct tkr_collector *collector;
    struct tkr_serve_config config;
    struct tkr_snapshot snapshot;
    struct MHD_Daemon *daemon;
    struct tkr_api *api; /* NULL: there is none */
    atomic_bool ready;
    uint64_t scrapes;
    struct page metrics[TKR_ACCEPT_FORMS];
    struct page health;
};

/* --- answers --- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type); /* without it, it is still the answer */
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static void page_drop(struct page *page)
{
    if (page->response != NULL)
        MHD_destroy_response(page->response);
    page->response = NULL;
}

/* A page takes over text. */
static void page_make(struct page *page, unsigned status, const char *type, char *text, size_t len, int64_t now_ns)
{
    page_drop(page);
    page->response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    if (page->response == NULL) {
        free(text);
        return;
    }
    (void)MHD_add_response_header(page->response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    page->status = status;
    page->made_ns = now_ns;
}

static enum MHD_Result page_send(const struct page *page, struct MHD_Connection *connection)
{
    if (page->response == NULL)
        return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, TYPE_TEXT, "no memory\n");
    return MHD_queue_response(connection, page->status, page->response);
}

static bool page_stale(const struct page *page, int64_t now_ns)
{
    return page->response == NULL || now_ns - page->made_ns > STALE_NS;
}

/* --- metrics --- */

static enum MHD_Result take_accept(void *accept, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    if (value != NULL && strcasecmp(name, MHD_HTTP_HEADER_ACCEPT) == 0)
        tkr_accept_take(accept, value);
    return MHD_YES;
}

static enum tkr_accept_form wanted_form(struct MHD_Connection *connection)
{
    struct tkr_accept accept = {0};

    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, take_accept, &accept); /* how many there are does not matter */
    return tkr_accept_choose(&accept);
}

static void make_metrics(struct tkr_serve *serve, enum tkr_accept_form form, int64_t now_ns)
{
    char *text = NULL;
    size_t len = 0;
    struct tkr_exposition exposition = {open_memstream(&text, &len), form == TKR_ACCEPT_OPENMETRICS};
    bool whole;

    if (exposition.out == NULL)
        return;
    tkr_snapshot_take(&serve->snapshot);
    tkr_metrics_write(&exposition, &serve->snapshot, serve->scrapes);
    whole = ferror(exposition.out) == 0;
    if (fclose(exposition.out) != 0 || !whole) {
        free(text);
        return;
    }
    for (int i = 0; i < TKR_ACCEPT_FORMS; i++)
        page_drop(&serve->metrics[i]); /* an older one: who asks for both sees nothing fall */
    page_make(&serve->metrics[form], MHD_HTTP_OK, tkr_accept_type[form], text, len, now_ns);
}

static enum MHD_Result send_metrics(struct tkr_serve *serve, struct MHD_Connection *connection)
{
    enum tkr_accept_form form = wanted_form(connection);
    int64_t now_ns = tkr_clock_monotonic_ns();

    serve->scrapes++;
    if (page_stale(&serve->metrics[form], now_ns))
        make_metrics(serve, form, now_ns);
    return page_send(&serve->metrics[form], connection);
}

/* --- health --- */

static json_t *status_json(const struct tkr_serve *serve, const struct tkr_status *status)
{
    json_t *reasons = json_array();
    char timestamp[32];
    struct tm utc;
    time_t now = time(NULL);

    (void)gmtime_r(&now, &utc);
    (void)strftime(timestamp, sizeof(timestamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
    for (uint32_t i = 0; i < status->reasons; i++)
        (void)json_array_append_new(reasons, json_stringn_nocheck(status->reason[i].text, strlen(status->reason[i].text)));
    return json_pack("{s:s, s:s, s:b, s:o}", "status", tkr_status_word[status->grade], "timestamp", timestamp, "ready",
                     (int)atomic_load_explicit(&serve->ready, memory_order_relaxed), "reasons", reasons); /* a flag */
}

static void make_health(struct tkr_serve *serve, int64_t now_ns)
{
    struct tkr_status status;
    json_t *object;
    char *text;

    tkr_snapshot_take(&serve->snapshot);
    tkr_snapshot_judge(&serve->snapshot, &status);
    object = status_json(serve, &status);
    text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text != NULL)
        page_make(&serve->health, status.grade == TKR_STATUS_UNHEALTHY ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, TYPE_JSON,
                  text, strlen(text), now_ns);
}

static enum MHD_Result send_health(struct tkr_serve *serve, struct MHD_Connection *connection)
{
    int64_t now_ns = tkr_clock_monotonic_ns();

    if (page_stale(&serve->health, now_ns))
        make_health(serve, now_ns);
    return page_send(&serve->health, connection);
}

static enum MHD_Result send_alive(struct tkr_serve *serve, struct MHD_Connection *connection)
{
    tkr_message reason;

    if (tkr_snapshot_moves(serve->collector, &reason))
        return answer(connection, MHD_HTTP_OK, TYPE_TEXT, "ok\n");
    return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, TYPE_TEXT, reason.text);
}

static enum MHD_Result send_ready(struct tkr_serve *serve, struct MHD_Connection *connection)
{
    if (atomic_load_explicit(&serve->ready, memory_order_relaxed)) /* a flag */
        return answer(connection, MHD_HTTP_OK, TYPE_TEXT, "ok\n");
    return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, TYPE_TEXT, "not collecting\n");
}

/* --- requests --- */

static const struct {
    const char *path;
    enum MHD_Result (*send)(struct tkr_serve *serve, struct MHD_Connection *connection);
} pages[] = {{"/metrics", send_metrics}, {"/healthz", send_alive}, {"/readyz", send_ready}, {"/health", send_health}};

static int heard; /* its address says that the library has called before: an answer to the first call ends the connection */

/* All paths, in a sentence; for "/" that is the answer. */
static enum MHD_Result send_paths(const struct tkr_serve *serve, struct MHD_Connection *connection, const char *url)
{
    char api[TKR_MESSAGE_BYTES] = "";
    char text[2 * TKR_MESSAGE_BYTES];
    size_t at = 0;

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i == 0 ? "there are " : ", ", pages[i].path);
    if (serve->api != NULL)
        tkr_api_list(serve->api, api, sizeof(api));
    (void)snprintf(text + at, sizeof(text) - at, "%s%s\n", api[0] != '\0' ? ", " : "", api);
    return answer(connection, strcmp(url, "/") == 0 ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND, TYPE_TEXT, text);
}

static enum MHD_Result send_page(struct tkr_serve *serve, struct MHD_Connection *connection, const char *url)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(url, pages[i].path) == 0)
            return pages[i].send(serve, connection);
    }
    return send_paths(serve, connection, url);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_bytes, void **state)
{
    struct tkr_serve *serve = context;

    (void)version;
    (void)upload;
    if (*state == NULL) {
        *state = &heard;
        return MHD_YES;
    }
    if (*upload_bytes != 0) {
        *upload_bytes = 0; /* unread */
        return MHD_YES;
    }
    if (*state != &heard)
        return tkr_api_answer(connection, *state);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, TYPE_TEXT, "only GET and HEAD\n");
    if (serve->api != NULL && strncmp(url, API_PREFIX, sizeof(API_PREFIX) - 1) == 0)
        return tkr_api_ask(serve->api, connection, url, state);
    return send_page(serve, connection, url);
}

static void complete(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    if (*state != NULL && *state != &heard)
        tkr_api_forget(*state);
    *state = NULL;
}

/* Paths and queries stay as they came: an id may be any bytes, and who looks for one knows where they end. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

/* What the library has to say of strange requests. */
static __attribute__((format(printf, 2, 0))) void say(void *context, const char *format, va_list arguments)
{
    char text[TKR_MESSAGE_BYTES];

    (void)context;
    if (vsnprintf(text, sizeof(text), format, arguments) > 0)
        TKR_LOG(TKR_LOG_DEBUG, "HTTP: {error}", tkr_field_error(text));
}

/* --- listening --- */

/* A socket that is there and that nobody listens on was left by a death. */
static void remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED)
        (void)unlink(address->sun_path);
    (void)close(fd);
}

static int bind_unix(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    remove_stale(&address);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return -1;
    return chmod(path, SOCKET_MODE);
}

static int bind_address(int fd, const struct tkr_serve_config *config)
{
    const int yes = 1;
    socklen_t len = config->address.any.sa_family == AF_INET6 ? sizeof(config->address.in6) : sizeof(config->address.in);

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)); /* if not, a restart waits a minute for the port */
    return bind(fd, &config->address.any, len);
}

/* Of port 0 nobody knows before which it is. */
static void note_port(int fd, struct tkr_serve_config *config)
{
    socklen_t len = sizeof(config->address);
    char host[INET6_ADDRSTRLEN];
    bool v6 = config->address.any.sa_family == AF_INET6;

    if (config->path[0] != '\0' || getsockname(fd, &config->address.any, &len) != 0)
        return;
    if (v6 && inet_ntop(AF_INET6, &config->address.in6.sin6_addr, host, sizeof(host)) != NULL)
        (void)snprintf(config->text, sizeof(config->text), "[%s]:%u", host, ntohs(config->address.in6.sin6_port));
    else if (!v6 && inet_ntop(AF_INET, &config->address.in.sin_addr, host, sizeof(host)) != NULL)
        (void)snprintf(config->text, sizeof(config->text), "%s:%u", host, ntohs(config->address.in.sin_port));
}

/* A descriptor, or -1 with errno. */
static int listen_at(const struct tkr_serve_config *config)
{
    bool local = config->path[0] != '\0';
    int fd = socket(local ? AF_UNIX : config->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failure;

    if (fd < 0)
        return -1;
    if ((local ? bind_unix(fd, config->path) : bind_address(fd, config)) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    failure = errno;
    (void)close(fd);
    errno = failure;
    return -1;
}

/* --- life --- */

static int start(struct tkr_serve *serve, tkr_message *ret_message)
{
    int fd = listen_at(&serve->config);

    if (fd < 0)
        return tkr_message_set(ret_message, "cannot listen for HTTP on %.120s%s: %s; %s", serve->config.text,
                               serve->config.asked_for ? " (TOKENRING_HTTP)" : "", strerror(errno),
                               serve->config.asked_for ? "choose another address, or off"
                                                       : "metrics and health are not served; TOKENRING_HTTP can be another "
                                                         "address, or off");
    note_port(fd, &serve->config);
    serve->daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle,
        serve, MHD_OPTION_EXTERNAL_LOGGER, say, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED, complete, NULL, MHD_OPTION_END);
    if (serve->daemon != NULL)
        return 0;
    (void)close(fd);
    return tkr_message_set(ret_message, "cannot start the thread that answers HTTP");
}

/* What it needs to answer. */
static bool prepare(struct tkr_serve *serve, const struct tkr_route *routes, void *argument)
{
    if (tkr_snapshot_open(&serve->snapshot, serve->collector) != 0)
        return false;
    if (routes == NULL)
        return true;
    serve->api = tkr_api_open(&serve->config, routes, argument);
    return serve->api != NULL;
}

int tkr_serve_open(const struct tkr_serve_config *config, struct tkr_collector *collector, const struct tkr_route *routes,
                   void *argument, struct tkr_serve **ret_serve, tkr_message *ret_message)
{
    struct tkr_serve *serve;

    *ret_serve = NULL;
    if (config->off)
        return 0;
    serve = calloc(1, sizeof(*serve));
    if (serve == NULL)
        return tkr_message_set(ret_message, "no memory for HTTP");
    serve->config = *config;
    serve->collector = collector;
    if (!prepare(serve, routes, argument)) {
        (void)tkr_message_set(ret_message, "no memory for HTTP");
    } else if (start(serve, ret_message) == 0) {
        *ret_serve = serve;
        return 0;
    }
    tkr_serve_close(serve);
    return -1;
}

const char *tkr_serve_where(const struct tkr_serve *serve)
{
    return serve->config.text;
}

void tkr_serve_ready(struct tkr_serve *serve, bool ready)
{
    if (serve != NULL)
        atomic_store_explicit(&serve->ready, ready, memory_order_relaxed); /* a flag */
}

void tkr_serve_close(struct tkr_serve *serve)
{
    if (serve == NULL)
        return;
    tkr_api_stop(serve->api); /* no connection may be suspended when the daemon stops */
    if (serve->daemon != NULL) {
        MHD_stop_daemon(serve->daemon);
        if (serve->config.path[0] != '\0')
            (void)unlink(serve->config.path);
    }
    tkr_api_close(serve->api);
    for (int i = 0; i < TKR_ACCEPT_FORMS; i++)
        page_drop(&serve->metrics[i]);
    page_drop(&serve->health);
    tkr_snapshot_close(&serve->snapshot);
    free(serve);
}
