#include "server/net/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define DUMP_BUFFER (32 * 1024) /* the kernel fills no more than that at a time */

struct netlink {
	struct mnl_socket *socket;
	unsigned port;
	uint32_t sequence;
	char buffer[DUMP_BUFFER];
};

int
netlink_open(struct netlink **ret)
{
	_cleanup_(netlink_freep) struct netlink *nl = calloc(1, sizeof(*nl));

	if (!nl)
		return -ENOMEM;
	nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->socket || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	nl->port = mnl_socket_get_portid(nl->socket);
	*ret = take_ptr(nl);
	return 0;
}

void
netlink_free(struct netlink *nl)
{
	if (nl && nl->socket)
		mnl_socket_close(nl->socket);
	free(nl);
}

void
netlink_freep(struct netlink **nl)
{
	netlink_free(*nl);
}

void *
netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, size_t body)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(request->room);

	head->nlmsg_type = type;
	head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return mnl_nlmsg_put_extra_header(head, body);
}

struct nlmsghdr *
netlink_head(struct netlink_request *request)
{
	return (struct nlmsghdr *)request->room;
}

void
netlink_put_ip(struct netlink_request *request, uint16_t attribute, const struct ip *ip)
{
	mnl_attr_put(netlink_head(request), attribute, ip_bits(ip) / 8, ip->addr);
}

/* Until @fn or the kernel says that this was all. */
static int
exchange(struct netlink *nl, struct netlink_request *request, mnl_cb_t fn, void *arg)
{
	struct nlmsghdr *head = netlink_head(request);
	int r = MNL_CB_OK;

	head->nlmsg_seq = ++nl->sequence;
	if (mnl_socket_sendto(nl->socket, head, head->nlmsg_len) < 0)
		return -errno;
	do {
		const ssize_t n = mnl_socket_recvfrom(nl->socket, nl->buffer, sizeof(nl->buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = mnl_cb_run(nl->buffer, (size_t)n, nl->sequence, nl->port, fn, arg);
		if (r < 0)
			return -errno;
	} while (r > MNL_CB_STOP);
	return 0;
}

int
netlink_change(struct netlink *nl, struct netlink_request *request)
{
	netlink_head(request)->nlmsg_flags |= NLM_F_ACK;
	return exchange(nl, request, NULL, NULL);
}

int
netlink_dump(struct netlink *nl, uint16_t type, uint8_t family, mnl_cb_t fn, void *arg)
{
	struct netlink_request request;
	struct rtgenmsg *body = netlink_begin(&request, type, NLM_F_DUMP, sizeof(*body));

	body->rtgen_family = family;
	return exchange(nl, &request, fn, arg);
}

struct answer {
	mnl_cb_t fn;
	void *arg;
};

static int
answer_take(const struct nlmsghdr *head, void *arg)
{
	const struct answer *answer = arg;
	const int r = answer->fn(head, answer->arg);

	return r < 0 ? r : MNL_CB_STOP;
}

int
netlink_ask(struct netlink *nl, struct netlink_request *request, mnl_cb_t fn, void *arg)
{
	struct answer answer = {fn, arg};

	return exchange(nl, request, answer_take, &answer);
}

struct table {
	const struct nlattr **v;
	uint16_t max;
};

static int
table_put(const struct nlattr *attribute, void *arg)
{
	const struct table *table = arg;
	const uint16_t type = mnl_attr_get_type(attribute);

	if (type <= table->max)
		table->v[type] = attribute;
	return MNL_CB_OK;
}

void
netlink_attributes(const struct nlmsghdr *head, size_t offset, const struct nlattr **ret, uint16_t max)
{
	struct table table = {ret, max};

	for (unsigned i = 0; i <= max; i++)
		ret[i] = NULL;
	mnl_attr_parse(head, (unsigned)offset, table_put, &table);
}

void
netlink_nested(const struct nlattr *nest, const struct nlattr **ret, uint16_t max)
{
	struct table table = {ret, max};

	for (unsigned i = 0; i <= max; i++)
		ret[i] = NULL;
	if (nest)
		mnl_attr_parse_nested(nest, table_put, &table);
}

struct ip
netlink_ip(const struct nlattr *attribute, uint8_t family)
{
	struct ip ip = {.family = family};

	if (!attribute || mnl_attr_get_payload_len(attribute) != ip_bits(&ip) / 8)
		return (struct ip){0};
	memcpy(ip.addr, mnl_attr_get_payload(attribute), ip_bits(&ip) / 8);
	return ip;
}
