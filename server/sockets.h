/*
 * The sockets of a gateway, each under the name by which children get it: udp4 and udp6 (one for each
 * worker), http, admin, uapi:wg0, routes.
 */
#ifndef SERVER_SOCKETS_H
#define SERVER_SOCKETS_H

#include <net/if.h>

#include "base/cleanup.h"
#include "server/proc/config.h"
#include "server/proc/kept.h"
#include "server/proc/trouble.h"

#define DEVICE "wg0" /* the first tenant's device */

/* Where the Unix sockets are. */
struct socket_paths {
	char admin[CONFIG_PATH_LEN]; /* empty: it was inherited, and is not ours to remove */
	char uapi[CONFIG_PATH_LEN];  /* directory of those of the domains */
	size_t n_domains;
	char (*domains)[IFNAMSIZ]; /* owned */
};

/*
 * UDP, HTTP and routes: inherited where a service manager hands them over, else opened.  The UDP sockets are
 * made up to one for each worker; if a port has more already, there are as many workers (@config says so
 * afterwards).
 */
int sockets_open(struct config *config, char *const env[], struct kept *ret, struct trouble *t) _must_check_;

/* Those with a name in the file system, which sockets_remove() takes away again. */
int sockets_open_unix(const struct config *config, const char *runtime_dir, struct kept *ret,
		      struct socket_paths *paths, struct trouble *t) _must_check_;
void sockets_remove(struct socket_paths *paths);

/*
 * The UAPI socket of the domain @ifname, and the end of it.  -EEXIST: there is one, @fd is not written.  Its
 * name as kept is in @name.
 */
int sockets_domain(struct socket_paths *paths, const char *ifname, char name[MESSAGE_NAME_MAX + 1], int *fd,
		   struct trouble *t) _must_check_;
void sockets_domain_remove(struct socket_paths *paths, const char *ifname, char name[MESSAGE_NAME_MAX + 1]);

#endif
