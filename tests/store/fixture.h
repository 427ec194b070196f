/*
 * A Postgres of our own for a test program: a private cluster in a directory of its own, made, started
 * and migrated the way warrend does it, by an unprivileged user.  And what tests need in it.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <sys/types.h>

#include "server/store/cluster.h"
#include "server/store/peer.h"
#include "server/store/pool.h"
#include "server/store/store.h"
#include "server/store/tenant.h"

struct fixture {
	char dir[64];
	struct cluster *cluster;
	pid_t postgres;
	char conninfo[CLUSTER_CONNINFO_LEN];
	struct store *store;
	PGconn *superuser; /* for what no program may do */
};

extern struct fixture fixture;

/* cmocka's group fixtures. */
int fixture_up(void **state);
int fixture_down(void **state);

/* The steps of it. */
void fixture_unprivileged(void);
void fixture_directory(void);
void fixture_start(void);
void fixture_stop(int signal);
void fixture_remove(const char *path);

/* conninfo of another role or database of the cluster. */
void fixture_superuser_conninfo(char out[CLUSTER_CONNINFO_LEN], const char *database);
void fixture_owner_conninfo(char out[CLUSTER_CONNINFO_LEN], const char *database);

/* By the superuser; the first value of the result, lent until the next call. */
const char *sql(const char *format, ...) _printf_(1, 2);

/* A tenant with a user, and a pool 10.N.0.0/@len that no other test has. */
struct home {
	struct tenant tenant;
	struct user user;
	struct cidr pool;
};

extern const struct actor nobody_in_particular;

void home_new(struct home *home, uint8_t len);

struct public_key key_new(void);

/* In transactions of their own; what the store answers. */
int add(const struct home *home, const char *name, struct peer *ret);
int add_key(const struct home *home, const char *name, const struct public_key *key, struct peer *ret);
int drop(const struct home *home, struct peer_id id);
int rest(const struct home *home, int64_t seconds);

/* A transaction of @home with an actor. */
struct tx *begin(const struct home *home);
void commit(struct tx **tx);

#endif
