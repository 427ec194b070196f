/*
 * Whatever comes in (a descriptor, a timer, a request) is followed by tunnel_settle(): handshake messages
 * leave together, workers get what they were told, what no reader can still see is forgotten, and the timer
 * is set to the device's next deadline.
 *
 * Handshakes are not to take the workers' time: this thread asks for less of the CPU than they.  CONTROL_NICE
 * leaves it a tenth of a CPU that a worker wants too (weights of 110 and 1,024): the rekeys of 100,000 peers,
 * and no more of a flood; an idle CPU it has for itself.
 */
#include "server/tunnel/tunnel.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/checksum.h"
#include "server/tunnel/netlink.h"
#include "server/tunnel/tunnel_state.h"

#define ROUTES_PAUSE SECONDS(1) /* sources are forgotten at most that often */
#define CONTROL_NICE 10

struct wg_now
tunnel_now(void *ctx)
{
	return (struct wg_now){.boot = clock_boottime(), .wall = clock_wall()};
}

static void
random_fill(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		const ssize_t n = getrandom(p, MIN(len, (size_t)256), 0);

		if (n < 0 && errno != EINTR)
			abort(); /* no kernel that has the call fails it */
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

/* Effects. */

static void
source_dead(void *ctx, struct wg_peer_id peer)
{
	struct tunnel *tunnel = ctx;

	if (tunnel->n_dead_sources < TUNNEL_DEAD_SOURCES)
		tunnel->dead_sources[tunnel->n_dead_sources++] = peer;
}

static void
outbox_empty(struct tunnel *tunnel)
{
	const struct udp udp = port_udp(&tunnel->port, 0);

	outbox_flush(&tunnel->outbox, &udp, &tunnel->ladder, clock_boottime(), source_dead, tunnel);
}

static void
effect_send(void *ctx, const struct wg_datagram *datagram)
{
	struct tunnel *tunnel = ctx;
	const nsec_t now = clock_boottime();

	if (outbox_add(&tunnel->outbox, datagram, now))
		return;
	outbox_empty(tunnel);
	if (!outbox_add(&tunnel->outbox, datagram, now))
		log_debug("handshake message not sent: the socket is full"); /* the timers send another one */
}

static void
effect_order(void *ctx, unsigned worker, struct wg_order *order)
{
	struct worker_order whole = {.type = WORKER_PEER, .peer = *order};

	tunnel_order(ctx, worker, &whole);
	bytes_wipe(&whole, sizeof(whole));
}

static void
effect_changed(void *ctx, struct wg_peer *peer, unsigned what)
{
	struct tunnel *tunnel = ctx;
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	uapi_server_changed(tunnel->server, view.id);
	bytes_wipe(&view, sizeof(view));
}

/* After everything. */

static void
sources_forget(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->n_dead_sources; i++)
		wg_peer_source_clear(tunnel->device, tunnel->dead_sources[i], &tunnel->effects);
	tunnel->n_dead_sources = 0;
}

void
tunnel_settle(void *ctx)
{
	struct tunnel *tunnel = ctx;
	nsec_t deadline, now;

	outbox_empty(tunnel);
	sources_forget(tunnel);
	tunnel_orders_settle(tunnel);
	now = clock_boottime();
	deadline = MIN(wg_deadline(tunnel->device), outbox_deadline(&tunnel->outbox, now));
	loop_timer_set(tunnel->timer, MIN(deadline, tunnel_orders_deadline(tunnel, now)));
}

void
tunnel_step(struct tunnel *tunnel, const struct wg_event *event)
{
	wg_step(tunnel->device, event, tunnel_now(NULL), &tunnel->effects);
}

static void
timer_due(void *arg, nsec_t now)
{
	static const struct wg_event tick = {.type = WG_EVENT_TICK};
	struct tunnel *tunnel = arg;

	tunnel_step(tunnel, &tick);
	tunnel_settle(tunnel);
}

/* Routes. */

static void
routes_due(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;

	tunnel->routes_cleared = now;
	wg_sources_clear(tunnel->device, &tunnel->effects);
	tunnel_settle(tunnel);
}

static void
routes_ready(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;
	struct netlink_heard heard;

	if (netlink_read(fd, NULL, NULL, &heard) < 0)
		return;
	if (heard.routes || heard.overrun)
		loop_timer_set(tunnel->routes_timer, MAX(now, tunnel->routes_cleared + ROUTES_PAUSE));
}

int
tunnel_routes_set(struct tunnel *tunnel, int fd)
{
	loop_io_free(tunnel->routes_io);
	tunnel->routes_io = NULL;
	closep(&tunnel->routes_fd);
	tunnel->routes_fd = fd;
	return loop_io_add(tunnel->loop, fd, EPOLLIN, routes_ready, tunnel, &tunnel->routes_io);
}

/* What there is for the workers. */

static void
rungs_count_now(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;
	const unsigned workers = tunnel->config.workers;
	unsigned queues = UINT_MAX, sockets = UINT_MAX;
	bool steered = true;

	tunnel->counting = false;
	for (unsigned i = 0; i < tunnel->n_domains; i++)
		for (unsigned l = 0; tunnel->domains[i] && l < DOMAIN_LINKS; l++)
			if (tunnel->domains[i]->links[l].n > 0)
				queues = MIN(queues, tunnel->domains[i]->links[l].n);
	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		if (tunnel->port.n[i] > 0) {
			sockets = MIN(sockets, tunnel->port.n[i]);
			steered = steered && tunnel->port.steered[i];
		}
	if (queues != UINT_MAX)
		ladder_probed(&tunnel->ladder, RUNG_TUN_QUEUES, queues >= workers, queues);
	if (sockets == UINT_MAX)
		return;
	ladder_probed(&tunnel->ladder, RUNG_SOCKETS, sockets >= workers, sockets);
	if (sockets > 1)
		ladder_probed(&tunnel->ladder, RUNG_STEERING, steered, 0);
}

void
tunnel_rungs_count(struct tunnel *tunnel)
{
	if (!tunnel->counting)
		tunnel->counting = loop_post(tunnel->loop, rungs_count_now, tunnel) == 0;
}

/* Making and ending it. */

static int
make(struct tunnel *tunnel)
{
	const struct wg_device_config device = {.random.fill = random_fill,
						.workers = tunnel->config.workers};
	int r;

	r = wg_device_new(&device, &tunnel->device);
	if (r == 0)
		r = bell_init(&tunnel->bell);
	if (r == 0)
		r = tunnel_domains_make(tunnel);
	if (r < 0)
		return r;
	tunnel->effects = (struct wg_effects){
		.ctx = tunnel, .send = effect_send, .order = effect_order, .changed = effect_changed};
	tunnel_host_init(tunnel);
	r = uapi_server_new(tunnel->loop, &tunnel->host, tunnel_settle, tunnel, &tunnel->server);
	if (r == 0)
		r = loop_timer_new(tunnel->loop, timer_due, tunnel, &tunnel->timer);
	if (r == 0)
		r = loop_timer_new(tunnel->loop, routes_due, tunnel, &tunnel->routes_timer);
	if (r == 0)
		r = tunnel_workers_make(tunnel);
	return r;
}

int
tunnel_new(struct loop *loop, const struct tunnel_config *config, struct tunnel **ret)
{
	_cleanup_(tunnel_freep) struct tunnel *tunnel = aligned_alloc(64, sizeof(*tunnel));
	int r;

	if (!tunnel)
		return -ENOMEM;
	memset(tunnel, 0, sizeof(*tunnel));
	tunnel->config = *config;
	tunnel->loop = loop;
	tunnel->link_fd = tunnel->routes_fd = tunnel->bell.fd = -1;
	tunnel_orders_init(tunnel);
	checksum_init();
	r = make(tunnel);
	if (r < 0)
		return r;
	*ret = take_ptr(tunnel);
	return 0;
}

/* Workers ring each other: all have stopped before the first is freed. */
void
tunnel_free(struct tunnel *tunnel)
{
	if (!tunnel)
		return;
	uapi_server_free(tunnel->server);
	loop_io_free(tunnel->bell_io);
	loop_io_free(tunnel->routes_io);
	loop_timer_free(tunnel->timer);
	loop_timer_free(tunnel->routes_timer);
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		worker_stop(tunnel->workers[i]);
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		worker_free(tunnel->workers[i]);
	tunnel_orders_done(tunnel);
	tunnel_domains_done(tunnel);
	wg_device_free(tunnel->device);
	port_close(&tunnel->port);
	bell_done(&tunnel->bell);
	closep(&tunnel->routes_fd);
	free(tunnel);
}

void
tunnel_freep(struct tunnel **tunnel)
{
	tunnel_free(*tunnel);
}

/* This thread alone steps back: the workers began before. */
static void
step_back(void)
{
	const id_t self = (id_t)syscall(SYS_gettid);
	int nice;

	errno = 0;
	nice = getpriority(PRIO_PROCESS, self);
	if (errno == 0 && setpriority(PRIO_PROCESS, self, nice + CONTROL_NICE) < 0)
		log_info("handshakes take as much of the CPU as packets do: %s", strerror(errno));
}

int
tunnel_start(struct tunnel *tunnel)
{
	int r;

	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		r = worker_start(tunnel->workers[i]);
		if (r < 0)
			return r;
	}
	step_back();
	tunnel_settle(tunnel);
	return 0;
}

int
tunnel_listen(struct tunnel *tunnel, int fd, const char *name)
{
	struct tunnel_domain *domain;
	int r;

	r = tunnel_domain_get(tunnel, name, &domain);
	if (r == 0)
		r = uapi_server_listen(tunnel->server, fd, tunnel->config.managed ? UAPI_READ : UAPI_ALL,
				       name);
	if (r < 0)
		close(fd);
	return r;
}

int
tunnel_connect(struct tunnel *tunnel, int fd)
{
	return uapi_server_connect(tunnel->server, fd, tunnel->config.managed ? UAPI_CONTROL : UAPI_ALL,
				   NULL);
}

void
tunnel_key_set(struct tunnel *tunnel, const struct private_key *key)
{
	wg_private_key_set(tunnel->device, key, tunnel_now(NULL), &tunnel->effects);
	tunnel_settle(tunnel);
}
