#include "server/wg/allowedips.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/bytes.h"

/*
 * A node holds a prefix; its children hold longer ones, which begin with it, then a 0 or a 1.  A node
 * whose peer is 0 only joins two children, or is on its way out.  Whatever a reader can come to is
 * complete before it is published, and stays as it was when taken out: a reader inside goes on down.
 */

/* Taken out, and perhaps still under a reader's feet. */
struct retired {
	struct retired *next;
	uint64_t epoch; /* the one that must have passed */
};

struct allowedips_node {
	union { /* the writer's; first, so that what is retired can be freed by it */
		struct {
			struct allowedips_node *next, **link; /* in the peer's list */
		};
		struct retired retired;
	};
	uint64_t high, low;    /* the prefix in host order, zeroes behind; IPv4 in the top half of high */
	_Atomic uint64_t peer; /* serial << 32 | number, 0: none */
	struct allowedips_node *_Atomic child[2];
	uint8_t len;

	/* the writer's */
	bool ip6;
	struct allowedips_node *parent;
};

struct allowedips {
	struct retired retired; /* first, as above */
	struct allowedips_pool *pool;
	struct allowedips_node *_Atomic root[2]; /* IPv4, IPv6 */
	_Atomic uint64_t version;
};

struct allowedips_pool {
	uint32_t count, max;
	uint64_t version; /* the last one that a table was given */
	uint64_t epoch;
	struct retired *retired, **retired_end; /* oldest first */
};

_Static_assert(offsetof(struct allowedips_node, retired) == 0 && offsetof(struct allowedips, retired) == 0,
	       "free() takes what is retired");

/* An address or prefix as two words. */
struct words {
	uint64_t high, low;
};

static inline uint64_t
mask64(unsigned len)
{
	return len == 0 ? 0 : UINT64_MAX << (64 - len);
}

static inline bool
matches(const struct allowedips_node *node, struct words a)
{
	if (node->len <= 64)
		return ((a.high ^ node->high) & mask64(node->len)) == 0;
	return a.high == node->high && ((a.low ^ node->low) & mask64(node->len - 64U)) == 0;
}

static inline unsigned
bit_at(struct words a, unsigned at)
{
	return at < 64 ? a.high >> (63 - at) & 1 : a.low >> (127 - at) & 1;
}

static inline struct allowedips_node *
child_load(struct allowedips_node *const _Atomic *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

static struct wg_peer_id
lookup(const struct allowedips *table, bool ip6, struct words a, unsigned bits)
{
	const struct allowedips_node *node = child_load(&table->root[ip6]);
	uint64_t best = 0;

	while (node && matches(node, a)) {
		const uint64_t peer = atomic_load_explicit(&node->peer, memory_order_relaxed);

		if (peer != 0)
			best = peer;
		if (node->len == bits)
			break;
		node = child_load(&node->child[bit_at(a, node->len)]);
	}
	return (struct wg_peer_id){.number = (uint32_t)best, .serial = (uint32_t)(best >> 32)};
}

struct wg_peer_id
allowedips_lookup4(const struct allowedips *table, const uint8_t addr[4])
{
	return lookup(table, false, (struct words){.high = (uint64_t)be32_load(addr) << 32}, 32);
}

struct wg_peer_id
allowedips_lookup6(const struct allowedips *table, const uint8_t addr[16])
{
	return lookup(table, true, (struct words){.high = be64_load(addr), .low = be64_load(addr + 8)}, 128);
}

uint64_t
allowedips_version(const struct allowedips *table)
{
	return atomic_load_explicit(&table->version, memory_order_acquire);
}

int
allowedips_pool_new(uint32_t max, struct allowedips_pool **ret)
{
	struct allowedips_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->max = max;
	pool->epoch = 1;
	pool->retired_end = &pool->retired;
	*ret = pool;
	return 0;
}

void
allowedips_pool_free(struct allowedips_pool *pool)
{
	if (pool)
		allowedips_reclaim(pool, UINT64_MAX);
	free(pool);
}

/* After the change, so that nobody remembers an old answer under a new version. */
static void
changed(struct allowedips *table)
{
	atomic_store_explicit(&table->version, ++table->pool->version, memory_order_release);
}

int
allowedips_new(struct allowedips_pool *pool, struct allowedips **ret)
{
	struct allowedips *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->pool = pool;
	changed(table);
	*ret = table;
	return 0;
}

/* Bottom up along the parents, so that no prefix list can make us recurse. */
static void
tree_free(struct allowedips_node *node)
{
	while (node) {
		struct allowedips_node *child = child_load(&node->child[0]);
		struct allowedips_node *parent = node->parent;

		if (!child)
			child = child_load(&node->child[1]);
		if (child) {
			node = child;
			continue;
		}
		if (parent)
			atomic_store_explicit(&parent->child[child_load(&parent->child[1]) == node], NULL,
					      memory_order_relaxed);
		free(node);
		node = parent;
	}
}

void
allowedips_free(struct allowedips *table)
{
	if (!table)
		return;
	tree_free(child_load(&table->root[0]));
	tree_free(child_load(&table->root[1]));
	free(table);
}

void
allowedips_freep(struct allowedips **table)
{
	allowedips_free(*table);
}

static void
retire(struct allowedips_pool *pool, struct retired *retired)
{
	*retired = (struct retired){.epoch = pool->epoch + 1};
	*pool->retired_end = retired;
	pool->retired_end = &retired->next;
}

void
allowedips_retire(struct allowedips *table)
{
	assert(!child_load(&table->root[0]) && !child_load(&table->root[1]));
	retire(table->pool, &table->retired);
}

static struct allowedips_node *
node_new(bool ip6, struct words prefix, unsigned len)
{
	struct allowedips_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->ip6 = ip6;
	node->len = (uint8_t)len;
	node->high = prefix.high & mask64(len < 64 ? len : 64);
	node->low = len > 64 ? prefix.low & mask64(len - 64) : 0;
	return node;
}

static void
list_add(struct allowedips_list *list, struct allowedips_node *node)
{
	node->next = list->first;
	node->link = &list->first;
	if (node->next)
		node->next->link = &node->next;
	list->first = node;
}

static void
list_remove(struct allowedips_node *node)
{
	*node->link = node->next;
	if (node->next)
		node->next->link = node->link;
	node->next = NULL;
	node->link = NULL;
}

/* Where the pointer to @node, which has @parent, is kept. */
static struct allowedips_node *_Atomic *
place_of(struct allowedips *table, struct allowedips_node *parent, const struct allowedips_node *node)
{
	if (!parent)
		return &table->root[node->ip6];
	return &parent->child[child_load(&parent->child[1]) == node];
}

/* How many leading bits, of at most @max, are equal. */
static unsigned
common_bits(struct words a, struct words b, unsigned max)
{
	unsigned n = 128;

	if (a.high != b.high)
		n = (unsigned)__builtin_clzll(a.high ^ b.high);
	else if (a.low != b.low)
		n = 64 + (unsigned)__builtin_clzll(a.low ^ b.low);
	return n < max ? n : max;
}

static void
child_set(struct allowedips_node *node, struct allowedips_node *child)
{
	atomic_store_explicit(&node->child[bit_at((struct words){child->high, child->low}, node->len)], child,
			      memory_order_relaxed);
	child->parent = node;
}

static void
publish(struct allowedips_node *_Atomic *at, struct allowedips_node *node)
{
	atomic_store_explicit(at, node, memory_order_release);
}

/*
 * Puts @node, new, into the tree: at an empty place, above a longer prefix, or as the sister of one
 * that branches off, under a joint.  -ENOMEM: there is no joint; nothing has changed.
 */
static int
tree_insert(struct allowedips *table, struct allowedips_node *node)
{
	const struct words prefix = {node->high, node->low};
	struct allowedips_node *_Atomic *at = &table->root[node->ip6];
	struct allowedips_node *parent = NULL, *below, *joint;
	unsigned common;

	while ((below = child_load(at)) && below->len < node->len && matches(below, prefix)) {
		parent = below;
		at = &below->child[bit_at(prefix, below->len)];
	}
	if (!below) {
		node->parent = parent;
		publish(at, node);
		return 0;
	}

	common = common_bits(prefix, (struct words){below->high, below->low}, MIN(node->len, below->len));
	if (common == node->len) {
		child_set(node, below);
		node->parent = parent;
		publish(at, node);
		return 0;
	}
	joint = node_new(node->ip6, prefix, common);
	if (!joint)
		return -ENOMEM;
	child_set(joint, below);
	child_set(joint, node);
	joint->parent = parent;
	publish(at, joint);
	return 0;
}

/* The node of exactly that prefix, which may be a joint, or NULL. */
static struct allowedips_node *
tree_find(struct allowedips *table, bool ip6, struct words prefix, unsigned len)
{
	struct allowedips_node *node = child_load(&table->root[ip6]);

	while (node && node->len < len && matches(node, prefix))
		node = child_load(&node->child[bit_at(prefix, node->len)]);
	return node && node->len == len && matches(node, prefix) ? node : NULL;
}

/* Takes out @node if it has no peer and joins nothing, and then perhaps the joint above it. */
static void
tree_prune(struct allowedips *table, struct allowedips_node *node)
{
	while (node && atomic_load_explicit(&node->peer, memory_order_relaxed) == 0) {
		struct allowedips_node *parent = node->parent;
		struct allowedips_node *zero = child_load(&node->child[0]),
				       *one = child_load(&node->child[1]);

		if (zero && one)
			return;
		if (!zero)
			zero = one;
		publish(place_of(table, parent, node), zero);
		if (zero)
			zero->parent = parent;
		retire(table->pool, &node->retired);
		/* With a child in our place the parent has as many as before. */
		node = zero ? NULL : parent;
	}
}

static int
cidr_words(const struct cidr *cidr, bool *ip6, struct words *ret)
{
	struct words prefix = {0};

	if (cidr->ip.family != AF_INET && cidr->ip.family != AF_INET6)
		return -EINVAL;
	if (cidr->len > ip_bits(&cidr->ip))
		return -EINVAL;
	*ip6 = cidr->ip.family == AF_INET6;
	if (*ip6) {
		prefix.high = be64_load(cidr->ip.addr);
		prefix.low = be64_load(cidr->ip.addr + 8);
	} else {
		prefix.high = (uint64_t)be32_load(cidr->ip.addr) << 32;
	}
	prefix.high &= mask64(cidr->len < 64 ? cidr->len : 64);
	prefix.low &= cidr->len > 64 ? mask64(cidr->len - 64U) : 0;
	*ret = prefix;
	return 0;
}

/* The prefix is there: give it to @peer. */
static void
node_give(struct allowedips *table, struct allowedips_node *node, uint64_t peer, struct allowedips_list *list)
{
	if (node->link)
		list_remove(node);
	else
		table->pool->count++;
	list_add(list, node);
	atomic_store_explicit(&node->peer, peer, memory_order_relaxed);
	changed(table);
}

int
allowedips_insert(struct allowedips *table, const struct cidr *cidr, struct wg_peer_id peer,
		  struct allowedips_list *list)
{
	const uint64_t value = (uint64_t)peer.serial << 32 | peer.number;
	struct allowedips_node *node;
	struct words prefix;
	bool ip6;
	int r;

	r = cidr_words(cidr, &ip6, &prefix);
	if (r < 0)
		return r;
	if (peer.serial == 0)
		return -EINVAL;

	node = tree_find(table, ip6, prefix, cidr->len);
	if (node && atomic_load_explicit(&node->peer, memory_order_relaxed) == value)
		return 0;
	if ((!node || !node->link) && table->pool->count >= table->pool->max)
		return -ENOSPC;
	if (node) {
		node_give(table, node, value, list);
		return 0;
	}

	node = node_new(ip6, prefix, cidr->len);
	if (!node)
		return -ENOMEM;
	atomic_init(&node->peer, value);
	r = tree_insert(table, node);
	if (r < 0) {
		free(node);
		return r;
	}
	list_add(list, node);
	table->pool->count++;
	changed(table);
	return 0;
}

static void
node_remove(struct allowedips *table, struct allowedips_node *node)
{
	list_remove(node);
	table->pool->count--;
	atomic_store_explicit(&node->peer, 0, memory_order_relaxed);
	tree_prune(table, node);
	changed(table);
}

int
allowedips_remove(struct allowedips *table, const struct cidr *cidr, struct allowedips_list *list)
{
	struct allowedips_node *node, *mine;
	struct words prefix;
	bool ip6;

	if (cidr_words(cidr, &ip6, &prefix) < 0)
		return -ENOENT;
	node = tree_find(table, ip6, prefix, cidr->len);
	if (!node || !node->link || !list->first)
		return -ENOENT;
	mine = list->first;
	if (atomic_load_explicit(&node->peer, memory_order_relaxed) !=
	    atomic_load_explicit(&mine->peer, memory_order_relaxed))
		return -ENOENT;
	node_remove(table, node);
	return 0;
}

void
allowedips_remove_all(struct allowedips *table, struct allowedips_list *list)
{
	while (list->first)
		node_remove(table, list->first);
}

const struct allowedips_node *
allowedips_next(const struct allowedips_list *list, const struct allowedips_node *prev)
{
	return prev ? prev->next : list->first;
}

void
allowedips_cidr(const struct allowedips_node *node, struct cidr *ret)
{
	*ret = (struct cidr){.len = node->len};
	if (node->ip6) {
		ret->ip.family = AF_INET6;
		be64_store(ret->ip.addr, node->high);
		be64_store(ret->ip.addr + 8, node->low);
	} else {
		ret->ip.family = AF_INET;
		be32_store(ret->ip.addr, (uint32_t)(node->high >> 32));
	}
}

/* A new epoch begins only if something was taken out in this one. */
uint64_t
allowedips_epoch(struct allowedips_pool *pool)
{
	const struct retired *newest =
		pool->retired ? container_of(pool->retired_end, struct retired, next) : NULL;

	if (newest && newest->epoch > pool->epoch)
		pool->epoch++;
	return pool->epoch;
}

void
allowedips_reclaim(struct allowedips_pool *pool, uint64_t epoch)
{
	while (pool->retired && pool->retired->epoch <= epoch) {
		struct retired *retired = pool->retired;

		pool->retired = retired->next;
		free(retired);
	}
	if (!pool->retired)
		pool->retired_end = &pool->retired;
}
