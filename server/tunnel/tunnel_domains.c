/*
 * Domains, and what the kernel says of their devices.  Number 0 is there from the start, has the name that
 * is mentioned first, and is what requests mean that name none.
 *
 * A device has a queue for each worker, or fewer: the @i-th is read by one worker, and the workers beyond
 * write through those of others.  Which worker begins depends on the domain, so that devices of one queue are
 * spread over all workers.
 */
#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/netlink.h"
#include "server/tunnel/tunnel_state.h"

struct tunnel_domain *
tunnel_domain_find(const struct tunnel *tunnel, const char *name)
{
	for (unsigned i = 0; i < tunnel->n_domains; i++)
		if (tunnel->domains[i] && strcmp(tunnel->domains[i]->name, name) == 0)
			return tunnel->domains[i];
	return NULL;
}

static void
domain_free(struct tunnel_domain *domain)
{
	if (!domain)
		return;
	for (unsigned i = 0; i < DOMAIN_LINKS; i++) {
		for (unsigned q = 0; q < domain->links[i].n; q++)
			tun_close(&domain->links[i].queues[q]);
		free(domain->links[i].queues);
	}
	free(domain);
}

static int
domain_make(struct tunnel *tunnel, struct tunnel_domain **ret)
{
	struct tunnel_domain *domain = calloc(1, sizeof(*domain));
	int r = domain ? 0 : -ENOMEM;

	for (unsigned i = 0; i < DOMAIN_LINKS && r == 0; i++) {
		domain->links[i].queues = calloc(tunnel->config.workers, sizeof(struct tun));
		r = domain->links[i].queues ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = wg_domain_add(tunnel->device, &domain->wg);
	if (r < 0) {
		domain_free(domain);
		return r;
	}
	domain->shared.number = wg_domain_number(domain->wg);
	domain->shared.serial = ++tunnel->serial;
	domain->shared.allowed = wg_domain_allowed(domain->wg);
	tunnel->domains[domain->shared.number] = domain;
	tunnel->n_domains = MAX(tunnel->n_domains, domain->shared.number + 1);
	*ret = domain;
	return 0;
}

int
tunnel_domain_get(struct tunnel *tunnel, const char *name, struct tunnel_domain **ret)
{
	struct tunnel_domain *domain = tunnel_domain_find(tunnel, name);
	int r;

	if (!domain) {
		if (!uapi_domain_is_name(name))
			return -EINVAL;
		domain = tunnel->domains[0];
		r = domain->name[0] ? domain_make(tunnel, &domain) : 0;
		if (r < 0)
			return r;
		memcpy(domain->name, name, strlen(name));
	}
	*ret = domain;
	return 0;
}

/* Links. */

/* What worker @number does with the queues of the link, if it has @n. */
static void
assign(const struct tunnel *tunnel, const struct tunnel_domain *domain, unsigned n, unsigned number,
       unsigned *queue, bool *reads)
{
	const unsigned place = (number + domain->shared.number) % tunnel->config.workers;

	*queue = n > 0 ? place % n : 0;
	*reads = place < n;
}

static void
lane_order(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link, unsigned number)
{
	struct worker_order order = {
		.type = WORKER_LANE,
		.lane = {.domain = &domain->shared, .link = link, .tun = TUN_NONE},
	};
	unsigned queue;

	assign(tunnel, domain, domain->links[link].n, number, &queue, &order.lane.reads);
	if (domain->links[link].n > 0)
		order.lane.tun = domain->links[link].queues[queue];
	tunnel_order(tunnel, number, &order);
}

/* Only the workers for whom it is another queue now are told. */
static void
lanes_order(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link, unsigned before)
{
	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		unsigned old, now;
		bool read, reads;

		assign(tunnel, domain, before, i, &old, &read);
		assign(tunnel, domain, domain->links[link].n, i, &now, &reads);
		if (before == 0 || old != now || read != reads)
			lane_order(tunnel, domain, link, i);
	}
}

static void
step_link(struct tunnel *tunnel, struct tunnel_domain *domain, bool up)
{
	const struct wg_event event = {.type = up ? WG_EVENT_UP : WG_EVENT_DOWN, .domain = domain->wg};

	domain->up = up;
	tunnel_step(tunnel, &event);
	log_info("domain %s is %s, port %u", domain->name, up ? "up" : "down", tunnel->port.number);
}

/* A domain is up while one of its devices is. */
static void
domain_look(struct tunnel *tunnel, struct tunnel_domain *domain)
{
	const bool up = domain->links[LINK_OPEN].up || domain->links[LINK_QUARANTINE].up;
	int r;

	if (up == domain->up)
		return;
	if (up && !tunnel->config.managed) {
		r = tunnel_sockets_open(tunnel, tunnel->port_wanted);
		if (r < 0) {
			log_error("interface %s stays without sockets: UDP port %u cannot be opened: %s; set "
				  "another one (listen-port), or end the program that holds it, and set the "
				  "link up again",
				  domain->name, tunnel->port_wanted, error_words(r));
			return;
		}
	}
	step_link(tunnel, domain, up);
	if (!up && !tunnel->config.managed)
		tunnel_sockets_close(tunnel);
}

static void
link_set(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link, bool up, unsigned mtu)
{
	domain->links[link].up = up;
	if (mtu)
		atomic_store_explicit(&domain->shared.links[link].mtu, mtu, memory_order_relaxed);
	domain_look(tunnel, domain);
}

static void
link_look(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link)
{
	const struct link *of = &domain->links[link];
	bool up = false;
	unsigned mtu = 0;

	if (of->n == 0)
		return;
	if (of->queues[0].ifindex == 0) /* it is in another namespace: taken for up */
		link_set(tunnel, domain, link, true, 0);
	else if (tun_state(&of->queues[0], &up, &mtu) == 0)
		link_set(tunnel, domain, link, up, mtu);
	/* else it is on its way out: reading will say so */
}

void
tunnel_links_look(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->n_domains; i++)
		for (unsigned l = 0; tunnel->domains[i] && l < DOMAIN_LINKS; l++)
			link_look(tunnel, tunnel->domains[i], l);
}

/* The device went, or another one comes in its place. */
static void
link_drop(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link)
{
	struct link *of = &domain->links[link];
	struct link old = {.n = of->n, .queues = of->queues};
	const unsigned n = of->n;

	of->n = 0;
	of->up = false;
	atomic_store(&domain->shared.links[link].gone, false);
	if (n == 0)
		return;
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		lane_order(tunnel, domain, link, i);
	tunnel_retire(tunnel, &old, NULL);
}

static void
link_gone(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link)
{
	if (domain->links[link].n == 0)
		return;
	log_info("interface %s was deleted", domain->links[link].queues[0].name);
	link_drop(tunnel, domain, link);
	domain_look(tunnel, domain);
	tunnel->config.gone(tunnel->config.ctx);
}

void
tunnel_links_lost(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->n_domains; i++)
		for (unsigned l = 0; tunnel->domains[i] && l < DOMAIN_LINKS; l++)
			if (atomic_load(&tunnel->domains[i]->shared.links[l].gone))
				link_gone(tunnel, tunnel->domains[i], l);
}

/* What netlink says of a link. */
static void
link_heard(void *ctx, const struct netlink_link *heard)
{
	struct tunnel *tunnel = ctx;

	for (unsigned i = 0; i < tunnel->n_domains; i++)
		for (unsigned l = 0; tunnel->domains[i] && l < DOMAIN_LINKS; l++) {
			const struct link *of = &tunnel->domains[i]->links[l];

			if (of->n == 0 || of->queues[0].ifindex != heard->ifindex)
				continue;
			if (heard->gone)
				link_gone(tunnel, tunnel->domains[i], l);
			else
				link_set(tunnel, tunnel->domains[i], l, heard->up, heard->mtu);
			return;
		}
}

static void
links_ready(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;
	struct netlink_heard heard;

	if (netlink_read(fd, link_heard, tunnel, &heard) < 0)
		return;
	if (heard.overrun)
		tunnel_links_look(tunnel);
	tunnel_settle(tunnel);
}

static void
queue_add(struct tunnel *tunnel, struct tunnel_domain *domain, enum domain_link link, const struct tun *tun)
{
	struct link *of = &domain->links[link];
	const unsigned before = of->n;

	of->queues[of->n++] = *tun;
	lanes_order(tunnel, domain, link, before);
	tunnel_rungs_count(tunnel);
}

/* Listening to links began before, so that no change is missed. */
int
tunnel_tun_add(struct tunnel *tunnel, const char *name, enum domain_link link, const struct tun *tun)
{
	struct tunnel_domain *domain;
	struct link *of;
	struct tun given = *tun;
	int r;

	r = tunnel_domain_get(tunnel, name, &domain);
	if (r < 0) {
		tun_close(&given);
		return r;
	}
	of = &domain->links[link];
	if (of->n > 0 &&
	    (of->queues[0].ifindex != tun->ifindex || strcmp(of->queues[0].name, tun->name) != 0))
		link_drop(tunnel, domain, link);
	if (of->n == tunnel->config.workers) {
		log_info("interface %s has more queues than there are workers", tun->name);
		tun_leave_aside(tun);
		tun_close(&given);
		return 0;
	}
	queue_add(tunnel, domain, link, tun);
	link_look(tunnel, domain, link);
	tunnel_settle(tunnel);
	return 0;
}

/* Its peers, its queues, its sockets of requests. */
int
tunnel_domain_remove(struct tunnel *tunnel, const char *name)
{
	struct tunnel_domain *domain = tunnel_domain_find(tunnel, name);
	struct worker_order order = {.type = WORKER_DOMAIN_GONE};

	if (!domain)
		return -ENOENT;
	if (domain->shared.number == 0)
		return -EBUSY;
	uapi_server_forget(tunnel->server, name);
	wg_domain_remove(tunnel->device, domain->wg, &tunnel->effects);
	order.lane.domain = &domain->shared;
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		tunnel_order(tunnel, i, &order);
	for (unsigned l = 0; l < DOMAIN_LINKS; l++)
		tunnel_retire(tunnel, &domain->links[l], NULL);
	for (unsigned l = 0; l < DOMAIN_LINKS; l++)
		free(domain->links[l].queues);
	tunnel->domains[domain->shared.number] = NULL;
	tunnel_retire(tunnel, NULL, domain);
	return 0;
}

int
tunnel_domains_make(struct tunnel *tunnel)
{
	struct tunnel_domain *first;
	int r;

	r = domain_make(tunnel, &first);
	if (r < 0)
		return r;
	tunnel->link_fd = netlink_open(true, false);
	if (tunnel->link_fd < 0)
		return tunnel->link_fd;
	return loop_io_add(tunnel->loop, tunnel->link_fd, EPOLLIN, links_ready, tunnel, &tunnel->link_io);
}

void
tunnel_domains_done(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->n_domains; i++)
		domain_free(tunnel->domains[i]);
	loop_io_free(tunnel->link_io);
	closep(&tunnel->link_fd);
}

bool
tunnel_up(const struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->n_domains; i++)
		if (tunnel->domains[i] && tunnel->domains[i]->up)
			return true;
	return false;
}
