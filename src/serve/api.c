/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "serve/answerer.h"

#define RETRY_AFTER_S "1"

struct tkr_api {
    const struct tkr_serve_config *config;
    const struct tkr_route *routes;
    struct tkr_answerer *answerer;
};

/* What a connection waits for. */
struct question {
    struct tkr_ask ask;
    struct MHD_Response *response;
};

struct tkr_api *tkr_api_open(const struct tkr_serve_config *config, const struct tkr_route *routes, void *argument)
{
    struct tkr_api *api = calloc(1, sizeof(*api));

    if (api == NULL)
        return NULL;
    *api = (struct tkr_api){.config = config, .routes = routes, .answerer = tkr_answerer_start(argument)};
    if (api->answerer != NULL)
        return api;
    free(api);
    return NULL;
}

void tkr_api_stop(struct tkr_api *api)
{
    if (api != NULL)
        tkr_answerer_stop(api->answerer);
}

void tkr_api_close(struct tkr_api *api)
{
    if (api == NULL)
        return;
    tkr_answerer_free(api->answerer);
    free(api);
}

/* --- who may ask --- */

/* Is it a numeric address, or localhost, as one who means this host calls it? A port may follow. */
static bool names_an_address(const char *host)
{
    bool v6 = host[0] == '[';
    const char *name = host + v6;
    size_t len = strcspn(name, v6 ? "]" : ":");
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (len >= sizeof(copy) || (v6 && name[len] != ']'))
        return false;
    memcpy(copy, name, len);
    copy[len] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, copy, &address) == 1 || (!v6 && strcasecmp(copy, "localhost") == 0);
}

static int check_asker(const struct tkr_api *api, struct MHD_Connection *connection, struct tkr_ask *ask)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    if (api->config->api_for_all)
        return 0;
    if (!api->config->local)
        return tkr_ask_refuse(ask, MHD_HTTP_FORBIDDEN,
                              "the API answers on a loopback address or a Unix socket only; TOKENRING_HTTP_API=all opens it");
    if (api->config->path[0] == '\0' && host != NULL && !names_an_address(host))
        return tkr_ask_refuse(ask, MHD_HTTP_FORBIDDEN, "the request is for another host: ask for localhost or a numeric address");
    return 0;
}

/* --- what is asked --- */

void tkr_api_list(const struct tkr_api *api, char *ret_list, size_t bytes)
{
    size_t at = 0;

    ret_list[0] = '\0';
    for (const struct tkr_route *route = api->routes; route->path != NULL && at < bytes; route++)
        at += (size_t)snprintf(ret_list + at, bytes - at, "%s%s%s%s%s", at == 0 ? "" : ", ", route->path,
                               route->takes_operand ? ", " : "", route->takes_operand ? route->path : "",
                               route->takes_operand ? "/ACCOUNT" : "");
}

static int find_route(const struct tkr_api *api, struct tkr_ask *ask, const char *url)
{
    char list[TKR_MESSAGE_BYTES / 2];

    for (const struct tkr_route *route = api->routes; route->path != NULL; route++) {
        size_t len = strlen(route->path);
        if (strncmp(url, route->path, len) == 0 && (url[len] == '\0' || (url[len] == '/' && route->takes_operand))) {
            ask->route = route;
            return tkr_ask_operand(ask, url + len);
        }
    }
    tkr_api_list(api, list, sizeof(list));
    return tkr_ask_refuse(ask, MHD_HTTP_NOT_FOUND, "there are %s", list);
}

static enum MHD_Result take_parameter(void *ask, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    return tkr_ask_parameter(ask, name, value) == 0 ? MHD_YES : MHD_NO;
}

static int understand(const struct tkr_api *api, struct MHD_Connection *connection, struct tkr_ask *ask, const char *url)
{
    if (check_asker(api, connection, ask) != 0 || find_route(api, ask, url) != 0)
        return -1;
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_parameter, ask);
    return ask->status == 0 ? 0 : -1;
}

/* --- asking and answering --- */

static enum MHD_Result send_answer(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S);
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, struct question *question)
{
    enum MHD_Result result = send_answer(connection, question->ask.status, tkr_answer_make(&question->ask, NULL));

    free(question);
    return result;
}

enum MHD_Result tkr_api_ask(struct tkr_api *api, struct MHD_Connection *connection, const char *url, void **ret_state)
{
    struct question *question = calloc(1, sizeof(*question));

    if (question == NULL)
        return MHD_NO;
    if (understand(api, connection, &question->ask, url) != 0)
        return refuse(connection, question);
    *ret_state = question;
    if (tkr_answerer_put(api->answerer, connection, &question->ask, &question->response))
        return MHD_YES;
    *ret_state = NULL;
    (void)tkr_ask_refuse(&question->ask, MHD_HTTP_SERVICE_UNAVAILABLE, "%u questions wait already", TKR_ANSWERER_WAITING);
    return refuse(connection, question);
}

enum MHD_Result tkr_api_answer(struct MHD_Connection *connection, void *state)
{
    struct question *question = state;
    struct MHD_Response *response = question->response;

    question->response = NULL;
    return send_answer(connection, question->ask.status, response);
}

void tkr_api_forget(void *state)
{
    struct question *question = state;

    if (question->response != NULL)
        MHD_destroy_response(question->response);
    free(question);
}
