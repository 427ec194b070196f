/*
 * The connections of the UAPI: a listening socket, and connections that were handed over.  A connection
 * that does not read is not written to, and not read from; it delays nobody.
 */
#ifndef SERVER_TUNNEL_UAPI_SERVER_H
#define SERVER_TUNNEL_UAPI_SERVER_H

#include "server/proc/loop.h"
#include "server/tunnel/uapi.h"

#define UAPI_CONNECTIONS_MAX 64 /* further clients wait in the listen queue */
#define UAPI_TURN_BYTES                                                                                      \
	(256U * 1024) /* written to a connection, then the others and timers have their turn */

struct uapi_server;

/* @settle is called when requests may have changed the device, after the host's functions. */
int uapi_server_new(struct loop *loop, const struct uapi_host *host, void (*settle)(void *ctx), void *ctx,
		    struct uapi_server **ret) _must_check_;
void uapi_server_free(struct uapi_server *server);
void uapi_server_freep(struct uapi_server **server);

/* Takes over a listening socket, whose requests are about @domain.  -EINVAL: not a name. */
int uapi_server_listen(struct uapi_server *server, int fd, enum uapi_rights rights,
		       const char *domain) _must_check_;

/* The sockets of @domain are no longer listened on; connections there are stay. */
void uapi_server_forget(struct uapi_server *server, const char *domain);

/* Takes over a connection, also on failure.  @domain: as uapi_new() has it. */
int uapi_server_connect(struct uapi_server *server, int fd, enum uapi_rights rights,
			const char *domain) _must_check_;

/* Something of that peer changed.  Watchers are told at the next turn of the loop. */
void uapi_server_changed(struct uapi_server *server, struct wg_peer_id peer);

#endif
