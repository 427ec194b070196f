#include "server/net/removal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "server/net/netlink.h"

int
removal_add(struct removal *removal, const char *ifname)
{
	const size_t cap = removal->cap ? removal->cap * 2 : 16;

	if (removal->n == removal->cap) {
		char(*names)[IFNAMSIZ] = reallocarray(removal->names, cap, sizeof(*names));

		if (!names)
			return -ENOMEM;
		removal->names = names;
		removal->cap = cap;
	}
	text_copy(removal->names[removal->n++], IFNAMSIZ, ifname);
	return 0;
}

void
removal_done(struct removal *removal)
{
	free(removal->names);
	*removal = (struct removal){0};
}

static int
group_join(struct netlink *nl, const char *ifname)
{
	struct netlink_request request;
	int r;

	(void)netlink_begin(&request, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(netlink_head(&request), IFLA_IFNAME, ifname);
	mnl_attr_put_u32(netlink_head(&request), IFLA_GROUP, REMOVAL_GROUP);
	r = netlink_change(nl, &request);
	return r == -ENODEV ? 0 : r;
}

static int
group_delete(struct netlink *nl)
{
	struct netlink_request request;
	int r;

	(void)netlink_begin(&request, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(netlink_head(&request), IFLA_GROUP, REMOVAL_GROUP);
	r = netlink_change(nl, &request);
	return r == -ENODEV ? 0 : r;
}

int
removal_run(const struct removal *removal)
{
	_cleanup_(netlink_freep) struct netlink *nl = NULL;
	int r;

	r = netlink_open(&nl);
	for (size_t i = 0; r == 0 && i < removal->n; i++)
		r = group_join(nl, removal->names[i]);
	return r < 0 ? r : group_delete(nl);
}

pid_t
removal_start(const struct removal *removal, int *ret_fd)
{
	const pid_t pid = fork();
	int fd;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(removal_run(removal) < 0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0) {
		const int r = -errno;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	*ret_fd = fd;
	return pid;
}
