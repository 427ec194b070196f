/*
 * HTTP: the only file that knows the library (civetweb).  It listens on a loopback port of its own, to
 * the relay alone; every request passes the guard, then the routes answer it.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include "base/cleanup.h"
#include "server/control/control.h"
#include "web/relay.h"

struct http;

/* Starts the workers and the relay; @control and @loop are lent.  -EADDRNOTAVAIL: no loopback. */
int http_new(struct http **ret, struct control *control, struct loop *loop) _must_check_;

/* Serves @fd, a listening socket, which it takes. */
int http_listen(struct http *http, int fd, enum door_kind kind) _must_check_;

/* No new requests. */
void http_close(struct http *http);

/* Waits for the handlers, then ends all connections.  After control_stop(), or it takes long. */
void http_free(struct http *http);
void http_freep(struct http **http);

#endif
