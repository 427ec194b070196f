/*
 * Whatever comes in (a descriptor, a timer, a request) is followed by settle(): it gives the rings what
 * waited for room, forgets what no reader can still see, and sets the timer to the device's next deadline.
 */
#include "server/tunnel/tunnel.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/backends.h"
#include "server/tunnel/checksum.h"
#include "server/tunnel/netlink.h"
#include "server/tunnel/tunnel_state.h"

#define DATAGRAMS_A_TURN 64 /* then timers and requests have their turn */
#define ORDER_RETRY      MILLISECONDS(1)
#define ROUTES_PAUSE     SECONDS(1) /* sources are forgotten at most that often */

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
effect_send(void *ctx, const struct wg_datagram *datagram)
{
	struct tunnel *tunnel = ctx;
	bool source_dead;

	outbox_send(&tunnel->outbox, &tunnel->udp, datagram, clock_boottime(), &source_dead);
	if (source_dead && datagram->peer.serial && tunnel->n_dead_sources < TUNNEL_DEAD_SOURCES)
		tunnel->dead_sources[tunnel->n_dead_sources++] = datagram->peer;
}

static bool
order_push(struct tunnel *tunnel, const struct wg_order *order)
{
	struct wg_order *slot = ring_free(worker_orders(tunnel->worker), 0);

	if (!slot)
		return false;
	*slot = *order;
	ring_push(worker_orders(tunnel->worker), 1);
	tunnel->ordered = true;
	return true;
}

/* None may be lost: a peer that was cut off would go on. */
static void
effect_order(void *ctx, unsigned worker, struct wg_order *order)
{
	struct tunnel *tunnel = ctx;
	struct waiting *waiting;

	if (!tunnel->waiting && order_push(tunnel, order))
		return;
	waiting = calloc(1, sizeof(*waiting));
	if (!waiting) {
		log_error("no memory for an order to the worker");
		abort();
	}
	waiting->order = *order;
	*tunnel->waiting_tail = waiting;
	tunnel->waiting_tail = &waiting->next;
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
waiting_push(struct tunnel *tunnel)
{
	while (tunnel->waiting && order_push(tunnel, &tunnel->waiting->order)) {
		struct waiting *waiting = tunnel->waiting;

		tunnel->waiting = waiting->next;
		bytes_wipe(waiting, sizeof(*waiting));
		free(waiting);
	}
	if (!tunnel->waiting)
		tunnel->waiting_tail = &tunnel->waiting;
}

static void
sources_forget(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->n_dead_sources; i++)
		wg_peer_source_clear(tunnel->device, tunnel->dead_sources[i], &tunnel->effects);
	tunnel->n_dead_sources = 0;
}

static void
settle(void *ctx)
{
	struct tunnel *tunnel = ctx;
	uint64_t epoch;
	nsec_t deadline, now;

	sources_forget(tunnel);
	waiting_push(tunnel);
	epoch = wg_epoch(tunnel->device);
	if (!tunnel->waiting) /* an order not given yet may be to forget what is about to be freed */
		worker_epoch_set(tunnel->worker, epoch);
	wg_reclaim(tunnel->device, MIN(epoch, worker_epoch(tunnel->worker)));
	if (tunnel->ordered)
		worker_wake(tunnel->worker);
	tunnel->ordered = false;
	now = clock_boottime();
	deadline = MIN(wg_deadline(tunnel->device), outbox_deadline(&tunnel->outbox, now));
	if (tunnel->waiting)
		deadline = MIN(deadline, now + ORDER_RETRY);
	loop_timer_set(tunnel->timer, deadline);
}

static void
step(struct tunnel *tunnel, const struct wg_event *event)
{
	wg_step(tunnel->device, event, tunnel_now(NULL), &tunnel->effects);
}

static void
step_plain(struct tunnel *tunnel, enum wg_event_type type)
{
	const struct wg_event event = {.type = type, .domain = tunnel->domain};

	step(tunnel, &event);
}

static void
timer_due(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;

	outbox_retry(&tunnel->outbox, &tunnel->udp, now);
	step_plain(tunnel, WG_EVENT_TICK);
	settle(tunnel);
}

/* What the worker says. */

static void
reports_take(struct tunnel *tunnel)
{
	struct ring *ring = worker_reports(tunnel->worker);
	const struct wg_report *report;

	while ((report = ring_front(ring))) {
		const struct wg_event event = {.type = WG_EVENT_REPORT, .report = *report};

		ring_pop(ring);
		step(tunnel, &event);
	}
}

/* False: more of them wait. */
static bool
datagrams_take(struct tunnel *tunnel)
{
	struct ring *ring = worker_datagrams(tunnel->worker);
	const struct worker_datagram *datagram;

	for (unsigned i = 0; i < DATAGRAMS_A_TURN; i++) {
		struct wg_event event = {.type = WG_EVENT_DATAGRAM};

		event.datagram.loaded = wg_load_judge(&tunnel->load, ring_count(ring), clock_boottime());
		datagram = ring_front(ring);
		if (!datagram)
			return true;
		event.datagram.data = datagram->data;
		event.datagram.len = datagram->len;
		event.datagram.arrival = datagram->arrival;
		step(tunnel, &event);
		ring_pop(ring);
	}
	return false;
}

static void datagrams_again(void *arg, nsec_t now);

static void
datagrams_turn(struct tunnel *tunnel)
{
	if (!datagrams_take(tunnel) && !tunnel->again)
		tunnel->again = loop_post(tunnel->loop, datagrams_again, tunnel) == 0;
	settle(tunnel);
}

static void
datagrams_again(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;

	tunnel->again = false;
	datagrams_turn(tunnel);
}

static void
worker_ready(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;

	worker_listen(tunnel->worker);
	reports_take(tunnel);
	if (worker_tun_gone(tunnel->worker)) {
		tunnel->config.gone(tunnel->config.ctx);
		return;
	}
	datagrams_turn(tunnel);
}

/* Sockets. */

static int
udp_hand(struct tunnel *tunnel, const struct udp *udp)
{
	int r;

	worker_pause(tunnel->worker);
	r = worker_udp_set(tunnel->worker, udp);
	worker_resume(tunnel->worker);
	return r;
}

/* The new ones before the old ones are closed; the same port needs no change. */
int
tunnel_sockets_open(struct tunnel *tunnel, uint16_t port)
{
	struct udp udp, old = tunnel->udp;
	int r;

	r = udp_open(&udp, port, tunnel->mark, worker_stats(tunnel->worker));
	if (r < 0)
		return r;
	r = udp_hand(tunnel, &udp);
	if (r < 0) {
		udp_close(&udp);
		return r;
	}
	tunnel->udp = udp;
	tunnel->port = udp.port;
	udp_close(&old);
	return 0;
}

static void
sockets_close(struct tunnel *tunnel)
{
	const struct udp none = UDP_NONE;

	if (udp_hand(tunnel, &none) < 0)
		log_error("sockets cannot be taken from the worker");
	udp_close(&tunnel->udp);
}

/* The link. */

static void
up_set(struct tunnel *tunnel, bool up)
{
	int r;

	if (up == tunnel->up)
		return;
	if (up && !tunnel->config.managed) {
		r = tunnel_sockets_open(tunnel, tunnel->port);
		if (r < 0) {
			log_error("interface %s stays without sockets: UDP port %u cannot be opened: %s; set "
				  "another "
				  "one (listen-port), or end the program that holds it, and set the link up "
				  "again",
				  tunnel->tun.name, tunnel->port, error_words(r));
			return;
		}
	}
	tunnel->up = up;
	step_plain(tunnel, up ? WG_EVENT_UP : WG_EVENT_DOWN);
	log_info("interface %s is %s, port %u", tunnel->tun.name, up ? "up" : "down", tunnel->udp.port);
	if (!up && !tunnel->config.managed)
		sockets_close(tunnel);
}

void
tunnel_link_look(struct tunnel *tunnel)
{
	bool up = false;
	unsigned mtu = 0;

	if (tunnel->tun.fd < 0)
		return;
	if (tunnel->tun.ifindex == 0) { /* it is in another namespace: taken for up */
		up_set(tunnel, true);
		return;
	}
	if (tun_state(&tunnel->tun, &up, &mtu) < 0)
		return; /* it is on its way out: reading will say so */
	worker_mtu_set(tunnel->worker, mtu);
	up_set(tunnel, up);
}

static void
routes_due(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;

	tunnel->routes_cleared = now;
	wg_sources_clear(tunnel->device, &tunnel->effects);
	settle(tunnel);
}

static void
netlink_ready(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;
	struct netlink_heard heard;

	if (netlink_read(fd, tunnel->tun.ifindex, &heard) < 0)
		return;
	if (fd == tunnel->link_fd && (heard.link || heard.overrun))
		tunnel_link_look(tunnel);
	if (fd == tunnel->routes_fd && (heard.routes || heard.overrun))
		loop_timer_set(tunnel->routes_timer, MAX(now, tunnel->routes_cleared + ROUTES_PAUSE));
	settle(tunnel);
	if (fd == tunnel->link_fd && heard.link_gone)
		tunnel->config.gone(tunnel->config.ctx);
}

/* Making and ending it. */

static int
worker_make(struct tunnel *tunnel)
{
	struct worker_config config = {.number = 0,
				       .index = wg_index(tunnel->device),
				       .allowed = wg_domain_allowed(tunnel->domain),
				       .ladder = &tunnel->ladder};
	int r;

	r = aead_choose(&config.aead, tunnel->config.aead, &tunnel->ladder);
	if (r < 0)
		return r;
	tunnel->aead_name = config.aead.name;
	r = worker_new(&config, &tunnel->worker);
	if (r < 0) {
		aead_done(&config.aead);
		return r;
	}
	return loop_io_add(tunnel->loop, worker_event_fd(tunnel->worker), EPOLLIN, worker_ready, tunnel,
			   &tunnel->worker_io);
}

static int
make(struct tunnel *tunnel)
{
	const struct wg_device_config device = {.random.fill = random_fill, .workers = 1};
	int r;

	r = wg_device_new(&device, &tunnel->device);
	if (r == 0)
		r = wg_domain_add(tunnel->device, &tunnel->domain);
	if (r < 0)
		return r;
	tunnel->effects = (struct wg_effects){
		.ctx = tunnel, .send = effect_send, .order = effect_order, .changed = effect_changed};
	tunnel_host_init(tunnel);
	r = uapi_server_new(tunnel->loop, &tunnel->host, settle, tunnel, &tunnel->server);
	if (r == 0)
		r = loop_timer_new(tunnel->loop, timer_due, tunnel, &tunnel->timer);
	if (r == 0)
		r = loop_timer_new(tunnel->loop, routes_due, tunnel, &tunnel->routes_timer);
	if (r == 0)
		r = worker_make(tunnel);
	return r;
}

int
tunnel_new(struct loop *loop, const struct tunnel_config *config, struct tunnel **ret)
{
	_cleanup_(tunnel_freep) struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
	int r;

	if (!tunnel)
		return -ENOMEM;
	tunnel->config = *config;
	tunnel->loop = loop;
	tunnel->tun = (struct tun)TUN_NONE;
	tunnel->udp = (struct udp)UDP_NONE;
	tunnel->link_fd = tunnel->routes_fd = -1;
	tunnel->waiting_tail = &tunnel->waiting;
	checksum_init();
	r = make(tunnel);
	if (r < 0)
		return r;
	*ret = take_ptr(tunnel);
	return 0;
}

void
tunnel_free(struct tunnel *tunnel)
{
	if (!tunnel)
		return;
	uapi_server_free(tunnel->server);
	loop_io_free(tunnel->worker_io);
	loop_io_free(tunnel->link_io);
	loop_io_free(tunnel->routes_io);
	loop_timer_free(tunnel->timer);
	loop_timer_free(tunnel->routes_timer);
	worker_free(tunnel->worker);
	while (tunnel->waiting) {
		struct waiting *waiting = tunnel->waiting;

		tunnel->waiting = waiting->next;
		bytes_wipe(waiting, sizeof(*waiting));
		free(waiting);
	}
	wg_device_free(tunnel->device);
	tun_close(&tunnel->tun);
	udp_close(&tunnel->udp);
	closep(&tunnel->link_fd);
	closep(&tunnel->routes_fd);
	free(tunnel);
}

void
tunnel_freep(struct tunnel **tunnel)
{
	tunnel_free(*tunnel);
}

int
tunnel_start(struct tunnel *tunnel)
{
	const int r = worker_start(tunnel->worker);

	if (r == 0)
		settle(tunnel);
	return r;
}

static int
netlink_set(struct tunnel *tunnel, int fd, int *at, struct loop_io **io)
{
	loop_io_free(*io);
	*io = NULL;
	closep(at);
	*at = fd;
	return loop_io_add(tunnel->loop, fd, EPOLLIN, netlink_ready, tunnel, io);
}

/* Listens to the link before it looks at it, so that no change is missed. */
int
tunnel_tun_set(struct tunnel *tunnel, const struct tun *tun)
{
	struct tun old = tunnel->tun;
	int r, fd;

	worker_pause(tunnel->worker);
	r = worker_tun_set(tunnel->worker, tun);
	worker_resume(tunnel->worker);
	tunnel->tun = *tun;
	tun_close(&old);
	if (r < 0)
		return r;
	fd = netlink_open(true, false);
	if (fd < 0)
		return fd;
	r = netlink_set(tunnel, fd, &tunnel->link_fd, &tunnel->link_io);
	if (r < 0)
		return r;
	tunnel_link_look(tunnel);
	settle(tunnel);
	return 0;
}

int
tunnel_udp_set(struct tunnel *tunnel, enum udp_family family, int fd)
{
	struct udp udp = tunnel->udp;
	int r;

	udp.fd[family] = -1;
	r = udp_adopt(&udp, family, fd, worker_stats(tunnel->worker));
	if (r < 0) {
		close(fd);
		return r;
	}
	r = udp_hand(tunnel, &udp);
	closep(&tunnel->udp.fd[family]);
	tunnel->udp = udp;
	settle(tunnel);
	return r;
}

int
tunnel_routes_set(struct tunnel *tunnel, int fd)
{
	return netlink_set(tunnel, fd, &tunnel->routes_fd, &tunnel->routes_io);
}

int
tunnel_listen(struct tunnel *tunnel, int fd, const char *domain)
{
	struct wg_domain *ignored;
	int r = tunnel->host.domain_get(tunnel, domain, &ignored);

	if (r == 0)
		r = uapi_server_listen(tunnel->server, fd, tunnel->config.managed ? UAPI_READ : UAPI_ALL,
				       domain);

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
	settle(tunnel);
}
