#include "server/tunnel/uapi_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/log.h"

#define READ_LEN 16384 /* and taken in a turn */

struct connection {
	struct uapi_server *server;
	struct connection *next;
	int fd;
	struct loop_io *io;
	struct uapi *uapi;
	bool closing;            /* once the output is written */
	size_t in_start, in_end; /* bytes read that the request does not take yet */
	char in[READ_LEN];
};

struct listener {
	struct uapi_server *server;
	struct listener *next;
	int fd;
	struct loop_io *io;
	enum uapi_rights rights;
	char domain[UAPI_DOMAIN_MAX + 1];
};

struct uapi_server {
	struct loop *loop;
	const struct uapi_host *host;
	void (*settle)(void *ctx);
	void *ctx;
	bool posted;
	unsigned n_connections;
	struct connection *connections;
	struct listener *listeners;
};

int
uapi_server_new(struct loop *loop, const struct uapi_host *host, void (*settle)(void *ctx), void *ctx,
		struct uapi_server **ret)
{
	struct uapi_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->host = host;
	server->settle = settle;
	server->ctx = ctx;
	*ret = server;
	return 0;
}

static void
listeners_watch(struct uapi_server *server, bool on)
{
	for (struct listener *l = server->listeners; l; l = l->next)
		if (loop_io_events(l->io, on ? EPOLLIN : 0) < 0)
			log_error("control socket cannot be watched");
}

static void
connection_free(struct connection *connection)
{
	struct uapi_server *server = connection->server;
	struct connection **at = &server->connections;

	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	loop_io_free(connection->io);
	closep(&connection->fd);
	uapi_free(connection->uapi);
	bytes_wipe(connection->in, sizeof(connection->in));
	free(connection);
	if (server->n_connections-- == UAPI_CONNECTIONS_MAX)
		listeners_watch(server, true);
}

static void
listener_free(struct listener **at)
{
	struct listener *l = *at;

	*at = l->next;
	loop_io_free(l->io);
	closep(&l->fd);
	free(l);
}

void
uapi_server_free(struct uapi_server *server)
{
	if (!server)
		return;
	while (server->connections)
		connection_free(server->connections);
	while (server->listeners)
		listener_free(&server->listeners);
	free(server);
}

void
uapi_server_forget(struct uapi_server *server, const char *domain)
{
	struct listener **at = &server->listeners;

	while (*at)
		if (strcmp((*at)->domain, domain) == 0)
			listener_free(at);
		else
			at = &(*at)->next;
}

void
uapi_server_freep(struct uapi_server **server)
{
	uapi_server_free(*server);
}

/* 1: all is written.  0: the reader is slow, or so fast that others have to wait.  Negated errno: it is gone.
 */
static int
output_write(struct connection *connection)
{
	size_t written = 0, len;
	const char *bytes;
	ssize_t n;
	int r;

	while (written < UAPI_TURN_BYTES) {
		r = uapi_output(connection->uapi, &bytes, &len);
		if (r < 0)
			return r;
		if (len == 0)
			return 1;
		n = send(connection->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		uapi_written(connection->uapi, (size_t)n);
		written += (size_t)n;
	}
	return 0;
}

/* Hands on what was read, as far as it is taken. */
static void
input_take(struct connection *connection)
{
	const ssize_t n = uapi_input(connection->uapi, connection->in + connection->in_start,
				     connection->in_end - connection->in_start);

	if (n < 0) {
		connection->closing = true;
		connection->in_start = connection->in_end = 0;
		return;
	}
	bytes_wipe(connection->in + connection->in_start, (size_t)n);
	connection->in_start += (size_t)n;
	if (connection->in_start == connection->in_end)
		connection->in_start = connection->in_end = 0;
}

/* Requests and answers alternate, until the reader is slow or nothing more is there.  False: it was freed. */
static bool
connection_serve(struct connection *connection)
{
	int r;

	do {
		const size_t before = connection->in_end - connection->in_start;

		if (before > 0)
			input_take(connection);
		r = output_write(connection);
		if (r < 0 || (r == 1 && connection->closing)) {
			connection_free(connection);
			return false;
		}
		if (before > 0 && connection->in_end - connection->in_start == before && r == 1)
			break;
	} while (r == 1 && connection->in_end > 0);
	r = loop_io_events(
		connection->io,
		(r == 1 ? 0U : (uint32_t)EPOLLOUT) |
			(connection->in_end == 0 && !connection->closing ? (uint32_t)EPOLLIN : 0U));
	if (r < 0)
		connection_free(connection);
	return r == 0;
}

static void
connection_ready(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct connection *connection = arg;
	struct uapi_server *server = connection->server;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && connection->in_end == 0 && !connection->closing) {
		const ssize_t n = recv(fd, connection->in, READ_LEN, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			connection_free(connection);
			server->settle(server->ctx);
			return;
		}
		connection->in_end = n > 0 ? (size_t)n : 0;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		connection_free(connection);
		server->settle(server->ctx);
		return;
	}
	connection_serve(connection);
	server->settle(server->ctx);
}

int
uapi_server_connect(struct uapi_server *server, int fd, enum uapi_rights rights, const char *domain)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int r;

	if (!connection) {
		close(fd);
		return -ENOMEM;
	}
	connection->server = server;
	connection->fd = fd;
	connection->next = server->connections;
	server->connections = connection;
	server->n_connections++;
	r = uapi_new(server->host, rights, domain, &connection->uapi);
	if (r == 0)
		r = loop_io_add(server->loop, fd, EPOLLIN, connection_ready, connection, &connection->io);
	if (r < 0)
		connection_free(connection);
	return r;
}

static void
listener_ready(void *arg, int listening, uint32_t events, nsec_t now)
{
	struct listener *listener = arg;
	struct uapi_server *server = listener->server;
	const int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return;
	r = uapi_server_connect(server, fd, listener->rights, listener->domain);
	if (r < 0)
		log_error("connection to the control socket: %s", "no memory");
	else if (server->n_connections >= UAPI_CONNECTIONS_MAX)
		listeners_watch(server, false);
}

int
uapi_server_listen(struct uapi_server *server, int fd, enum uapi_rights rights, const char *domain)
{
	struct listener *listener;
	int r;

	if (!uapi_domain_is_name(domain))
		return -EINVAL;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		r = -errno;
		free(listener);
		return r;
	}
	*listener =
		(struct listener){.server = server, .next = server->listeners, .fd = fd, .rights = rights};
	snprintf(listener->domain, sizeof(listener->domain), "%s", domain);
	r = loop_io_add(server->loop, fd, EPOLLIN, listener_ready, listener, &listener->io);
	if (r < 0) {
		free(listener);
		return r;
	}
	server->listeners = listener;
	return 0;
}

/* Deferred: what is told is looked at when the device is not in the middle of a step. */
static void
watchers_tell(void *arg, nsec_t now)
{
	struct uapi_server *server = arg;
	struct connection *next;

	server->posted = false;
	for (struct connection *connection = server->connections; connection; connection = next) {
		next = connection->next;
		connection_serve(connection);
	}
}

void
uapi_server_changed(struct uapi_server *server, struct wg_peer_id peer)
{
	for (struct connection *connection = server->connections; connection; connection = connection->next)
		uapi_changed(connection->uapi, peer);
	if (!server->posted && server->connections)
		server->posted = loop_post(server->loop, watchers_tell, server) == 0;
}
