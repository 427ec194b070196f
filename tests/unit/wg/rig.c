#include "tests/unit/wg/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/wg/owner.h"
#include "tests/unit/wg/oracle.h"

struct rig_order {
	struct rig_order *next;
	unsigned worker;
	struct wg_order order;
};

/* Grows an array by one and returns the new, zeroed item. */
#define box_add(box, n, max)                                                                                 \
	({                                                                                                   \
		if ((n) == (max)) {                                                                          \
			(max) = (max) ? 2 * (max) : 16;                                                      \
			(box) = realloc((box), (max) * sizeof(*(box)));                                      \
			assert_non_null(box);                                                                \
		}                                                                                            \
		memset(&(box)[n], 0, sizeof(*(box)));                                                        \
		&(box)[(n)++];                                                                               \
	})

static void *
copy_of(const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, data, len);
	return copy;
}

/* xorshift64*: a test's randomness is its seed. */
static void
random_fill(void *ctx, void *buf, size_t len)
{
	struct rig *rig = ctx;
	uint8_t *p = buf;

	if (rig->ephemeral && len == 32) {
		memcpy(buf, rig->ephemeral, 32);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		rig->random ^= rig->random >> 12;
		rig->random ^= rig->random << 25;
		rig->random ^= rig->random >> 27;
		p[i] = (uint8_t)((rig->random * 0x2545f4914f6cdd1dULL) >> 56);
	}
}

/* The session that a data message belongs to: the newest whose key opens it. */
static struct rig_session *
session_of(struct rig *rig, const uint8_t *message, size_t len)
{
	const uint32_t index = le32_load(message + 4);
	uint8_t *plain = malloc(len);
	struct rig_session *found = NULL;

	for (size_t i = rig->n_sessions; i-- > 0 && !found;) {
		struct rig_session *session = &rig->sessions[i];

		if (session->remote_index == index &&
		    oracle_aead_open(plain, session->sending, le64_load(message + 8), message + 16, len - 16,
				     NULL, 0))
			found = session;
	}
	free(plain);
	return found;
}

/* The rules of 4.1 and 4.2 that hold for every data message, whatever the test. */
static void
check_data(struct rig *rig, const uint8_t *data, size_t len, uint8_t tos)
{
	struct rig_session *session;
	const uint64_t counter = le64_load(data + 8);

	assert_true(len >= WG_DATA_MIN);
	session = session_of(rig, data, len);
	if (!session)
		fail_msg("a data message of %zu bytes that no session's key opens", len);
	if (counter < session->next)
		fail_msg("counter %llu was used before", (unsigned long long)counter);
	session->next = counter + 1;
	session->sent++;
	assert_true(counter < WG_REJECT_AFTER_MESSAGES);
	if (rig->now.boot - session->birth >= WG_REJECT_AFTER_TIME)
		fail_msg("a session of %lld s was used to send",
			 (long long)((rig->now.boot - session->birth) / SECONDS(1)));
	assert_true(tos <= 3);
}

static void
check_handshake(const struct wg_datagram *datagram)
{
	static const size_t lens[] = {0, WG_INITIATION_LEN, WG_RESPONSE_LEN, WG_COOKIE_REPLY_LEN};
	const uint32_t type = le32_load(datagram->data);

	assert_in_range(type, WG_MSG_INITIATION, WG_MSG_COOKIE);
	assert_int_equal(datagram->len, lens[type]);
	assert_int_equal(datagram->tos, type == WG_MSG_COOKIE ? 0 : WG_TOS_HANDSHAKE);
}

static void
out_add(struct rig *rig, const void *data, size_t len, const struct wg_route *route, uint8_t tos)
{
	struct rig_datagram *out = box_add(rig->out, rig->n_out, rig->max_out);

	assert_true(route->to.ip.family == AF_INET || route->to.ip.family == AF_INET6);
	assert_int_not_equal(route->to.port, 0);
	out->data = copy_of(data, len);
	out->len = len;
	out->route = *route;
	out->tos = tos;
	out->type = le32_load(data);
}

static void
effect_send(void *ctx, const struct wg_datagram *datagram)
{
	check_handshake(datagram);
	out_add(ctx, datagram->data, datagram->len, &datagram->route, datagram->tos);
}

static void
effect_order(void *ctx, unsigned worker, struct wg_order *order)
{
	struct rig *rig = ctx;
	struct rig_order *item = malloc(sizeof(*item));

	assert_non_null(item);
	assert_true(worker < rig->workers);
	assert_in_range(order->type, 0, ARRAY_LEN(rig->ordered) - 1);
	*item = (struct rig_order){.worker = worker, .order = *order};
	*rig->orders_last = item;
	rig->orders_last = &item->next;
	rig->ordered[order->type]++;
	assert_true(order->peer.number < RIG_PEERS);
	if (order->peer.serial != 0)
		assert_int_equal(worker, wg_owner(order->peer.number, rig->workers));
	if (order->type == WG_ORDER_PEER_ADD)
		rig->worker_of[order->peer.number] = (uint8_t)worker;
	if (order->type == WG_ORDER_KEYPAIR_INSTALL) {
		struct rig_session *session;

		rig->sessions = realloc(rig->sessions, (rig->n_sessions + 1) * sizeof(*rig->sessions));
		assert_non_null(rig->sessions);
		session = &rig->sessions[rig->n_sessions++];
		*session = (struct rig_session){
			.local_index = order->install.local_index,
			.remote_index = order->install.remote_index,
			.birth = order->install.birth,
			.initiator = order->install.initiator,
			.peer = order->peer,
		};
		memcpy(session->sending, order->install.sending, 32);
		memcpy(session->receiving, order->install.receiving, 32);
	}
}

static void
effect_changed(void *ctx, struct wg_peer *peer, unsigned what)
{
	struct rig *rig = ctx;
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	if (what & WG_CHANGED_HANDSHAKE) {
		rig->handshakes++;
		assert_true(view.last_handshake != 0);
	}
	if (what & WG_CHANGED_ENDPOINT) {
		rig->endpoints++;
		assert_int_not_equal(view.endpoint.ip.family, 0);
	}
}

const struct wg_effects *
rig_effects(struct rig *rig)
{
	static struct wg_effects effects;

	effects = (struct wg_effects){
		.ctx = rig, .send = effect_send, .order = effect_order, .changed = effect_changed};
	return &effects;
}

void
rig_secret(struct private_key *ret, const char *name)
{
	oracle_hash(ret->b, "static ", 7, name, strlen(name));
}

void
rig_init_at(struct rig *rig, const char *name, const struct wg_device_config *config, uint32_t staged_max,
	    nsec_t wall)
{
	struct wg_device_config own = *config;

	memset(rig, 0, sizeof(*rig));
	rig->workers = config->workers;
	rig->mtu = RIG_MTU;
	rig->now = (struct wg_now){.boot = SECONDS(1), .wall = wall};
	rig->random = 0x9e3779b97f4a7c15ULL;
	for (const char *c = name; *c; c++)
		rig->random = (rig->random ^ (uint8_t)*c) * 0x100000001b3ULL;
	rig->orders_last = &rig->orders;
	rig->worker_of = calloc(1, RIG_PEERS);
	assert_non_null(rig->worker_of);

	own.random = (struct wg_random){.fill = random_fill, .ctx = rig};
	assert_int_equal(wg_device_new(&own, &rig->device), 0);
	assert_int_equal(wg_domain_add(rig->device, &rig->domain), 0);
	for (unsigned i = 0; i < rig->workers; i++) {
		struct path_config path = {.worker = i,
					   .index = wg_index(rig->device),
					   .aead = &rig->aead[i],
					   .staged_max = staged_max};

		aead_sodium_init(&rig->aead[i]);
		assert_int_equal(path_new(&path, &rig->path[i]), 0);
	}
	rig_secret(&rig->secret, name);
	public_key_derive(&rig->public, &rig->secret);
	wg_private_key_set(rig->device, &rig->secret, rig->now, rig_effects(rig));
	rig_event(rig, WG_EVENT_UP);
}

void
rig_init_config(struct rig *rig, const char *name, const struct wg_device_config *config, uint32_t staged_max)
{
	rig_init_at(rig, name, config, staged_max, RIG_WALL + SECONDS(1));
}

void
rig_init(struct rig *rig, const char *name, unsigned workers)
{
	rig_init_config(rig, name, &(struct wg_device_config){.workers = workers}, 0);
}

void
rig_done(struct rig *rig)
{
	rig_empty(rig);
	free(rig->out);
	free(rig->in);
	free(rig->sessions);
	for (struct rig_order *next, *item = rig->orders; item; item = next) {
		next = item->next;
		free(item);
	}
	for (unsigned i = 0; i < rig->workers; i++) {
		path_free(rig->path[i]);
		aead_done(&rig->aead[i]);
	}
	wg_device_free(rig->device);
	free(rig->worker_of);
	memset(rig, 0, sizeof(*rig));
}

struct wg_domain *
rig_domain(struct rig *rig)
{
	struct wg_domain *domain;

	assert_int_equal(wg_domain_add(rig->device, &domain), 0);
	assert_true(wg_domain_number(domain) < WG_DOMAINS_MAX);
	rig_event_in(rig, WG_EVENT_UP, domain);
	return domain;
}

struct wg_peer *
rig_peer(struct rig *rig, const struct public_key *key, const char *allowed, const char *endpoint)
{
	return rig_peer_in(rig, rig->domain, key, allowed, endpoint);
}

struct wg_peer *
rig_peer_in(struct rig *rig, struct wg_domain *domain, const struct public_key *key, const char *allowed,
	    const char *endpoint)
{
	char *list = strdup(allowed), *rest = list, *text;
	struct wg_peer *peer;

	assert_int_equal(wg_peer_add(rig->device, domain, key, rig_effects(rig), &peer), 0);
	while ((text = strsep(&rest, ",")) && *text) {
		struct cidr cidr;

		assert_int_equal(cidr_parse(&cidr, text), 0);
		assert_int_equal(wg_peer_allow(rig->device, peer, &cidr), 0);
	}
	free(list);
	if (endpoint) {
		struct endpoint to;

		assert_int_equal(endpoint_parse(&to, endpoint), 0);
		wg_peer_endpoint_set(rig->device, peer, &to, rig->now, rig_effects(rig));
	}
	rig_pump(rig);
	return peer;
}

/* An order's keys are the path's to wipe. */
static void
order_obey(struct rig *rig, struct rig_order *item)
{
	const bool install = item->order.type == WG_ORDER_KEYPAIR_INSTALL;

	assert_int_equal(path_order(rig->path[item->worker], &item->order, rig->now), 0);
	if (install) {
		assert_true(key_is_zero(item->order.install.sending));
		assert_true(key_is_zero(item->order.install.receiving));
	}
}

static void
flush_send(void *ctx, struct wg_peer_id peer, const struct wg_route *route, struct path_out *out, unsigned n)
{
	struct rig *rig = ctx;

	for (unsigned i = 0; i < n; i++) {
		check_data(rig, out[i].data, out[i].len, out[i].tos);
		out_add(rig, out[i].data, out[i].len, route, out[i].tos);
	}
}

void
rig_pump(struct rig *rig)
{
	for (unsigned round = 0;; round++) {
		bool moved = false;
		struct rig_order *item;

		if (round > 10000)
			fail_msg("device and path keep each other busy");
		while ((item = rig->orders)) {
			rig->orders = item->next;
			if (!rig->orders)
				rig->orders_last = &rig->orders;
			order_obey(rig, item);
			free(item);
			moved = true;
		}
		for (unsigned i = 0; i < rig->workers; i++) {
			struct wg_report reports[8];
			unsigned n;

			path_flush(rig->path[i], rig->now, flush_send, rig);
			n = path_reports(rig->path[i], rig->now, reports, ARRAY_LEN(reports));
			assert_true(n <= ARRAY_LEN(reports));
			for (unsigned k = 0; k < n; k++) {
				const struct wg_event event = {.type = WG_EVENT_REPORT, .report = reports[k]};

				wg_step(rig->device, &event, rig->now, rig_effects(rig));
			}
			moved = moved || n;
		}
		if (!moved && !rig->orders)
			break;
	}
	wg_reclaim(rig->device, wg_epoch(rig->device));
}

void
rig_event(struct rig *rig, enum wg_event_type type)
{
	rig_event_in(rig, type, rig->domain);
}

void
rig_event_in(struct rig *rig, enum wg_event_type type, struct wg_domain *domain)
{
	const struct wg_event event = {.type = type, .domain = domain};

	wg_step(rig->device, &event, rig->now, rig_effects(rig));
	rig_pump(rig);
}

void
arrival_from(struct wg_arrival *ret, const char *from)
{
	memset(ret, 0, sizeof(*ret));
	assert_int_equal(endpoint_parse(&ret->from, from), 0);
}

/* A packet is its peer's domain's. */
static void
check_domain(const struct rig *rig, const struct rig_packet *packet)
{
	struct wg_peer *peer = wg_peer_by_id(rig->device, packet->peer);
	struct wg_peer_view view;

	assert_non_null(peer);
	wg_peer_view(peer, &view);
	assert_int_equal(packet->domain, wg_domain_number(view.domain));
}

/* A data message to the path that owns it; another path must leave it alone first. */
static enum wg_drop
data_arrive(struct rig *rig, uint8_t *data, size_t len, const struct wg_arrival *arrival)
{
	const struct wg_index index = wg_index(rig->device);
	const unsigned owner = index_worker(&index, le32_load(data + 4));
	struct path_in in = {
		.data = data, .len = (uint32_t)len, .arrival = arrival, .plain = data + WG_DATA_HEADER};

	if (owner >= rig->workers) { /* fewer workers than the bits could name */
		path_open(rig->path[0], &in, 1, rig->now);
		assert_int_not_equal(in.drop, WG_DROP_NONE);
		return in.drop;
	}
	if (rig->workers > 1) {
		path_open(rig->path[(owner + 1) % rig->workers], &in, 1, rig->now);
		assert_int_equal(in.drop, WG_DROP_OTHER_WORKER);
	}
	path_open(rig->path[owner], &in, 1, rig->now);
	if (in.drop == WG_DROP_NONE && in.plain_len) {
		struct rig_packet *packet = box_add(rig->in, rig->n_in, rig->max_in);

		assert_true(in.plain_len <= len - WG_DATA_MIN);
		packet->data = copy_of(in.plain, in.plain_len);
		packet->len = in.plain_len;
		packet->quarantined = in.quarantined;
		packet->peer = in.peer;
		packet->domain = in.domain;
		check_domain(rig, packet);
	}
	return in.drop;
}

/* Which drop a step counted, if any. */
static enum wg_drop
step_drop(struct rig *rig, const struct wg_event *event)
{
	uint64_t before[WG_DROP_COUNT];
	enum wg_drop drop = WG_DROP_NONE;

	for (unsigned i = 0; i < WG_DROP_COUNT; i++)
		before[i] = wg_counted(wg_device_counters(rig->device), i);
	wg_step(rig->device, event, rig->now, rig_effects(rig));
	for (unsigned i = 1; i < WG_DROP_COUNT; i++) {
		const uint64_t more = wg_counted(wg_device_counters(rig->device), i) - before[i];

		if (more) {
			assert_int_equal(more, 1); /* one datagram, one reason */
			assert_int_equal(drop, WG_DROP_NONE);
			drop = i;
		}
	}
	return drop;
}

enum wg_drop
rig_arrive(struct rig *rig, const void *data, size_t len, const struct wg_arrival *arrival)
{
	uint8_t *copy = copy_of(data, len); /* exactly as long: reading beyond it is seen */
	enum wg_drop drop = WG_DROP_NONE;

	switch (wg_classify(copy, len, &drop)) {
	case WG_KIND_HANDSHAKE: {
		const struct wg_event event = {
			.type = WG_EVENT_DATAGRAM,
			.datagram = {.data = copy, .len = len, .arrival = *arrival, .loaded = rig->loaded},
		};

		drop = step_drop(rig, &event);
		break;
	}
	case WG_KIND_DATA:
		drop = data_arrive(rig, copy, len, arrival);
		break;
	case WG_KIND_JUNK:
		assert_int_not_equal(drop, WG_DROP_NONE);
		break;
	}
	free(copy);
	rig->received[drop]++;
	rig_pump(rig);
	return drop;
}

enum wg_drop
rig_datagram(struct rig *rig, const void *data, size_t len, const char *from)
{
	struct wg_arrival arrival;

	arrival_from(&arrival, from);
	return rig_arrive(rig, data, len, &arrival);
}

static struct wg_peer_id
peer_for(const struct wg_domain *domain, const uint8_t *packet, size_t len)
{
	if (len >= 20 && packet[0] >> 4 == 4)
		return allowedips_lookup4(wg_domain_allowed(domain), packet + 16);
	assert_true(len >= 40 && packet[0] >> 4 == 6);
	return allowedips_lookup6(wg_domain_allowed(domain), packet + 24);
}

int
rig_packet_from(struct rig *rig, const void *packet, size_t len, bool quarantine)
{
	return rig_packet_in(rig, rig->domain, packet, len, quarantine);
}

int
rig_packet_in(struct rig *rig, struct wg_domain *domain, const void *packet, size_t len, bool quarantine)
{
	const struct wg_peer_id peer = peer_for(domain, packet, len);
	uint8_t *room =
		malloc(path_message_len((uint32_t)len, rig->mtu)); /* exactly: a byte beyond it is seen */
	;
	struct path_out out = {.data = room, .len = (uint32_t)len};
	const struct wg_route *route = NULL;
	int r;

	if (peer.serial == 0) {
		free(room);
		return -WG_DROP_NO_PEER;
	}
	assert_non_null(room);
	memcpy(room + WG_DATA_HEADER, packet, len);
	r = path_seal(rig->path[rig->worker_of[peer.number]], peer, &out, 1, rig->mtu, quarantine, rig->now,
		      &route);
	assert_true(r <= 1);
	if (r == 1) {
		assert_non_null(route);
		check_data(rig, out.data, out.len, out.tos);
		out_add(rig, out.data, out.len, route, out.tos);
	} else if (r < 0) {
		rig->received[-r]++;
	}
	free(room);
	rig_pump(rig);
	return r;
}

int
rig_packet(struct rig *rig, const void *packet, size_t len)
{
	return rig_packet_from(rig, packet, len, false);
}

nsec_t
rig_deadline(const struct rig *rig)
{
	nsec_t deadline = wg_deadline(rig->device);

	for (unsigned i = 0; i < rig->workers; i++)
		deadline = MIN(deadline, path_deadline(rig->path[i]));
	return deadline;
}

void
rig_run_until(struct rig *rig, nsec_t boot)
{
	nsec_t deadline;
	unsigned stuck = 0;

	assert_true(boot >= rig->now.boot);
	while ((deadline = rig_deadline(rig)) <= boot) {
		const nsec_t step = MAX(deadline - rig->now.boot, 0);

		if (step == 0 && ++stuck > 10000)
			fail_msg("the deadline stays in the past");
		if (step)
			stuck = 0;
		rig->now.boot += step;
		rig->now.wall += step;
		rig_event(rig, WG_EVENT_TICK);
	}
	rig->now.wall += boot - rig->now.boot;
	rig->now.boot = boot;
}

void
rig_run(struct rig *rig, nsec_t duration)
{
	rig_run_until(rig, rig->now.boot + duration);
}

void
rig_empty(struct rig *rig)
{
	for (size_t i = 0; i < rig->n_out; i++)
		free(rig->out[i].data);
	for (size_t i = 0; i < rig->n_in; i++)
		free(rig->in[i].data);
	rig->n_out = rig->n_in = 0;
}

const struct rig_datagram *
rig_one(const struct rig *rig, uint32_t type)
{
	assert_int_equal(rig->n_out, 1);
	assert_int_equal(rig->out[0].type, type);
	return &rig->out[0];
}

unsigned
rig_count(const struct rig *rig, uint32_t type)
{
	unsigned n = 0;

	for (size_t i = 0; i < rig->n_out; i++)
		n += rig->out[i].type == type;
	return n;
}

uint64_t
rig_drops(const struct rig *rig, enum wg_drop drop)
{
	uint64_t n = wg_counted(wg_device_counters(rig->device), drop);

	for (unsigned i = 0; i < rig->workers; i++)
		n += wg_counted(path_counters(rig->path[i]), drop);
	return n;
}

size_t
packet4(uint8_t *out, const char *from, const char *to, size_t len, uint64_t id)
{
	struct ip src, dst;

	assert_int_equal(ip_parse(&src, from), 0);
	assert_int_equal(ip_parse(&dst, to), 0);
	assert_true(len >= 28);
	memset(out, 0, len);
	out[0] = 0x45;
	be16_store(out + 2, (uint16_t)len);
	out[8] = 64;
	out[9] = 253;
	memcpy(out + 12, src.addr, 4);
	memcpy(out + 16, dst.addr, 4);
	be64_store(out + 20, id);
	return len;
}

size_t
packet6(uint8_t *out, const char *from, const char *to, size_t len, uint64_t id)
{
	struct ip src, dst;

	assert_int_equal(ip_parse(&src, from), 0);
	assert_int_equal(ip_parse(&dst, to), 0);
	assert_true(len >= 48);
	memset(out, 0, len);
	out[0] = 0x60;
	be16_store(out + 4, (uint16_t)(len - 40));
	out[6] = 253;
	out[7] = 64;
	memcpy(out + 8, src.addr, 16);
	memcpy(out + 24, dst.addr, 16);
	be64_store(out + 40, id);
	return len;
}

uint64_t
packet_id(const uint8_t *packet)
{
	return be64_load(packet + (packet[0] >> 4 == 4 ? 20 : 40));
}
