#include "server/store/audit.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/tx.h"

#define AUDIT_LIST_MAX 1000

static void
hash_number(crypto_hash_sha256_state *state, int64_t v)
{
	uint8_t bytes[8];

	be64_store(bytes, (uint64_t)v);
	crypto_hash_sha256_update(state, bytes, sizeof(bytes));
}

static void
hash_text(crypto_hash_sha256_state *state, const char *text)
{
	const size_t len = strlen(text);
	uint8_t bytes[4];

	be32_store(bytes, (uint32_t)len);
	crypto_hash_sha256_update(state, bytes, sizeof(bytes));
	crypto_hash_sha256_update(state, (const uint8_t *)text, len);
}

void
audit_digest(struct tenant_id tenant, const struct audit_row *row, uint8_t ret[AUDIT_HASH_LEN])
{
	static const uint8_t form[] = "warren-audit-1"; /* with its NUL */
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, form, sizeof(form));
	crypto_hash_sha256_update(&state, row->previous, AUDIT_HASH_LEN);
	hash_number(&state, tenant.v);
	hash_number(&state, row->seq);
	hash_number(&state, row->at);
	hash_text(&state, row->actor);
	hash_text(&state, row->source);
	hash_text(&state, row->action);
	hash_text(&state, row->object);
	hash_text(&state, row->before);
	hash_text(&state, row->after);
	hash_text(&state, row->request);
	crypto_hash_sha256_final(&state, ret);
}

static void
audit_row_done(struct audit_row *row)
{
	free(row->actor);
	free(row->source);
	free(row->request);
	free(row->action);
	free(row->object);
	free(row->before);
	free(row->after);
}

void
audit_rows_done(struct audit_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		audit_row_done(&rows->v[i]);
	free(rows->v);
	*rows = (struct audit_rows){0};
}

/* A hash of another length reads as zeroes, which no row has. */
static int
audit_row_read(const PGresult *result, int i, struct audit_row *ret)
{
	struct row row = {.result = result, .i = i};

	ret->seq = row_int(&row);
	ret->at = row_int(&row);
	row_bytes(&row, ret->previous, AUDIT_HASH_LEN);
	row_bytes(&row, ret->hash, AUDIT_HASH_LEN);
	ret->actor = row_dup(&row);
	ret->source = row_dup(&row);
	ret->request = row_dup(&row);
	ret->action = row_dup(&row);
	ret->object = row_dup(&row);
	ret->before = row_dup(&row);
	ret->after = row_dup(&row);
	return row.r;
}

static int
rows_read(struct tx *tx, enum query query, int64_t seq, size_t limit, struct audit_rows *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	_cleanup_(audit_rows_done) struct audit_rows rows = {0};
	struct params params;
	int r;

	tx_params(tx, &params);
	params_int(&params, seq);
	params_int(&params, (int64_t)limit);
	r = tx_query(tx, query, &params, &result);
	if (r <= 0) {
		*ret = rows;
		return r;
	}
	rows.v = calloc((size_t)r, sizeof(*rows.v));
	if (!rows.v)
		return -ENOMEM;
	for (int i = 0, n = r; i < n; i++) {
		rows.n++;
		r = audit_row_read(result, i, &rows.v[i]);
		if (r < 0)
			return r;
	}
	*ret = rows;
	rows = (struct audit_rows){0};
	return 0;
}

int
audit_list(struct tx *tx, int64_t before_seq, size_t limit, struct audit_rows *ret)
{
	int r;

	if (limit == 0 || limit > AUDIT_LIST_MAX)
		return -EINVAL;
	r = audit_flush(tx);
	return r < 0 ? r : rows_read(tx, QUERY_AUDIT_LIST, before_seq, limit, ret);
}

/* A point of the chain: the number of a row and its hash; 0 and zeroes before the first. */
struct link {
	int64_t seq;
	uint8_t hash[AUDIT_HASH_LEN];
};

static bool
link_equal(const struct link *a, const struct link *b)
{
	return a->seq == b->seq && memcmp(a->hash, b->hash, AUDIT_HASH_LEN) == 0;
}

static int
head_get(struct tx *tx, struct link *head)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	int r;

	tx_params(tx, &params);
	r = tx_query(tx, QUERY_AUDIT_HEAD_GET, &params, &result);
	if (r <= 0)
		return r;
	row.result = result;
	head->seq = row_int(&row);
	row_bytes(&row, head->hash, AUDIT_HASH_LEN);
	return row.r;
}

/* Whether the chain goes on soundly from @last with @row, which then is the last. */
static bool
follows(struct link *last, struct tenant_id tenant, const struct audit_row *row)
{
	uint8_t hash[AUDIT_HASH_LEN];

	audit_digest(tenant, row, hash);
	if (row->seq != last->seq + 1 || memcmp(row->previous, last->hash, AUDIT_HASH_LEN) != 0 ||
	    memcmp(row->hash, hash, AUDIT_HASH_LEN) != 0)
		return false;
	last->seq = row->seq;
	memcpy(last->hash, hash, AUDIT_HASH_LEN);
	return true;
}

/* All rows behind @last.  -EBADMSG: the next one is not what it should be. */
static int
walk(struct tx *tx, struct link *last)
{
	for (;;) {
		_cleanup_(audit_rows_done) struct audit_rows page = {0};
		int r;

		r = rows_read(tx, QUERY_AUDIT_CHAIN, last->seq, AUDIT_LIST_MAX, &page);
		if (r < 0 || page.n == 0)
			return r;
		for (size_t i = 0; i < page.n; i++)
			if (!follows(last, tx->tenant, &page.v[i]))
				return -EBADMSG;
	}
}

/*
 * Rows are appended meanwhile.  The head is read after the rows, so it may be ahead of them, and then the
 * rows that it speaks of are there; but it cannot be behind.
 */
static int
walk_to_head(struct tx *tx, struct link *last, struct link *head)
{
	int64_t before;
	int r;

	do {
		before = last->seq;
		r = walk(tx, last);
		if (r == 0)
			r = head_get(tx, head);
		if (r < 0)
			return r;
	} while (head->seq > last->seq && last->seq > before);
	return 0;
}

int
audit_verify(struct tx *tx, int64_t *rows, int64_t *bad)
{
	struct link last = {0}, head = {0};
	int r;

	*rows = *bad = 0;
	r = audit_flush(tx);
	if (r < 0)
		return r;
	r = walk_to_head(tx, &last, &head);
	if (r < 0 && r != -EBADMSG)
		return r;
	*rows = last.seq;
	if (r == 0 && link_equal(&last, &head))
		return 0;
	/* Altered or missing is what comes next; if nothing does, what the head does not vouch for. */
	*bad = r < 0 || head.seq > last.seq ? last.seq + 1
	       : head.seq < last.seq        ? head.seq + 1
					    : MAX(last.seq, 1);
	return -EBADMSG;
}
