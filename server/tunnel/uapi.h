/*
 * One connection of the cross-platform UAPI (docs/uapi.md): bytes in, bytes out, changes to the device
 * in between.  No descriptors here: server/tunnel/uapi_server.h has them.
 *
 * Every line is applied as it comes, so that a request may be of any length; answers are made piece by
 * piece while there is room, so that one may be of any length too.
 */
#ifndef SERVER_TUNNEL_UAPI_H
#define SERVER_TUNNEL_UAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/tunnel/text.h"
#include "server/wg/device.h"

#define UAPI_LINE_MAX    512          /* the longest line; longer ones are -EPROTO */
#define UAPI_OUT_HIGH    (64U * 1024) /* no more is made while that much waits to be written */
#define UAPI_WATCH_QUEUE 1024 /* changes that wait for a slow reader; then all peers are looked at anew */
#define UAPI_DOMAIN_MAX  63   /* characters of a domain's name */
#define UAPI_RATE_MAX    (UINT64_C(1) << 40) /* bytes a second */
#define UAPI_MTU_MIN     1280                /* what IPv6 wants of any link */

/* Who is at the other end. */
enum uapi_rights {
	UAPI_ALL,     /* stand-alone */
	UAPI_CONTROL, /* managed: peers, but not the device itself; no secrets in answers */
	UAPI_READ,    /* managed: changes nothing; no secrets in answers */
};

/*
 * What it acts on.  Lent, and the same for all connections.
 *
 * Domains are known by name there and by number here: a name is looked up once a request, and what was found
 * is looked at again by its number before each use, for another connection may have removed it meanwhile.
 */
struct uapi_host {
	struct wg_device *device;
	struct wg_domain
		*domain; /* of requests that name none: the one that was mentioned first; NULL: none */
	const struct wg_effects *effects;
	void *ctx;
	struct wg_now (*now)(void *ctx);
	uint16_t (*port_get)(void *ctx);
	int (*port_set)(void *ctx, uint16_t port);
	uint32_t (*mark_get)(void *ctx);
	int (*mark_set)(void *ctx, uint32_t mark);
	void (*more)(void *ctx, struct text *out); /* the device's warren_ lines */

	/*
	 * Domains by name.  find: NULL, there is none.  get: makes it if need be; -EINVAL: not a name,
	 * -ENOSPC, -ENOMEM.  remove: with its peers; -ENOENT, -EBUSY: it is the first one, which stays.
	 */
	struct wg_domain *(*domain_find)(void *ctx, const char *name);
	int (*domain_get)(void *ctx, const char *name, struct wg_domain **ret);
	int (*domain_remove)(void *ctx, const char *name);
	/* By wg_domain_number(), below WG_DOMAINS_MAX (NULL: there is none), and what it is called. */
	struct wg_domain *(*domain_at)(void *ctx, unsigned number);
	const char *(*domain_name)(void *ctx, const struct wg_domain *domain);
};

/* As interfaces may be called: no blanks, no '/', no '=', not "*"; UAPI_DOMAIN_MAX characters at most. */
bool uapi_domain_is_name(const char *name);

struct uapi;

/*
 * @domain: the name of the one that is spoken of, unless a request names another, which UAPI_READ may not; it
 * need not be there yet.  NULL: the host's.  -EINVAL: no name for one; -ENOMEM.
 */
int uapi_new(const struct uapi_host *host, enum uapi_rights rights, const char *domain,
	     struct uapi **ret) _must_check_;

/* A peer that an unfinished request made new goes with it. */
void uapi_free(struct uapi *uapi);
void uapi_freep(struct uapi **uapi);

/*
 * Takes bytes that came, and writes to them.  Returns how many: what is left is to be given again when the
 * output has been taken.  -ERR_CLOSED: no more is to be read, write what waits and close.
 */
ssize_t uapi_input(struct uapi *uapi, char *bytes, size_t len);

/* What is to be written, lent until the next call; *@len is 0 for nothing.  -ENOMEM: close. */
int uapi_output(struct uapi *uapi, const char **bytes, size_t *len) _must_check_;
void uapi_written(struct uapi *uapi, size_t len);

/* Something of that peer changed: those who watch are told by the next uapi_output(). */
void uapi_changed(struct uapi *uapi, struct wg_peer_id peer);

#endif
