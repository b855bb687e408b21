/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of the test's own: a network namespace with a loopback device and nothing else, in which names are resolved by a
 * hosts file and a name server of the test's own. Programs that the test starts are in it, too.
 */
#ifndef TESTS_SUPPORT_NETWORK_H
#define TESTS_SUPPORT_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NETWORK_NAME_SERVER "127.0.0.53"

/*
 * Enters it. Call it first in main, before there are threads. Names are then resolved by an empty hosts file and nobody. false: it
 * is not permitted; with errno.
 */
bool network_enter(void);

/* The same, or ends the test program with 77 and "skipped: " with the reason. */
void network_require(void);

/* Replaces /etc/hosts, in this namespace alone. 0, or -1 with errno. */
int network_set_hosts(const char *text);

/* Names that are not in /etc/hosts are asked of NETWORK_NAME_SERVER, which is waited for so long, twice. 0, or -1 with errno. */
int network_use_name_server(int timeout_s);

/* A name server: a process and its socket. */
struct network_name_server;

/*
 * Starts one on NETWORK_NAME_SERVER that answers a question delay_ms after it came, with 127.0.0.1 for each name, or never (-1).
 * NULL: with errno.
 */
struct network_name_server *network_name_server_start(int delay_ms);

/* From now on questions are answered so long after they come, or never (-1). */
void network_name_server_delay(struct network_name_server *server, int delay_ms);

/* Questions for an IPv4 address that came. */
uint64_t network_name_server_questions(const struct network_name_server *server);

/* Ends it; accepts NULL. */
void network_name_server_stop(struct network_name_server *server);

/* A port of an address where nobody answers: connecting to it takes minutes. 0, or -1 with errno. Stopping may be repeated. */
struct network_dead {
    int fd[4];
};
int network_dead_start(struct network_dead *ret_dead, const struct sockaddr *address, socklen_t len);
void network_dead_stop(struct network_dead *dead);

#endif
