#include "web/relay.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/log.h"
#include "web/answer.h"

#define ASK_MAX (HEAD_MAX + BODY_MAX)
#define PORTS   65536U

/*
 *   ASK ──► PASS ──► ANSWER ──► LINGER ──► (gone)
 *    └── refused ───────────────▲
 */
#define VISIT_STATES(X) /* state, words, may become */                                                       \
	X(ASK, "asking", BIT(VISIT_PASS) | BIT(VISIT_ANSWER))                                                \
	X(PASS, "passed on", BIT(VISIT_ANSWER))                                                              \
	X(ANSWER, "answered", BIT(VISIT_LINGER))                                                             \
	X(LINGER, "lingering", 0U)

enum visit_state {
#define X(name, words, next) VISIT_##name,
	VISIT_STATES(X)
#undef X
};

static const struct {
	const char *words;
	unsigned next;
} states[] = {
#define X(name, words, next) [VISIT_##name] = {words, next},
	VISIT_STATES(X)
#undef X
};

struct door { /* a listening socket */
	struct relay *relay;
	int fd;
	bool admin, metrics;
	struct loop_io *io;
};
#define DOORS_MAX 8

struct visit {
	struct relay *relay;
	struct visit *next, **link;
	enum visit_state state;
	struct visitor who;
	bool refused; /* at the door */
	char secret[VISIT_SECRET_LEN];
	uint16_t port; /* registered; 0: not */
	int client, server;
	struct loop_io *client_io, *server_io;
	struct loop_timer *timer;
	char *ask; /* ASK_MAX and room for our field */
	size_t ask_len, ask_sent, head_len, body_len;
	char *answer; /* ANSWER_BUFFER */
	size_t answer_len, answer_sent;
	bool server_done;
};

struct relay {
	struct loop *loop;
	uint16_t port;
	size_t n_doors, n_visits[2];
	struct door doors[DOORS_MAX];
	struct visit *visits;
	struct loop_timer *again; /* out of descriptors: accept again then */
	pthread_mutex_t lock;     /* of @ports */
	struct visit *ports[PORTS];
};

/* Who may be there */

static bool
is_member(int fd, gid_t primary)
{
	const struct group *group = getgrnam("warren"); /* the loop's thread alone asks */
	gid_t groups[256];
	socklen_t len = sizeof(groups);

	if (!group)
		return false;
	if (primary == group->gr_gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == group->gr_gid)
			return true;
	return false;
}

bool
relay_lets_in(int fd, uid_t *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof(cred))
		return false;
	*uid = cred.uid;
	return cred.uid == 0 || cred.uid == geteuid() || is_member(fd, cred.gid);
}

static void
register_visit(struct visit *visit, uint16_t port)
{
	pthread_mutex_lock(&visit->relay->lock);
	visit->relay->ports[port] = visit;
	visit->port = port;
	pthread_mutex_unlock(&visit->relay->lock);
}

static void
forget_visit(struct visit *visit)
{
	if (!visit->port)
		return;
	pthread_mutex_lock(&visit->relay->lock);
	visit->relay->ports[visit->port] = NULL;
	visit->port = 0;
	pthread_mutex_unlock(&visit->relay->lock);
}

bool
relay_who(struct relay *relay, uint16_t port, const char *secret, struct visitor *ret)
{
	const struct visit *visit;
	bool known;

	if (strlen(secret) != VISIT_SECRET_LEN - 1)
		return false;
	pthread_mutex_lock(&relay->lock);
	visit = relay->ports[port];
	known = visit && bytes_equal(visit->secret, secret, VISIT_SECRET_LEN);
	if (known)
		*ret = visit->who;
	pthread_mutex_unlock(&relay->lock);
	return known;
}

/* Doors */

static void
doors_tend(struct relay *relay)
{
	for (size_t i = 0; i < relay->n_doors; i++) {
		struct door *door = &relay->doors[i];
		const bool full =
			relay->n_visits[door->admin] >= (door->admin ? VISITS_ADMIN_MAX : VISITS_MAX);

		if (door->io && loop_io_events(door->io, full ? 0 : EPOLLIN) < 0)
			log_error("relay=cannot watch a door");
	}
}

static void
visit_free(struct visit *visit)
{
	struct relay *relay = visit->relay;

	forget_visit(visit);
	loop_io_free(visit->client_io);
	loop_io_free(visit->server_io);
	loop_timer_free(visit->timer);
	closep(&visit->client);
	closep(&visit->server);
	if (visit->link) {
		*visit->link = visit->next;
		if (visit->next)
			visit->next->link = visit->link;
		relay->n_visits[visit->who.admin]--;
	}
	if (visit->ask)
		bytes_wipe(visit->ask, visit->ask_len);
	free(visit->ask);
	free(visit->answer);
	free(visit);
	doors_tend(relay);
}

static void
visit_move(struct visit *visit, enum visit_state next, nsec_t deadline)
{
	assert(states[visit->state].next & BIT(next));
	visit->state = next;
	loop_timer_set(visit->timer, deadline);
}

/* Our answer instead of the library's. */
static void
visit_refuse(struct visit *visit, enum refusal refusal, nsec_t now)
{
	struct answer answer;
	size_t head;

	forget_visit(visit);
	loop_io_free(visit->server_io);
	visit->server_io = NULL;
	closep(&visit->server);
	answer_refusal(&answer, refusal);
	head = answer_head(&answer, visit->answer);
	if (answer.len)
		memcpy(visit->answer + head, answer.body, answer.len);
	visit->answer_len = head + answer.len;
	visit->answer_sent = 0;
	answer_done(&answer);
	visit->server_done = true;
	if (visit->state != VISIT_ANSWER)
		visit_move(visit, VISIT_ANSWER, now + TAKE_LIMIT);
}

/* Answer: what the client takes, and what the library still has.  Negative: the visit is over. */

static int
answer_give(struct visit *visit, nsec_t now)
{
	while (visit->answer_sent < visit->answer_len) {
		const ssize_t n = send(visit->client, visit->answer + visit->answer_sent,
				       visit->answer_len - visit->answer_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return -errno;
		visit->answer_sent += (size_t)n;
		loop_timer_set(visit->timer, now + TAKE_LIMIT);
	}
	visit->answer_sent = visit->answer_len = 0;
	if (!visit->server_done)
		return 0;
	shutdown(visit->client, SHUT_WR);
	visit_move(visit, VISIT_LINGER, now + LINGER_LIMIT);
	return 0;
}

static int
answer_fetch(struct visit *visit, nsec_t now)
{
	const size_t room = ANSWER_BUFFER - visit->answer_len;
	ssize_t n;

	if (!room)
		return 0;
	do
		n = recv(visit->server, visit->answer + visit->answer_len, room, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (visit->state == VISIT_PASS) {
		if (n <= 0) {
			visit_refuse(visit, REFUSAL_INTERNAL, now);
			return 0;
		}
		visit_move(visit, VISIT_ANSWER, now + TAKE_LIMIT);
	}
	if (n <= 0) {
		visit->server_done = true;
		forget_visit(visit);
		loop_io_free(visit->server_io);
		visit->server_io = NULL;
		closep(&visit->server);
		return 0;
	}
	visit->answer_len += (size_t)n;
	return 0;
}

static int
visit_watch(struct visit *visit)
{
	uint32_t client = 0;
	int r = 0;

	if (visit->state == VISIT_ASK || visit->state == VISIT_LINGER)
		client = EPOLLIN;
	if (visit->answer_len > visit->answer_sent)
		client |= EPOLLOUT;
	r = loop_io_events(visit->client_io, client);
	if (r == 0 && visit->server_io)
		r = loop_io_events(visit->server_io,
				   (visit->ask_sent < visit->ask_len ? EPOLLOUT : 0U) |
					   (visit->answer_len < ANSWER_BUFFER ? EPOLLIN : 0U));
	return r;
}

static int
visit_answer(struct visit *visit, nsec_t now)
{
	return visit->state == VISIT_ANSWER ? answer_give(visit, now) : 0;
}

/* Passing on */

static int
ask_send(struct visit *visit)
{
	while (visit->ask_sent < visit->ask_len) {
		const ssize_t n = send(visit->server, visit->ask + visit->ask_sent,
				       visit->ask_len - visit->ask_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return 0; /* it may have answered already: what it said is read, or its end is */
		visit->ask_sent += (size_t)n;
	}
	return 0;
}

static void
on_server(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct visit *visit = arg;
	int r = 0;

	if (events & EPOLLOUT)
		r = ask_send(visit);
	if (r == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = answer_fetch(visit, now);
	if (r == 0)
		r = visit_answer(visit, now);
	if (r == 0)
		r = visit_watch(visit);
	if (r < 0)
		visit_free(visit);
}

/* Our field goes in front of the empty line's CRLF. */
static void
ask_mark(struct visit *visit)
{
	char field[sizeof(VISIT_FIELD) + VISIT_SECRET_LEN + 8];
	const size_t len = (size_t)snprintf(field, sizeof(field), VISIT_FIELD ": %s\r\n", visit->secret);
	char *at = visit->ask + visit->head_len - 2;

	memmove(at + len, at, visit->body_len + 2);
	memcpy(at, field, len);
	visit->ask_len = visit->head_len + len + visit->body_len; /* what came behind the body is dropped */
}

static int
server_connect(struct visit *visit)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in to = own;
	socklen_t len = sizeof(own);
	int r;

	to.sin_port = htons(visit->relay->port);
	visit->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (visit->server < 0 || bind(visit->server, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    getsockname(visit->server, (struct sockaddr *)&own, &len) < 0)
		return -errno;
	register_visit(visit, ntohs(own.sin_port));
	if (connect(visit->server, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return -errno;
	r = loop_io_add(visit->relay->loop, visit->server, EPOLLOUT | EPOLLIN, on_server, visit,
			&visit->server_io);
	return r;
}

static void
visit_pass(struct visit *visit, nsec_t now)
{
	ask_mark(visit);
	visit_move(visit, VISIT_PASS, now + ANSWER_LIMIT);
	if (server_connect(visit) < 0)
		visit_refuse(visit, REFUSAL_INTERNAL, now);
}

/* Asking */

static void
ask_look(struct visit *visit, nsec_t now)
{
	enum refusal refusal;
	struct head head;

	if (!visit->head_len) {
		visit->head_len = guard_length(visit->ask, visit->ask_len, &refusal);
		if (refusal == REFUSAL_NONE && !visit->head_len)
			return;
		if (refusal == REFUSAL_NONE)
			refusal = guard_head(&head, visit->ask, visit->head_len);
		if (refusal == REFUSAL_NONE && head.n_visits)
			refusal = REFUSAL_MALFORMED;
		if (refusal == REFUSAL_NONE && visit->refused)
			refusal = REFUSAL_FORBIDDEN;
		if (refusal != REFUSAL_NONE) {
			visit_refuse(visit, refusal, now);
			return;
		}
		visit->body_len = head.content_length;
	}
	if (visit->ask_len >= visit->head_len + visit->body_len)
		visit_pass(visit, now);
}

/* Negative: the client is gone. */
static int
ask_read(struct visit *visit, nsec_t now)
{
	ssize_t n;

	do
		n = recv(visit->client, visit->ask + visit->ask_len, ASK_MAX - visit->ask_len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	visit->ask_len += (size_t)n;
	ask_look(visit, now);
	return 0;
}

/* What still comes after the answer went out is of no interest; its end is. */
static int
linger(struct visit *visit)
{
	char junk[4096];
	ssize_t n;

	do
		n = recv(visit->client, junk, sizeof(junk), 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 && errno == EAGAIN ? 0 : -ECONNRESET;
}

static void
on_client(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct visit *visit = arg;
	int r = 0;

	if (visit->state == VISIT_LINGER)
		r = linger(visit);
	else if (events & (EPOLLERR | EPOLLHUP))
		r = -ECONNRESET;
	else if (visit->state == VISIT_ASK && (events & EPOLLIN))
		r = ask_read(visit, now);
	if (r == 0)
		r = visit_answer(visit, now);
	if (r == 0)
		r = visit_watch(visit);
	if (r < 0)
		visit_free(visit);
}

static void
on_timer(void *arg, nsec_t now)
{
	struct visit *visit = arg;

	if (visit->state == VISIT_ASK)
		visit_refuse(visit, REFUSAL_TIMEOUT, now);
	else if (visit->state == VISIT_PASS)
		visit_refuse(visit, REFUSAL_INTERNAL, now);
	else {
		visit_free(visit);
		return;
	}
	if (visit_answer(visit, now) < 0 || visit_watch(visit) < 0)
		visit_free(visit);
}

static void
visit_secret(char out[VISIT_SECRET_LEN])
{
	uint8_t bytes[(VISIT_SECRET_LEN - 1) / 2];

	randombytes_buf(bytes, sizeof(bytes));
	hex_encode(out, bytes, sizeof(bytes));
}

static int
visit_begin(struct door *door, int fd, const struct sockaddr *sa, nsec_t now)
{
	struct relay *relay = door->relay;
	struct visit *visit = calloc(1, sizeof(*visit));
	struct endpoint from;
	int r;

	if (!visit) {
		close(fd);
		return -ENOMEM;
	}
	visit->relay = relay;
	visit->client = fd;
	visit->server = -1;
	visit->who = (struct visitor){.admin = door->admin, .metrics = door->metrics, .uid = (uid_t)-1};
	visit->refused = door->admin && !relay_lets_in(fd, &visit->who.uid);
	if (!door->admin && endpoint_from_sockaddr(&from, sa) == 0)
		visit->who.address = from.ip;
	visit_secret(visit->secret);
	visit->ask = malloc(ASK_MAX + sizeof(VISIT_FIELD) + VISIT_SECRET_LEN + 8);
	visit->answer = malloc(ANSWER_BUFFER);
	r = visit->ask && visit->answer ? 0 : -ENOMEM;
	if (r == 0)
		r = loop_timer_new(relay->loop, on_timer, visit, &visit->timer);
	if (r == 0)
		r = loop_io_add(relay->loop, fd, EPOLLIN, on_client, visit, &visit->client_io);
	if (r < 0) {
		visit_free(visit);
		return r;
	}
	visit->next = relay->visits;
	visit->link = &relay->visits;
	if (visit->next)
		visit->next->link = &visit->next;
	relay->visits = visit;
	relay->n_visits[door->admin]++;
	loop_timer_set(visit->timer, now + ASK_LIMIT);
	return 0;
}

static void
on_door(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct door *door = arg;
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	int client;

	client = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client < 0) {
		if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
			return;
		log_error("relay=cannot accept: %s", strerrorname_np(errno));
		if (loop_io_events(door->io, 0) == 0)
			loop_timer_set(door->relay->again, now + SECONDS(1));
		return;
	}
	if (visit_begin(door, client, (struct sockaddr *)&sa, now) < 0)
		log_error("relay=cannot begin a visit: no memory or descriptors");
	doors_tend(door->relay);
}

static void
on_again(void *arg, nsec_t now)
{
	doors_tend(arg);
}

int
relay_new(struct relay **ret, struct loop *loop)
{
	_cleanup_(freep) struct relay *relay = calloc(1, sizeof(*relay));
	int r;

	if (!relay)
		return -ENOMEM;
	relay->loop = loop;
	r = loop_timer_new(loop, on_again, relay, &relay->again);
	if (r < 0)
		return r;
	r = pthread_mutex_init(&relay->lock, NULL);
	if (r) {
		loop_timer_free(relay->again);
		return -r;
	}
	*ret = take_ptr(relay);
	return 0;
}

void
relay_port(struct relay *relay, uint16_t port)
{
	relay->port = port;
}

int
relay_listen(struct relay *relay, int fd, enum door_kind kind)
{
	struct door *door = &relay->doors[relay->n_doors];
	int r;

	if (relay->n_doors == DOORS_MAX) {
		close(fd);
		return -ENOSPC;
	}
	*door = (struct door){
		.relay = relay, .fd = fd, .admin = kind == DOOR_ADMIN, .metrics = kind == DOOR_METRICS};
	r = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (r == 0)
		r = loop_io_add(relay->loop, fd, EPOLLIN, on_door, door, &door->io);
	if (r < 0) {
		close(fd);
		return r;
	}
	relay->n_doors++;
	return 0;
}

void
relay_close(struct relay *relay)
{
	for (size_t i = 0; i < relay->n_doors; i++) {
		loop_io_free(relay->doors[i].io);
		relay->doors[i].io = NULL;
		closep(&relay->doors[i].fd);
	}
	relay->n_doors = 0;
}

void
relay_free(struct relay *relay)
{
	if (!relay)
		return;
	relay_close(relay);
	while (relay->visits)
		visit_free(relay->visits);
	loop_timer_free(relay->again);
	pthread_mutex_destroy(&relay->lock);
	free(relay);
}

void
relay_freep(struct relay **relay)
{
	relay_free(*relay);
}
