/*
 * A `set=1` request, line by line.
 */
#ifndef SERVER_TUNNEL_UAPI_SET_H
#define SERVER_TUNNEL_UAPI_SET_H

#include "server/tunnel/uapi.h"

#define UAPI_TROUBLE_MAX 160

struct uapi_set {
	const struct uapi_host *host;
	enum uapi_rights rights;
	bool watch;
	char trouble[UAPI_TROUBLE_MAX]; /* why a line was refused, where errno says too little; else "" */

	/* the domain that the lines are about */
	const char *own;                  /* lent */
	char domain[UAPI_DOMAIN_MAX + 1]; /* "": the host's */
	bool domain_removed;              /* then one is to be named first */
	bool domain_mentioned;            /* it was named here, and is made even if nothing follows */
	unsigned domain_number;           /* where it was found last */

	/* from a public_key line to the next, or to the end */
	bool in_peer;
	bool created, refused;  /* made by this request; a line about its access was not taken */
	bool elsewhere;         /* it is a peer of another domain */
	struct wg_peer_id peer; /* serial 0: lines are checked and dropped */
	bool has_access, has_end, has_keepalive, has_rate_rx, has_rate_tx, initiate;
	enum wg_access access;
	time_t end;
	uint16_t keepalive;
	uint64_t rate_rx, rate_tx;
};

/* @own: the connection's domain, lent for the request; "" for the host's. */
void uapi_set_begin(struct uapi_set *set, const struct uapi_host *host, enum uapi_rights rights,
		    const char *own);

/* Applies a line of that key.  Negated errno: the answer. */
int uapi_set_line(struct uapi_set *set, const char *key, const char *value) _must_check_;

/* The request is through, with @error.  Returns what is to be answered. */
int uapi_set_end(struct uapi_set *set, int error, bool *watching) _must_check_;

/* The connection ended in the middle. */
void uapi_set_abandon(struct uapi_set *set);

#endif
