#include "server/tunnel/mmsg.h"

#include <errno.h>

const struct mmsg_calls mmsg_system = {.sendmmsg = sendmmsg, .sendmsg = sendmsg};

/*
 * EPERM is a firewall's word for this datagram as well as a seccomp filter's for this call: if sendmmsg()
 * never worked and sendmsg() does, it is the filter.
 */
int
mmsg_send(struct ladder *ladder, const struct mmsg_calls *calls, int fd, struct mmsghdr *msgs, unsigned n)
{
	int error = 0;

	if (ladder_get(ladder, RUNG_SENDMMSG) != RUNG_DOWN) {
		const int r = calls->sendmmsg(fd, msgs, n, MSG_DONTWAIT);

		if (r > 0) {
			ladder_worked(ladder, RUNG_SENDMMSG);
			return r;
		}
		error = r < 0 ? errno : EAGAIN;
		if (error != ENOSYS && error != EPERM)
			return -error;
	}
	if (calls->sendmsg(fd, &msgs[0].msg_hdr, MSG_DONTWAIT) < 0)
		return -errno;
	if (error == ENOSYS || (error == EPERM && !ladder_has_worked(ladder, RUNG_SENDMMSG)))
		ladder_lost(ladder, RUNG_SENDMMSG, error);
	return 1;
}
