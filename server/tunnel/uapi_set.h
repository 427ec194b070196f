/*
 * A `set=1` request, line by line.
 */
#ifndef SERVER_TUNNEL_UAPI_SET_H
#define SERVER_TUNNEL_UAPI_SET_H

#include "server/tunnel/uapi.h"

struct uapi_set {
	const struct uapi_host *host;
	enum uapi_rights rights;
	bool watch;

	/* from a public_key line to the next, or to the end */
	bool in_peer;
	bool created, refused;  /* made by this request; a line about its access was not taken */
	struct wg_peer_id peer; /* serial 0: lines are checked and dropped */
	bool has_access, has_end, has_keepalive, initiate;
	enum wg_access access;
	time_t end;
	uint16_t keepalive;
};

void uapi_set_begin(struct uapi_set *set, const struct uapi_host *host, enum uapi_rights rights);

/* Applies a line; @value may be written to.  Negated errno: the answer. */
int uapi_set_line(struct uapi_set *set, const char *key, char *value) _must_check_;

/* The request is through, with @error. */
void uapi_set_end(struct uapi_set *set, int error, bool *watching);

/* The connection ended in the middle. */
void uapi_set_abandon(struct uapi_set *set);

#endif
