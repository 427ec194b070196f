/*
 * How clients reach the gateway, and which resolvers they are given: from the configuration, else from
 * what this host has.  Looked up anew each time: both change while we run.
 */
#ifndef SERVER_CONTROL_REACH_H
#define SERVER_CONTROL_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "server/proc/config.h"

#define REACH_NOTE_LEN 512
#define RESOLVERS_MAX  2 /* taken from the host */

#define REACH_ORIGINS(X)                                                                                     \
	X(NONE, "none")                                                                                      \
	X(CONFIGURED, "configured")                                                                          \
	X(ROUTE, "route")

enum reach_origin {
#define X(name, word) REACH_##name,
	REACH_ORIGINS(X)
#undef X
};

struct reach {
	enum reach_origin origin;
	char address[CONFIG_HOST_LEN]; /* host:port; empty: none */
	bool closed;                   /* private: not to be reached from the Internet as it is */
	char note[REACH_NOTE_LEN];     /* what that means and what to set; empty: nothing to say */
};

const char *reach_origin_word(enum reach_origin origin);

/* @source: of the default route, family 0 for none. */
void reach_describe(const struct config *config, const struct ip *source, struct reach *ret);

/* The address that this host speaks from to the Internet; nothing is sent.  Family 0: it has no way there. */
struct ip reach_source(void);
void reach_find(const struct config *config, struct reach *ret);

/* Private, shared (RFC 6598), link-local or loopback. */
bool ip_is_private(const struct ip *ip);

/* The first resolvers of a resolv.conf that others can use: neither loopback nor link-local. */
void resolvers_parse(const char *text, struct ip_list *ret);

/* WARREN_DNS, else the host's. */
void resolvers_find(const struct config *config, struct ip_list *ret);

#endif
