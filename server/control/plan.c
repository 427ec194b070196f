#include "server/control/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

/* Whether @to lets through less than @from in any respect. */
static bool
is_narrower(const struct access *to, const struct access *from)
{
	if (from->state == ACCESS_ACTIVE && to->state != ACCESS_ACTIVE)
		return true;
	if (from->state == ACCESS_QUARANTINED && to->state == ACCESS_CUT)
		return true;
	if (to->end && (!from->end || to->end < from->end))
		return true;
	return !allowed_ips_within(&from->allowed, &to->allowed);
}

static bool
is_equal(const struct access *a, const struct access *b)
{
	return a->state == b->state && a->end == b->end && allowed_ips_equal(&a->allowed, &b->allowed);
}

static bool
may_initiate(const struct wanted_peer *peer, time_t now)
{
	return peer->awaits_initiation && peer->access.state == ACCESS_ACTIVE &&
	       peer->last_endpoint.ip.family && (!peer->access.end || peer->access.end > now);
}

static const struct domain_name first = {WANTED_FIRST_DOMAIN};

static const struct domain_name *
domain_present(const struct tunnel_peer *present)
{
	return *present->domain.text ? &present->domain : &first;
}

static const struct domain_name *
domain_wanted(const struct wanted *wanted, const struct wanted_peer *peer)
{
	const struct wanted_domain *domain = wanted_domain(wanted, peer->tenant);

	return domain ? &domain->domain : NULL;
}

/* Whether that peer is nobody's, or another tenant's than whose it is there. */
static bool
is_stray(const struct wanted *all, const struct wanted_peer *wanted, const struct tunnel_peer *present)
{
	const struct domain_name *domain = wanted ? domain_wanted(all, wanted) : NULL;

	return !domain || (present && !domain_name_equal(domain, domain_present(present)));
}

static enum change
change_of(const struct wanted *all, const struct wanted_peer *wanted, const struct tunnel_peer *present,
	  time_t now)
{
	if (is_stray(all, wanted, present))
		return present ? CHANGE_REMOVE : CHANGE_NONE;
	if (present && is_narrower(&wanted->access, &present->access))
		return CHANGE_NARROW;
	if (!present || !is_equal(&wanted->access, &present->access))
		return wanted->refused ? CHANGE_NONE : CHANGE_GRANT;
	return may_initiate(wanted, now) ? CHANGE_INITIATE : CHANGE_NONE;
}

static void
write_allowed(FILE *out, const struct allowed_ips *allowed)
{
	char text[CIDR_TEXT_LEN];

	fputs("replace_allowed_ips=true\n", out);
	for (size_t i = 0; i < allowed->n; i++) {
		cidr_text(text, &allowed->v[i]);
		fprintf(out, "allowed_ip=%s\n", text);
	}
}

static void
write_access(FILE *out, const struct wanted_peer *wanted, const struct tunnel_peer *present)
{
	const struct access *to = &wanted->access;
	char text[ENDPOINT_TEXT_LEN];

	if (present)
		fputs("update_only=true\n", out);
	if (!present || present->access.state != to->state)
		fprintf(out, "warren_state=%s\n", access_word(to->state));
	if (!present || present->access.end != to->end)
		fprintf(out, "warren_end=%lld\n", (long long)to->end);
	if (!present && wanted->last_endpoint.ip.family) {
		endpoint_text(text, &wanted->last_endpoint);
		fprintf(out, "endpoint=%s\n", text);
	}
	if (!present || !allowed_ips_equal(&present->access.allowed, &to->allowed))
		write_allowed(out, &to->allowed);
}

static void
write_key(FILE *out, const struct public_key *key)
{
	char text[KEY_HEX_LEN];

	hex_encode(text, key->b, KEY_LEN);
	fprintf(out, "public_key=%s\n", text);
}

struct step_writer {
	FILE *out;
	const struct wanted *wanted;
	const struct tunnel_state *present;
	struct plan_step *step;
	struct domain_name domain; /* of what was written last */
	size_t initiations;        /* left */
	time_t now;
};

/* Where none is named the first is meant, so that a gateway of one tenant says nothing of domains. */
static void
write_domain(struct step_writer *writer, const struct domain_name *domain)
{
	if (domain_name_equal(&writer->domain, domain))
		return;
	fprintf(writer->out, "warren_domain=%s\n", domain->text);
	writer->domain = *domain;
}

static bool
domain_is_wanted(const struct wanted *wanted, const struct domain_name *domain)
{
	for (size_t i = 0; i < wanted->n_domains; i++)
		if (domain_name_equal(&wanted->domains[i].domain, domain))
			return true;
	return false;
}

/* Those whose tenant is gone; by now without peers. */
static void
write_domains(struct step_writer *writer, size_t max)
{
	for (size_t i = 0; i < writer->present->n_domains && writer->step->n < max; i++) {
		const struct domain_name *domain = &writer->present->domains[i];

		if (domain_is_wanted(writer->wanted, domain))
			continue;
		write_domain(writer, domain);
		fputs("warren_remove_domain=true\n", writer->out);
		writer->step->told[writer->step->n++] = (struct told){.domain = *domain};
	}
}

static int
write_peer(struct step_writer *writer, const struct wanted_peer *wanted, const struct tunnel_peer *present)
{
	struct told *told = &writer->step->told[writer->step->n];
	int r;

	assert(wanted || present);
	*told = (struct told){.key = wanted ? wanted->key : present->key};
	told->domain = present ? *domain_present(present) : *domain_wanted(writer->wanted, wanted);
	write_domain(writer, &told->domain);
	write_key(writer->out, &told->key);
	if (is_stray(writer->wanted, wanted, present)) {
		fputs("remove=true\n", writer->out);
		writer->step->n++;
		return 0;
	}
	told->id = wanted->id;
	told->access = (struct access){.state = wanted->access.state, .end = wanted->access.end};
	r = allowed_ips_set(&told->access.allowed, wanted->access.allowed.v, wanted->access.allowed.n);
	if (r < 0)
		return r;
	writer->step->n++;
	write_access(writer->out, wanted, present);
	if (writer->initiations && may_initiate(wanted, writer->now)) {
		fputs("warren_initiate=true\n", writer->out);
		told->initiate = true;
		writer->initiations--;
	}
	return 0;
}

/* -- the queues --------------------------------------------------------------------------------- */

static int
plan_add(struct plan *plan, enum change change, const struct public_key *key)
{
	return change == CHANGE_NONE ? 0 : key_list_add(&plan->queues[change].keys, key);
}

static void
queues_empty(struct plan *plan)
{
	for (int i = 0; i < CHANGE_COUNT; i++)
		plan->queues[i].keys.n = plan->queues[i].taken = 0;
}

/* Both lists side by side, by key. */
static int
compare_all(struct plan *plan, const struct wanted *wanted, const struct tunnel_state *present, time_t now)
{
	size_t w = 0, p = 0;
	int r = 0;

	queues_empty(plan);
	while (r == 0 && (w < wanted->n || p < present->n_peers)) {
		const struct wanted_peer *a = w < wanted->n ? wanted->by_key[w] : NULL;
		const struct tunnel_peer *b = p < present->n_peers ? &present->peers[p] : NULL;
		const int order = !a ? 1 : !b ? -1 : memcmp(a->key.b, b->key.b, KEY_LEN);

		if (order > 0)
			a = NULL;
		else
			w++;
		if (order < 0)
			b = NULL;
		else
			p++;
		r = plan_add(plan, change_of(wanted, a, b, now), a ? &a->key : &b->key);
	}
	return r;
}

static enum change
change_of_key(const struct wanted *wanted, const struct tunnel_state *present, const struct public_key *key,
	      time_t now)
{
	return change_of(wanted, wanted_by_key(wanted, key), tunnel_state_peer(present, key), now);
}

static int
compare_touched(struct plan *plan, const struct wanted *wanted, const struct tunnel_state *present,
		time_t now)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wanted->touched.n; i++) {
		const struct public_key *key = &wanted->touched.v[i];

		r = plan_add(plan, change_of_key(wanted, present, key, now), key);
	}
	return r;
}

static int
compare(struct plan *plan, struct wanted *wanted, const struct tunnel_state *present, time_t now)
{
	int r;

	if (wanted->touched_all || !plan->compared) {
		r = compare_all(plan, wanted, present, now);
		plan->domains_compared = false;
	} else {
		r = compare_touched(plan, wanted, present, now);
	}
	plan->compared = r == 0;
	wanted->touched_all = false;
	wanted->touched.n = 0;
	return r;
}

/* Those of the queue of @change that still are of that kind. */
static int
write_changes(struct step_writer *writer, struct plan *plan, enum change change, size_t max)
{
	const struct key_list *keys = &plan->queues[change].keys;
	size_t *taken = &plan->queues[change].taken;
	int r = 0;

	for (; r == 0 && *taken < keys->n && writer->step->n < max; (*taken)++) {
		const struct public_key *key = &keys->v[*taken];
		const enum change now = change_of_key(writer->wanted, writer->present, key, writer->now);

		if (now == CHANGE_INITIATE && change == CHANGE_INITIATE && !writer->initiations)
			return 0;
		if (now == change)
			r = write_peer(writer, wanted_by_key(writer->wanted, key),
				       tunnel_state_peer(writer->present, key));
		else
			r = plan_add(plan, now, key);
	}
	if (*taken == keys->n)
		plan->queues[change].keys.n = *taken = 0;
	return r;
}

/* Something that was taken from a queue of a later kind may turn out to be of an earlier one. */
static int
write_step(struct step_writer *writer, struct plan *plan, size_t max)
{
	for (enum change change = CHANGE_REMOVE; change < CHANGE_COUNT; change++) {
		int r = 0;

		if (change == CHANGE_REMOVE_DOMAIN && !plan->domains_compared) {
			write_domains(writer, max);
			plan->domains_compared = writer->step->n == 0;
		} else if (change != CHANGE_REMOVE_DOMAIN) {
			r = write_changes(writer, plan, change, max);
		}
		if (r < 0)
			return r;
		if (writer->step->n) {
			writer->step->change = change;
			return 0;
		}
	}
	return 0;
}

static bool
is_waiting(const struct plan *plan)
{
	for (enum change change = CHANGE_REMOVE; change < CHANGE_INITIATE; change++)
		if (plan->queues[change].taken < plan->queues[change].keys.n)
			return true;
	return false;
}

int
plan_next(struct plan *plan, struct wanted *wanted, const struct tunnel_state *present,
	  const struct plan_limits *limits, struct plan_step *ret)
{
	struct step_writer writer = {.wanted = wanted,
				     .present = present,
				     .step = ret,
				     .domain = first,
				     .initiations = limits->initiations,
				     .now = limits->now};
	int r;

	*ret = (struct plan_step){.change = CHANGE_NONE};
	writer.out = open_memstream(&ret->text, &ret->len);
	if (!writer.out)
		return -ENOMEM;
	fputs("set=1\n", writer.out);
	r = compare(plan, wanted, present, limits->now);
	do {
		if (r == 0)
			r = write_step(&writer, plan, MIN(limits->peers, PLAN_PEERS_MAX));
	} while (r == 0 && ret->n == 0 && is_waiting(plan));
	fputs("\n", writer.out);
	if (fclose(writer.out) != 0 && r == 0)
		r = -ENOMEM;
	if (r < 0)
		plan_stale(plan);
	return r;
}

void
plan_stale(struct plan *plan)
{
	plan->compared = false;
}

void
plan_done(struct plan *plan)
{
	for (int i = 0; i < CHANGE_COUNT; i++)
		key_list_done(&plan->queues[i].keys);
	*plan = (struct plan){0};
}

void
plan_step_done(struct plan_step *step)
{
	for (size_t i = 0; i < step->n; i++)
		allowed_ips_done(&step->told[i].access.allowed);
	free(step->text);
	step->text = NULL;
	step->n = step->len = 0;
	step->change = CHANGE_NONE;
}

/*
 * An allowed IP that moves is nobody else's by now: who had it was narrowed in an earlier step, or is in this
 * one.
 */
int
plan_step_applied(struct plan_step *step, struct wanted *wanted, struct tunnel_state *present)
{
	for (size_t i = 0; i < step->n; i++) {
		struct told *told = &step->told[i];
		struct wanted_peer *peer = wanted_by_key(wanted, &told->key);
		struct tunnel_peer *has;

		if (step->change != CHANGE_REMOVE_DOMAIN && key_list_add(&wanted->touched, &told->key) < 0)
			wanted->touched_all = true;
		if (step->change == CHANGE_REMOVE) {
			tunnel_state_remove(present, &told->key);
			continue;
		}
		if (step->change == CHANGE_REMOVE_DOMAIN) {
			tunnel_state_remove_domain(present, &told->domain);
			continue;
		}
		has = tunnel_state_ensure(present, &told->key);
		if (!has || tunnel_state_domain(present, &told->domain) < 0)
			return -ENOMEM;
		has->domain = told->domain;
		allowed_ips_done(&has->access.allowed);
		has->access = told->access;
		told->access.allowed = (struct allowed_ips){0};
		if (peer && told->initiate)
			peer->awaits_initiation = false;
	}
	return 0;
}

size_t
plan_mark_recent(struct wanted *wanted, const struct tunnel_state *present, time_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < wanted->n; i++) {
		struct wanted_peer *peer = &wanted->v[i];

		peer->awaits_initiation = peer->last_handshake_at > 0 &&
					  now - peer->last_handshake_at < RECENT_SECONDS &&
					  !tunnel_state_peer(present, &peer->key);
		n += peer->awaits_initiation;
	}
	return n;
}
