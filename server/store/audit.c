#include "server/store/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/text.h"
#include "server/store/tx.h"

int
tx_actor(struct tx *tx, const struct actor *actor)
{
	char *who, *source, *request;

	if (!text_valid(actor->actor, AUDIT_TEXT_MAX) || !*actor->actor ||
	    !text_valid(actor->source, AUDIT_TEXT_MAX) || !text_valid(actor->request, AUDIT_TEXT_MAX))
		return -EINVAL;
	who = strdup(actor->actor);
	source = strdup(actor->source);
	request = strdup(actor->request);
	if (!who || !source || !request) {
		free(who);
		free(source);
		free(request);
		return -ENOMEM;
	}
	free(tx->actor);
	free(tx->source);
	free(tx->request);
	tx->actor = who;
	tx->source = source;
	tx->request = request;
	return 0;
}

int
audit_ready(const struct tx *tx)
{
	return tx->tenant.v > 0 && tx->actor && tx->n_pending < TX_AUDIT_MAX ? 0 : -EINVAL;
}

static void
pending_done(struct pending *pending)
{
	free(pending->action);
	free(pending->object);
	free(pending->before);
	free(pending->after);
}

void
audit_forget(struct tx *tx)
{
	while (tx->n_pending)
		pending_done(&tx->pending[--tx->n_pending]);
	free(tx->pending);
	tx->pending = NULL;
}

static int
append(struct tx *tx, const struct audit_event *event)
{
	struct pending *all, pending;

	all = realloc(tx->pending, (tx->n_pending + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	tx->pending = all;
	pending = (struct pending){strdup(event->action), strdup(event->object), strdup(event->before),
				   strdup(event->after)};
	if (!pending.action || !pending.object || !pending.before || !pending.after) {
		pending_done(&pending);
		return -ENOMEM;
	}
	all[tx->n_pending++] = pending;
	return 0;
}

int
audit_append(struct tx *tx, const struct audit_event *event)
{
	int r;

	r = audit_ready(tx);
	if (r == 0 &&
	    !(text_valid(event->action, AUDIT_TEXT_MAX) && text_valid(event->object, AUDIT_TEXT_MAX) &&
	      text_valid(event->before, AUDIT_VALUE_MAX) && text_valid(event->after, AUDIT_VALUE_MAX)))
		r = -EINVAL;
	if (r == 0)
		r = append(tx, event);
	/* Whatever kept it from being written down keeps the change from being committed. */
	return r < 0 ? tx_spoil(tx, r) : 0;
}

/* The chain's end, locked: @row's seq and previous are those of the next row, its time is now. */
static int
head_lock(struct tx *tx, struct audit_row *row)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row head = {0};
	uint64_t xid;
	int r;

	tx_params(tx, &params);
	r = tx_query(tx, QUERY_AUDIT_HEAD_LOCK, &params, &result);
	if (r < 0)
		return r;
	if (r == 0)
		return -ERR_NOT_FOUND; /* no such tenant */
	head.result = result;
	row->seq = row_int(&head) + 1;
	if (row_bytes(&head, row->previous, AUDIT_HASH_LEN) != AUDIT_HASH_LEN)
		return -ERR_DATABASE;
	row->at = row_int(&head);
	xid = row_uint(&head);
	if (head.r == 0)
		tx->xid = xid;
	return head.r;
}

static int
row_insert(struct tx *tx, const struct audit_row *row)
{
	struct params params;

	tx_params(tx, &params);
	params_int(&params, row->seq);
	params_int(&params, row->at);
	params_text(&params, row->actor);
	params_text(&params, row->source);
	params_text(&params, row->action);
	params_text(&params, row->object);
	params_text(&params, row->before);
	params_text(&params, row->after);
	params_text(&params, row->request);
	params_bytes(&params, row->previous, AUDIT_HASH_LEN);
	params_bytes(&params, row->hash, AUDIT_HASH_LEN);
	return tx_query(tx, QUERY_AUDIT_INSERT, &params, NULL);
}

static int
head_set(struct tx *tx, int64_t seq, const uint8_t hash[AUDIT_HASH_LEN])
{
	struct params params;
	int r;

	tx_params(tx, &params);
	params_int(&params, seq);
	params_bytes(&params, hash, AUDIT_HASH_LEN);
	r = tx_query(tx, QUERY_AUDIT_HEAD_SET, &params, NULL);
	if (r < 0)
		return r;
	tx->seq = seq;
	memcpy(tx->hash, hash, AUDIT_HASH_LEN);
	return r == 1 ? 0 : -ERR_DATABASE;
}

static int
flush(struct tx *tx)
{
	struct audit_row row = {0};
	int r;

	r = head_lock(tx, &row);
	if (r < 0)
		return r;
	row.actor = tx->actor;
	row.source = tx->source;
	row.request = tx->request;
	for (size_t i = 0; i < tx->n_pending; i++) {
		row.action = tx->pending[i].action;
		row.object = tx->pending[i].object;
		row.before = tx->pending[i].before;
		row.after = tx->pending[i].after;
		audit_digest(tx->tenant, &row, row.hash);
		r = row_insert(tx, &row);
		if (r < 0)
			return r;
		row.seq++;
		memcpy(row.previous, row.hash, AUDIT_HASH_LEN);
	}
	return head_set(tx, row.seq - 1, row.hash);
}

int
audit_flush(struct tx *tx)
{
	int r;

	if (tx->n_pending == 0)
		return 0;
	r = flush(tx);
	if (r < 0)
		return tx_spoil(tx, r);
	audit_forget(tx);
	return 0;
}
