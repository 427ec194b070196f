/*
 * The relay between the world and the HTTP library, which can listen neither on Unix nor on IPv6 nor on
 * inherited sockets, and gives every connection a thread.  So connections are accepted here, in the
 * loop; head and body are read whole, within limits of size and time, before a worker is bothered; then
 * the bytes go to the library's loopback port, and its answer comes back, buffered.
 *
 * Who is behind a connection is remembered under its loopback source port and a secret of that visit,
 * which goes along as a field of the head: the port alone would not do, because a connection that another
 * local user made and reset waits in the library's queue while its port is free again.
 */
#ifndef WEB_RELAY_H
#define WEB_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/ip.h"
#include "server/control/control.h" /* with the loop that both live in */
#include "web/guard.h"

#define VISITS_MAX       192         /* at once on TCP, */
#define VISITS_ADMIN_MAX 48          /* and on the admin socket; others wait in the backlog */
#define ASK_LIMIT        SECONDS(10) /* for head and body to come */
#define ANSWER_LIMIT     SECONDS(75) /* for the answer to begin: handlers wait for a handshake up to 50 s */
#define TAKE_LIMIT       SECONDS(30) /* for the client to take some of it */
#define LINGER_LIMIT     SECONDS(1)  /* for the client to close */
#define ANSWER_BUFFER    (1024U * 1024)
#define VISIT_SECRET_LEN 33 /* hexadecimal, with the NUL */

/* Who is there. */
struct visitor {
	bool admin;   /* let in at the admin socket; else TCP */
	bool metrics; /* came in where figures are served */
	uid_t uid;
	struct ip address; /* of TCP */
};

/* What a listening socket is for: the web on TCP; a Unix socket whose clients the kernel names; figures on
 * TCP. */
enum door_kind { DOOR_WEB, DOOR_ADMIN, DOOR_METRICS };

struct relay;

/* @loop is lent. */
int relay_new(struct relay **ret, struct loop *loop) _must_check_;

/* Where the library listens on 127.0.0.1; before the first door. */
void relay_port(struct relay *relay, uint16_t port);

/* When the library has stopped.  Ends all visits. */
void relay_free(struct relay *relay);
void relay_freep(struct relay **relay);

/* Accepts on @fd, a listening socket, which it takes. */
int relay_listen(struct relay *relay, int fd, enum door_kind kind) _must_check_;

/* No new visits; those under way go on. */
void relay_close(struct relay *relay);

/* Whose connection comes from @port with @secret; from any thread.  False: nobody's, refuse it. */
bool relay_who(struct relay *relay, uint16_t port, const char *secret, struct visitor *ret);

/* Root, our own user, and members of group `warren`, by what the kernel says of the other end. */
bool relay_lets_in(int fd, uid_t *uid);

#endif
