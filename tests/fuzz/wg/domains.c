/*
 * Domains, peers, addresses, limits and accesses that come, change and go, and a table of what should be
 * there: no domain sees another's addresses, walks and counts agree, and what a path was told is what was
 * set.
 */
#include <errno.h>
#include <stdio.h>

#include "server/wg/owner.h"
#include "tests/fuzz/wg/input.h"
#include "tests/unit/wg/rig.h"

#define DOMAINS 4
#define PEERS   12
#define PLACES  8 /* addresses 10.0.0.0/29 */
#define WORKERS 2

struct model {
	struct wg_domain *domain[DOMAINS];
	struct {
		int domain; /* -1: there is none */
		struct wg_peer *peer;
		struct wg_limits limits;
	} peer[PEERS];
	int owner[DOMAINS][PLACES]; /* peer + 1 */
};

static struct public_key
key_of(unsigned peer)
{
	return (struct public_key){{(uint8_t)(peer + 1), 9}};
}

static struct cidr
place_of(unsigned place)
{
	return (struct cidr){.ip = {.family = AF_INET, .addr = {10, 0, 0, (uint8_t)place}}, .len = 32};
}

static struct wg_peer_id
id_of(const struct wg_peer *peer)
{
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	return view.id;
}

static void
peer_gone(struct model *model, unsigned peer)
{
	for (unsigned i = 0; i < DOMAINS; i++)
		for (unsigned k = 0; k < PLACES; k++)
			if (model->owner[i][k] == (int)peer + 1)
				model->owner[i][k] = 0;
	model->peer[peer].domain = -1;
	model->peer[peer].limits = (struct wg_limits){0};
}

static void
domain_turn(struct rig *rig, struct model *model, unsigned domain)
{
	if (!model->domain[domain]) {
		model->domain[domain] = rig_domain(rig);
		return;
	}
	wg_domain_remove(rig->device, model->domain[domain], rig_effects(rig));
	model->domain[domain] = NULL;
	for (unsigned i = 0; i < PEERS; i++)
		if (model->peer[i].domain == (int)domain)
			peer_gone(model, i);
}

static void
peer_add(struct rig *rig, struct model *model, unsigned domain, unsigned peer)
{
	const struct public_key key = key_of(peer);
	struct wg_peer *added = NULL;
	int r;

	if (!model->domain[domain])
		return;
	r = wg_peer_add(rig->device, model->domain[domain], &key, rig_effects(rig), &added);
	check(r == (model->peer[peer].domain >= 0 ? -EEXIST : 0));
	if (r < 0)
		return;
	model->peer[peer].domain = (int)domain;
	model->peer[peer].peer = added;
}

static void
peer_change(struct rig *rig, struct model *model, struct input *in, unsigned peer, unsigned how)
{
	struct wg_peer *it = model->peer[peer].peer;
	struct wg_limits *limits = &model->peer[peer].limits;
	const unsigned domain = (unsigned)model->peer[peer].domain;
	const unsigned place = input_byte(in) % PLACES;
	const struct cidr cidr = place_of(place);

	switch (how) {
	case 0:
		wg_peer_remove(rig->device, it, rig_effects(rig));
		peer_gone(model, peer);
		break;
	case 1:
		check(wg_peer_allow(rig->device, it, &cidr) == 0);
		model->owner[domain][place] = (int)peer + 1;
		break;
	case 2:
		check((wg_peer_disallow(rig->device, it, &cidr) == 0) ==
		      (model->owner[domain][place] == (int)peer + 1));
		if (model->owner[domain][place] == (int)peer + 1)
			model->owner[domain][place] = 0;
		break;
	case 3:
		limits->rate_rx = input_word(in) & 0xffff;
		limits->rate_tx = input_word(in) & 0xffff;
		wg_peer_rate_set(rig->device, it, limits->rate_rx, limits->rate_tx, rig_effects(rig));
		break;
	case 4:
		limits->mtu = (uint16_t)input_word(in);
		wg_peer_mtu_set(rig->device, it, limits->mtu, rig_effects(rig));
		break;
	default:
		wg_peer_access_set(rig->device, it, input_byte(in) % 3, input_byte(in) % 2 ? 1 : 0, rig->now,
				   rig_effects(rig));
		break;
	}
}

static void
domain_check(const struct model *model, unsigned domain)
{
	const struct wg_domain *it = model->domain[domain];
	unsigned n = 0, walked = 0;

	for (unsigned i = 0; i < PEERS; i++)
		n += model->peer[i].domain == (int)domain;
	if (!it) {
		check(n == 0);
		return;
	}
	check(wg_domain_peer_count(it) == n);
	for (struct wg_peer *peer = NULL; (peer = wg_peer_next(it, peer));)
		walked++;
	check(walked == n);
	for (unsigned place = 0; place < PLACES; place++) {
		const struct cidr cidr = place_of(place);
		const struct wg_peer_id found = allowedips_lookup4(wg_domain_allowed(it), cidr.ip.addr);
		const int owner = model->owner[domain][place];

		if (owner)
			check(wg_peer_id_equal(found, id_of(model->peer[owner - 1].peer)));
		else
			check(found.serial == 0);
	}
}

static void
peer_check(const struct rig *rig, const struct model *model, unsigned peer)
{
	const struct public_key key = key_of(peer);
	const struct wg_peer *found = wg_peer_find(rig->device, &key);
	const struct wg_limits *limits = &model->peer[peer].limits;
	struct wg_peer_view view;

	if (model->peer[peer].domain < 0) {
		check(!found);
		return;
	}
	check(found == model->peer[peer].peer);
	wg_peer_view(found, &view);
	check(view.domain == model->domain[model->peer[peer].domain]);
	check(view.limits.rate_rx == limits->rate_rx && view.limits.rate_tx == limits->rate_tx &&
	      view.limits.mtu == limits->mtu);
	check(path_mtu(rig->path[wg_owner(view.id.number, rig->workers)], view.id) == limits->mtu);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct model model = {0};
	struct rig rig;

	rig_init_config(&rig, "gate", &(struct wg_device_config){.workers = WORKERS}, 16);
	for (unsigned i = 0; i < PEERS; i++)
		model.peer[i].domain = -1;
	for (unsigned i = 0; i < 200 && in.left; i++) {
		const uint8_t choice = input_byte(&in);
		const unsigned domain = choice >> 3 & (DOMAINS - 1), peer = input_byte(&in) % PEERS;

		if ((choice & 7) == 7)
			domain_turn(&rig, &model, domain);
		else if ((choice & 7) == 6)
			peer_add(&rig, &model, domain, peer);
		else if (model.peer[peer].domain >= 0)
			peer_change(&rig, &model, &in, peer, choice & 7);
		rig_pump(&rig);
		for (unsigned k = 0; k < DOMAINS; k++)
			domain_check(&model, k);
		for (unsigned k = 0; k < PEERS; k++)
			peer_check(&rig, &model, k);
	}
	rig_done(&rig);
	return 0;
}
