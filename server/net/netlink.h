/*
 * Requests to the kernel's routing over netlink, by libmnl: one at a time, each answered, acknowledged or
 * refused before the next.
 */
#ifndef SERVER_NET_NETLINK_H
#define SERVER_NET_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ip.h"

struct netlink;

int netlink_open(struct netlink **ret) _must_check_;
void netlink_free(struct netlink *nl);
void netlink_freep(struct netlink **nl);

/* A request to fill in and send; its room is for one change. */
struct netlink_request {
	_Alignas(struct nlmsghdr) char room[512];
};

/* Begins a request; @body zeroed bytes of the type's own header (ifinfomsg, ifaddrmsg, rtmsg) are returned.
 */
void *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, size_t body);
struct nlmsghdr *netlink_head(struct netlink_request *request);
void netlink_put_ip(struct netlink_request *request, uint16_t attribute, const struct ip *ip);

/* Sends it and waits for the acknowledgement: 0, or the kernel's errno, negated. */
int netlink_change(struct netlink *nl, struct netlink_request *request) _must_check_;

/*
 * Everything of @type (RTM_GETLINK and so on; @family may be AF_UNSPEC), a message at a time to @fn.  -EINTR:
 * it changed meanwhile, what @fn saw may not fit together: begin anew.
 */
int netlink_dump(struct netlink *nl, uint16_t type, uint8_t family, mnl_cb_t fn, void *arg) _must_check_;

/* Sends @request and gives the one answer to @fn. */
int netlink_ask(struct netlink *nl, struct netlink_request *request, mnl_cb_t fn, void *arg) _must_check_;

/* Attributes into @ret by number, those up to @max; NULL for what is not there.  @offset: the type's own
 * header. */
void netlink_attributes(const struct nlmsghdr *head, size_t offset, const struct nlattr **ret, uint16_t max);
void netlink_nested(const struct nlattr *nest, const struct nlattr **ret, uint16_t max);

/* The address in @attribute; family 0 if there is none or it is not of that family's length. */
struct ip netlink_ip(const struct nlattr *attribute, uint8_t family);

#endif
