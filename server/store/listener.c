#include <errno.h>
#include <stdlib.h>

#include "base/errors.h"
#include "server/store/connection.h"
#include "server/store/gateway.h"

struct listener {
	PGconn *conn;
};

int
listener_open(const char *conninfo, struct listener **ret)
{
	_cleanup_(listener_freep) struct listener *listener = calloc(1, sizeof(*listener));
	static const enum query steps[] = {QUERY_MIGRATE_BE_GATEWAY, QUERY_LISTEN};
	char error[STORE_ERROR_LEN];
	int r;

	if (!listener)
		return -ENOMEM;
	r = connection_open(conninfo, &listener->conn, error);
	for (size_t i = 0; i < ARRAY_LEN(steps) && r == 0; i++)
		r = connection_setup(listener->conn, steps[i], NULL, NULL, error);
	if (r < 0)
		return r;
	*ret = take_ptr(listener);
	return 0;
}

int
listener_fd(const struct listener *listener)
{
	return PQsocket(listener->conn);
}

int
listener_read(struct listener *listener)
{
	PGnotify *notify;
	int r = 0;

	if (!PQconsumeInput(listener->conn) || PQstatus(listener->conn) != CONNECTION_OK)
		return -ERR_DATABASE;
	while ((notify = PQnotifies(listener->conn))) {
		PQfreemem(notify);
		r = 1;
	}
	return r;
}

void
listener_free(struct listener *listener)
{
	if (!listener)
		return;
	connection_closep(&listener->conn);
	free(listener);
}

void
listener_freep(struct listener **listener)
{
	listener_free(*listener);
}
