/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT "127.0.0.1:9464"
#define UNIX "unix:"
#define ALLOWED "allowed are ADDRESS:PORT with a numeric address, unix:/PATH of at most 107 bytes, and off"

static bool parse_unix(const char *path, struct tkr_serve_config *config)
{
    size_t len = strlen(path);

    if (path[0] != '/' || len >= sizeof(config->path))
        return false;
    memcpy(config->path, path, len + 1);
    config->local = true;
    return true;
}

static bool parse_address(const char *text, struct tkr_serve_config *config)
{
    char host[INET6_ADDRSTRLEN + 1] = "";
    const char *colon = strrchr(text, ':');
    bool v6 = text[0] == '[' && colon != NULL && colon > text + 1 && colon[-1] == ']';
    size_t len = colon == NULL ? 0 : (size_t)(colon - text) - (v6 ? 2 : 0);
    int64_t port;

    if (colon == NULL || len >= sizeof(host) || !tkr_parse_integer(colon + 1, 0, 65535, &port))
        return false;
    memcpy(host, text + v6, len);
    if (v6) {
        config->address.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        config->local = inet_pton(AF_INET6, host, &config->address.in6.sin6_addr) == 1 &&
                        IN6_IS_ADDR_LOOPBACK(&config->address.in6.sin6_addr);
        return inet_pton(AF_INET6, host, &config->address.in6.sin6_addr) == 1;
    }
    config->address.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &config->address.in.sin_addr) != 1)
        return false;
    config->local = ntohl(config->address.in.sin_addr.s_addr) >> 24 == 127;
    return true;
}

static int read_api(bool *ret_for_all, tkr_message *ret_message)
{
    const char *text = tkr_setting_text("TOKENRING_HTTP_API");

    *ret_for_all = text != NULL && strcmp(text, "all") == 0;
    if (text == NULL || *ret_for_all || strcmp(text, "local") == 0)
        return 0;
    return tkr_setting_refuse(ret_message, "TOKENRING_HTTP_API", text, "allowed are local and all");
}

int tkr_serve_config_read(struct tkr_serve_config *ret_config, tkr_message *ret_message)
{
    const char *text = tkr_setting_text("TOKENRING_HTTP");
    bool understood;

    memset(ret_config, 0, sizeof(*ret_config));
    ret_config->asked_for = text != NULL;
    if (text == NULL)
        text = DEFAULT;
    (void)snprintf(ret_config->text, sizeof(ret_config->text), "%s", text);
    ret_config->off = strcmp(text, "off") == 0;
    if (strncmp(text, UNIX, sizeof(UNIX) - 1) == 0)
        understood = parse_unix(text + sizeof(UNIX) - 1, ret_config);
    else
        understood = ret_config->off || parse_address(text, ret_config);
    if (!understood)
        return tkr_setting_refuse(ret_message, "TOKENRING_HTTP", text, ALLOWED);
    return read_api(&ret_config->api_for_all, ret_message);
}
