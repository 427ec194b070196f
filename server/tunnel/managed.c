/*
 * Descriptors may come at any time: before GO, or later, when net made the interface or a sibling was
 * started again.  The same function takes them.
 */
#include "server/tunnel/managed.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "base/secrets.h"
#include "server/proc/child.h"
#include "server/proc/loop.h"
#include "server/tunnel/confine.h"
#include "server/tunnel/tunnel.h"
#include "server/wg/constants.h"

struct managed {
	struct child child;
	struct loop *loop;
	struct loop_io *parent_io;
	struct tunnel *tunnel;
};

static bool
begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static int
take_tun(struct managed *managed, const char *domain, enum domain_link link, int fd)
{
	struct trouble t;
	struct tun tun;
	int r;

	r = tun_adopt(&tun, fd, &t);
	if (r < 0) {
		log_error("%s", t.text);
		close(fd);
		return r;
	}
	log_debug("a queue of interface %s is ours", tun.name);
	return tunnel_tun_add(managed->tunnel, domain, link, &tun);
}

static int
take_socket(struct managed *managed, const char *name, int fd)
{
	if (strcmp(name, MANAGED_UDP4) == 0)
		return tunnel_udp_add(managed->tunnel, UDP4, fd);
	if (strcmp(name, MANAGED_UDP6) == 0)
		return tunnel_udp_add(managed->tunnel, UDP6, fd);
	if (strcmp(name, MANAGED_ROUTES) == 0)
		return tunnel_routes_set(managed->tunnel, fd);
	if (begins(name, MANAGED_UAPI))
		return tunnel_listen(managed->tunnel, fd, name + strlen(MANAGED_UAPI));
	if (begins(name, MANAGED_TUN))
		return take_tun(managed, name + strlen(MANAGED_TUN), LINK_OPEN, fd);
	if (begins(name, MANAGED_QUARANTINE))
		return take_tun(managed, name + strlen(MANAGED_QUARANTINE), LINK_QUARANTINE, fd);
	log_debug("a socket called %s is not for us", name);
	close(fd);
	return 0;
}

static void
take(struct managed *managed, bool channel, const char *name, int fd)
{
	const int r = channel ? tunnel_connect(managed->tunnel, fd) : take_socket(managed, name, fd);

	if (r < 0)
		log_error("%s %s cannot be used: %s", channel ? "channel" : "socket", name, error_words(r));
}

static void
parent_ready(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct managed *managed = arg;
	struct child_event event;
	int r;

	while ((r = child_next(&managed->child, &event)) >= 0) {
		if (event.type == MESSAGE_STOP) {
			loop_stop(managed->loop, 0);
			return;
		}
		take(managed, event.type == MESSAGE_CHANNEL, event.handed.name, event.handed.fd);
	}
	if (r != -EAGAIN)
		loop_stop(managed->loop, r);
}

/* net makes a new one and hands it over, or we are restarted with it: nothing to do without it. */
static void
interface_gone(void *ctx)
{
	log_error("the interface was deleted; waiting for a new one");
}

/* A socket that no worker reads would lose what the kernel puts into it, so there is a worker for each. */
static unsigned
workers_needed(const struct child *child)
{
	unsigned n[UDP_FAMILIES] = {0};

	for (size_t i = 0; i < child->n_sockets; i++)
		if (strcmp(child->sockets[i].name, MANAGED_UDP4) == 0)
			n[UDP4]++;
		else if (strcmp(child->sockets[i].name, MANAGED_UDP6) == 0)
			n[UDP6]++;
	return MIN(MAX(n[UDP4], n[UDP6]), (unsigned)WG_WORKERS_MAX);
}

static int
begin(struct managed *managed)
{
	struct tunnel_config config = {.managed = true, .gone = interface_gone};
	struct child *child = &managed->child;
	struct trouble t;
	unsigned queues;
	int r;

	r = tunnel_environment(&config, &queues, &t);
	if (r < 0) {
		log_error("%s", t.text);
		return r;
	}
	r = loop_new(&managed->loop);
	if (r < 0)
		return r;
	if (child->config.workers)
		config.workers = child->config.workers;
	config.workers = MAX(config.workers, workers_needed(child));
	r = tunnel_new(managed->loop, &config, &managed->tunnel);
	if (r < 0)
		return r;
	if (child->identity)
		tunnel_key_set(managed->tunnel, child->identity);
	child_forget_identity(child);
	for (size_t i = 0; i < child->n_sockets; i++)
		take(managed, false, child->sockets[i].name, take_fd(&child->sockets[i].fd));
	for (size_t i = 0; i < child->n_channels; i++)
		take(managed, true, child->channels[i].name, take_fd(&child->channels[i].fd));
	r = loop_io_add(managed->loop, child->parent, EPOLLIN, parent_ready, managed, &managed->parent_io);
	if (r == 0)
		r = tunnel_start(managed->tunnel);
	if (r == 0)
		r = confine();
	return r;
}

static int
serve(struct managed *managed)
{
	int r;

	r = child_start(&managed->child, MANAGED_ROLE);
	if (r < 0)
		return r;
	log_init("tunnel", managed->child.config.log_level);
	r = begin(managed);
	if (r == 0)
		r = child_ready(&managed->child);
	if (r == 0)
		r = loop_run(managed->loop);
	return r;
}

int
managed_main(void)
{
	static struct managed managed;
	int r;

	log_init("tunnel", LOG_LEVEL_INFO);
	r = process_harden();
	if (r == 0)
		r = serve(&managed);
	if (r < 0)
		log_error("ends: %s", error_words(r));
	tunnel_free(managed.tunnel);
	loop_free(managed.loop);
	child_done(&managed.child);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
