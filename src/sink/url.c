/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/url.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ESCAPES "in a user or password write '/' as %2F, '?' as %3F, '#' as %23, '@' as %40, '%' as %25"
#define ALLOWED "allowed is redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=N]"
#define PORT_MAX 65535
#define DB_MAX 65535

/* Bytes of the text that is read. */
struct span {
    const char *at;
    size_t len;
};

struct parser {
    const char *name;
    const char *text;
    struct tkr_sink_config *config;
    tkr_message *message;
};

static int refuse(const struct parser *p, const char *why)
{
    return tkr_setting_refuse(p->message, p->name, p->text, "%s", why);
}

static struct span span_to(const char *begin, const char *end)
{
    return (struct span){begin, (size_t)(end - begin)};
}

/* Cuts *rest at its first c (its last when last is set): what stands before goes to *ret_before. */
static bool cut(struct span *rest, char c, bool last, struct span *ret_before)
{
    const char *hit = last ? memrchr(rest->at, c, rest->len) : memchr(rest->at, c, rest->len);

    if (hit == NULL)
        return false;
    *ret_before = span_to(rest->at, hit);
    *rest = span_to(hit + 1, rest->at + rest->len);
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes; no NUL may come of it. */
static bool decode(struct span from, char ret_text[TKR_SINK_TEXT_BYTES])
{
    size_t n = 0;

    for (size_t i = 0; i < from.len; i++) {
        int c = (unsigned char)from.at[i];

        if (c == '%') {
            int high = i + 2 < from.len ? hex_value(from.at[i + 1]) : -1;
            int low = i + 2 < from.len ? hex_value(from.at[i + 2]) : -1;

            c = high < 0 || low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (c == 0 || n + 1 >= TKR_SINK_TEXT_BYTES)
            return false;
        ret_text[n++] = (char)c;
    }
    ret_text[n] = '\0';
    return true;
}

static bool number(struct span from, int64_t min, int64_t max, int *ret_value)
{
    char text[8];
    int64_t value;

    if (from.len == 0 || from.len >= sizeof(text))
        return false;
    memcpy(text, from.at, from.len);
    text[from.len] = '\0';
    if (!tkr_parse_integer(text, min, max, &value))
        return false;
    *ret_value = (int)value;
    return true;
}

static int read_credentials(const struct parser *p, struct span *authority)
{
    struct span info;
    struct span user;

    if (!cut(authority, '@', true, &info))
        return 0;
    if (!cut(&info, ':', false, &user))
        return refuse(p, "before the '@' there must be [user]:password");
    if (!decode(user, p->config->username) || !decode(info, p->config->password))
        return refuse(p, "user or password is too long, or has a '%' without two hex digits; " ESCAPES);
    if (p->config->username[0] != '\0' && p->config->password[0] == '\0')
        return refuse(p, "a user needs a password: [user]:password");
    return 0;
}

static int read_query(const struct parser *p, struct span query)
{
    struct span key;

    if (query.len == 0)
        return 0;
    if (!cut(&query, '=', false, &key) || key.len != 2 || memcmp(key.at, "db", 2) != 0)
        return refuse(p, "of the options behind '?' only db=N is understood");
    return number(query, 0, DB_MAX, &p->config->db) ? 0 : refuse(p, "db is an integer from 0 to 65535");
}

static bool host_clean(const char *host)
{
    return host[0] != '\0' && strpbrk(host, " \t\r\n/@#?\"'\\") == NULL;
}

/* host[:port] or [IPv6][:port] */
static int read_host(const struct parser *p, struct span authority)
{
    struct span host;
    bool has_port;

    if (authority.len > 0 && authority.at[0] == '[') {
        authority.at++;
        authority.len--;
        if (!cut(&authority, ']', false, &host) || (authority.len > 0 && authority.at[0] != ':'))
            return refuse(p, "an IPv6 address stands in brackets: [::1]:6379");
        has_port = authority.len > 0;
        if (has_port)
            authority = span_to(authority.at + 1, authority.at + authority.len);
    } else {
        has_port = cut(&authority, ':', true, &host);
        if (!has_port)
            host = authority;
        if (memchr(host.at, ':', host.len) != NULL && memchr(host.at, ',', host.len) == NULL)
            return refuse(p, "an IPv6 address stands in brackets: [::1]:6379");
    }
    if (memchr(host.at, ',', host.len) != NULL || (has_port && memchr(authority.at, ',', authority.len) != NULL))
        return refuse(p, TKR_SINK_ONE_HOST);
    if (!decode(host, p->config->host) || !host_clean(p->config->host))
        return refuse(p, "the host is missing or is no host name; " ALLOWED);
    if (has_port && !number(authority, 1, PORT_MAX, &p->config->port))
        return refuse(p, "the port is an integer from 1 to 65535");
    return 0;
}

static int read_tcp(const struct parser *p, struct span body)
{
    struct span authority = body;
    struct span path = {"", 0};

    if (cut(&body, '/', false, &authority))
        path = body;
    if (strchr(authority.at + authority.len, '@') !=
        NULL) /* the credentials' own, when one of its characters is taken for an end */
        return refuse(p, "there is an '@' behind the host; " ESCAPES);
    if (read_credentials(p, &authority) != 0 || read_host(p, authority) != 0)
        return -1;
    p->config->socket[0] = '\0';
    if (path.len > 0 && !number(path, 0, DB_MAX, &p->config->db))
        return refuse(p, "behind the host's '/' stands the db, an integer from 0 to 65535");
    return 0;
}

static int read_unix(const struct parser *p, struct span body)
{
    const char *slash = memchr(body.at, '/', body.len);
    struct span authority;

    if (slash == NULL)
        return refuse(p, "the socket's path is missing; " ALLOWED);
    authority = span_to(body.at, slash);
    if (authority.len > 0 && memchr(authority.at, '@', authority.len) == NULL && strchr(slash, '@') != NULL)
        return refuse(p, "there is an '@' behind a '/'; " ESCAPES);
    if (read_credentials(p, &authority) != 0)
        return -1;
    if (authority.len != 0)
        return refuse(p, "the socket's path is absolute: unix:///run/redis.sock");
    if (!decode(span_to(slash, body.at + body.len), p->config->socket))
        return refuse(p, "the path is too long or has a '%' that is not followed by two hex digits");
    p->config->host[0] = '\0';
    return 0;
}

int tkr_sink_url_read(const char *name, const char *text, struct tkr_sink_config *config, tkr_message *ret_message)
{
    struct parser p = {name, text, config, ret_message};
    bool tcp = strncmp(text, "redis://", 8) == 0;
    struct span query;
    struct span body;

    if (tkr_setting_ends_in_break(text))
        return refuse(&p, ALLOWED);
    if (strncmp(text, "rediss://", 9) == 0)
        return refuse(&p, "TLS (rediss://) is not supported yet; use redis:// or unix://");
    if (!tcp && strncmp(text, "unix://", 7) != 0)
        return refuse(&p, ALLOWED);
    text += tcp ? 8 : 7;
    query = (struct span){text, strlen(text)};
    if (!cut(&query, '?', false, &body)) {
        body = query;
        query.len = 0;
    }
    if ((tcp ? read_tcp(&p, body) : read_unix(&p, body)) != 0)
        return -1;
    return read_query(&p, query);
}

bool tkr_sink_url_is_doubtful(const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *begin = scheme != NULL ? scheme + 3 : text;
    const char *at = strrchr(begin, '@');
    size_t len = strcspn(begin, "@#");

    return at != NULL && begin + len < at && memchr(begin, '/', (size_t)(at - begin)) == NULL;
}
