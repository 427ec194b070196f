/*
 * Configuration: one table of options.  An option's name is the same in the environment and in the
 * file (`warrend -c FILE`, lines NAME=value, # begins a comment line).  The environment comes before
 * the file, the file before the default; an empty value is one not given.  A secret NAME may instead be given
 * as NAME_FILE, a path to read it from. Taken whole or not at all, into a struct that nobody writes
 * afterwards; -n prints it back.
 */
#ifndef SERVER_PROC_CONFIG_H
#define SERVER_PROC_CONFIG_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "base/log.h"

#define CONFIG_PATH_LEN   1024
#define CONFIG_URL_LEN    4096
#define CONFIG_HOST_LEN   280 /* name of at most 253 characters, or [IPv6], and port */
#define CONFIG_SOCKET_LEN 108 /* sun_path */
#define CONFIG_LIST_MAX   4

struct cidr_list {
	size_t n;
	struct cidr v[CONFIG_LIST_MAX];
};
struct ip_list {
	size_t n;
	struct ip v[CONFIG_LIST_MAX];
};

/* Each has a queue of every device and a socket of every family; they come as descriptors of one message. */
#define CONFIG_WORKERS_MAX 16

/* An empty string, a list of none and a family of 0 mean: not given. */
struct config {
	char data_dir[CONFIG_PATH_LEN];
	char database_url[CONFIG_URL_LEN]; /* secret; empty: the private cluster */
	uint16_t listen_port;
	uint16_t workers;               /* 0: config_workers() says */
	char endpoint[CONFIG_HOST_LEN]; /* host:port for clients */
	struct cidr pool;               /* host bits are zero */
	char uplink[IFNAMSIZ];          /* "pasta", or the interface moved in */
	struct cidr_list uplink_address;
	struct ip_list uplink_gateway;
	struct endpoint http_listen;
	struct endpoint metrics_listen;      /* family 0: nowhere */
	char public_origin[CONFIG_HOST_LEN]; /* https://warren.example.org, no slash at its end */
	char admin_socket[CONFIG_SOCKET_LEN];
	enum log_level log_level;
	struct ip_list dns; /* handed to peers */
};

/*
 * field, kind (how it is read, printed and what is allowed: server/proc/config.c), name, default
 * ("" for none; those of data_dir and admin_socket depend on the user), words
 */
#define CONFIG_OPTIONS(X)                                                                                    \
	X(data_dir, PATH, "WARREN_DATA_DIR", "", "directory of the identity, the database and its lock")     \
	X(database_url, SECRET, "WARREN_DATABASE_URL", "", "Postgres to use; none: a private one")           \
	X(listen_port, PORT, "WARREN_LISTEN_PORT", "51820", "UDP port of WireGuard")                         \
	X(workers, WORKERS, "WARREN_WORKERS", "", "threads of the tunnel; none: the CPUs it may run on")     \
	X(endpoint, HOST_PORT, "WARREN_ENDPOINT", "", "what clients connect to; none: found by the routes")  \
	X(pool, POOL, "WARREN_POOL", "10.82.0.0/16", "addresses of the first tenant's peers")                \
	X(uplink, UPLINK, "WARREN_UPLINK", "pasta", "the way out of the inner namespace")                    \
	X(uplink_address, CIDRS, "WARREN_UPLINK_ADDRESS", "", "addresses of a moved-in uplink")              \
	X(uplink_gateway, IPS, "WARREN_UPLINK_GATEWAY", "", "default gateways of a moved-in uplink")         \
	X(http_listen, LISTEN, "WARREN_HTTP_LISTEN", "127.0.0.1:51821", "where the web is served")           \
	X(metrics_listen, LISTEN, "WARREN_METRICS_LISTEN", "", "where figures are served to whoever asks")   \
	X(public_origin, ORIGIN, "WARREN_PUBLIC_ORIGIN", "", "how browsers reach it, if through a proxy")    \
	X(admin_socket, SOCKET_PATH, "WARREN_ADMIN_SOCKET", "", "Unix socket of the command line")           \
	X(log_level, LEVEL, "WARREN_LOG_LEVEL", "info", "how much is logged")                                \
	X(dns, IPS, "WARREN_DNS", "", "resolvers handed to peers")

enum config_option {
#define X(field, ...) CONFIG_##field,
	CONFIG_OPTIONS(X)
#undef X
		CONFIG_COUNT
};

/* The service's own user: HOME of that name makes it the data directory itself. */
#define CONFIG_SERVICE_HOME    "/var/lib/warren"
#define CONFIG_SERVICE_RUNTIME "/run/warren"

/* What went wrong, in a sentence that names option, value (never a secret's) and what is allowed. */
#define CONFIG_ERROR_LEN 1024

/* The defaults alone. */
void config_init(struct config *config);

/*
 * From the environment @env ("NAME=value" strings, NULL-terminated), the file at @path (NULL: none)
 * and the defaults.  -ERR_CONFIG and others: @error says why, @ret is empty.
 */
int config_load(struct config *ret, char *const env[], const char *path,
		char error[CONFIG_ERROR_LEN]) _must_check_;

/* The lines of a file or a CONFIG message alone, over what @config has.  @text is NUL-terminated. */
int config_parse(struct config *config, const char *text, char error[CONFIG_ERROR_LEN]) _must_check_;

/*
 * As lines NAME=value in the order of the table.  @secrets: as they are (for a CONFIG message), else
 * as ***.  Returns the length; -ENOSPC: @len is too small (CONFIG_TEXT_LEN is enough).
 */
#define CONFIG_TEXT_LEN (16 * 1024)
int config_print(const struct config *config, bool secrets, char *out, size_t len) _must_check_;

/* For --help and the man page: every option with its default and its words. */
void config_help(FILE *out);

/* How many workers the tunnel is to have: 1 to CONFIG_WORKERS_MAX. */
unsigned config_workers(const struct config *config);

/* Wipes the secrets. */
void config_done(struct config *config);

/*
 * Where sockets live: /run/warren if it is the caller's own, else $XDG_RUNTIME_DIR/warren, else
 * DATA_DIR/run.  Both programs ask here, so that `warren` finds `warrend`.
 */
int config_runtime_dir(char out[CONFIG_PATH_LEN], const char *data_dir, char *const env[]) _must_check_;

#endif
