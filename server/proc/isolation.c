#include "server/proc/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/errors.h"
#include "server/proc/message.h"
#include "server/proc/spawn.h"

#define HOLDER_FD SPAWN_PARENT_FD

static long
sysctl_read(const char *path)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	char text[32], *end;
	long value;

	if (!file || !fgets(text, sizeof(text), file))
		return -1;
	value = strtol(text, &end, 10);
	return end != text ? value : -1;
}

int
namespaces_explain(int err, struct trouble *t)
{
	const char *what = "a user namespace with a network of its own cannot be made";

	if (sysctl_read("/proc/sys/user/max_user_namespaces") == 0)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: their number is limited to 0 (%s); as root: "
			       "sysctl -w user.max_user_namespaces=10000",
			       what, strerror(err));
	if (sysctl_read("/proc/sys/user/max_net_namespaces") == 0)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: network namespaces are limited to 0 (%s); as root: "
			       "sysctl -w user.max_net_namespaces=10000",
			       what, strerror(err));
	if (sysctl_read("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: forbidden to ordinary users (%s); as root: "
			       "sysctl -w kernel.unprivileged_userns_clone=1",
			       what, strerror(err));
	if (sysctl_read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: AppArmor restricts it (%s); as root: give warrend a profile with the "
			       "rule `userns,`, "
			       "or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
			       what, strerror(err));
	if (err == ENOSPC)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: too many of them exist, or they nest too deep (%s); as root: raise "
			       "sysctl user.max_user_namespaces and user.max_net_namespaces",
			       what, strerror(err));
	if (err == EPERM || err == EACCES)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: the system forbids it (%s); inside a container allow it in the "
			       "container's seccomp profile; "
			       "else look for a security module's rule, and at sysctl "
			       "kernel.unprivileged_userns_clone and "
			       "user.max_user_namespaces",
			       what, strerror(err));
	if (err == EINVAL || err == ENOSYS)
		return trouble(t, -ERR_NO_USERNS,
			       "%s: this kernel has none (%s); it needs CONFIG_USER_NS and CONFIG_NET_NS",
			       what, strerror(err));
	return trouble(t, -ERR_NO_USERNS, "%s: %s", what, strerror(err));
}

static int
file_write(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/* The one uid and the one gid, each itself; other ids do not exist inside. */
static int
identity_map(uid_t uid, gid_t gid)
{
	char line[64];
	int r;

	r = file_write("/proc/self/setgroups", "deny");
	if (r < 0)
		return r;
	snprintf(line, sizeof(line), "%u %u 1\n", gid, gid);
	r = file_write("/proc/self/gid_map", line);
	if (r < 0)
		return r;
	snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
	return file_write("/proc/self/uid_map", line);
}

static int
holder_make(struct namespaces *ns)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	int r;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -errno;
	r = identity_map(uid, gid);
	if (r < 0)
		return r;
	ns->user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	if (ns->user < 0)
		return -errno;
	ns->net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return ns->net < 0 ? -errno : 0;
}

/* One answer: the error as an int, and beside 0 the two descriptors. */
int
holder_main(void)
{
	struct namespaces ns = NAMESPACES_NONE;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	int r = holder_make(&ns);
	struct iovec iov = {&r, sizeof(r)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg;

	if (r == 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(cmsg), (int[]){ns.user, ns.net}, 2 * sizeof(int));
	}
	return sendmsg(HOLDER_FD, &msg, MSG_NOSIGNAL) < 0;
}

/* The holder's answer.  Whatever else comes is -EPROTO. */
static int
holder_answer(int fd, struct namespaces *ret)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	int answer = 0, fds[2];
	struct iovec iov = {&answer, sizeof(answer)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *cmsg;
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (n == sizeof(answer) && answer < 0 && !cmsg)
		return answer;
	if (n != sizeof(answer) || answer != 0 || !cmsg || cmsg->cmsg_len != CMSG_LEN(sizeof(fds)))
		return -EPROTO;
	memcpy(fds, CMSG_DATA(cmsg), sizeof(fds));
	*ret = (struct namespaces){.user = fds[0], .net = fds[1]};
	return 0;
}

int
namespaces_make(struct namespaces *ret, struct trouble *t)
{
	static const char *const argv[] = {"warrend", "holder", NULL};
	static const char *const env[] = {NULL};
	_cleanup_(closep) int ours = -1;
	_cleanup_(closep) int theirs = -1;
	int pair[2], r, status;
	struct spawn spawn = {.path = "/proc/self/exe", .argv = argv, .env = env, .death_signal = SIGKILL};
	pid_t pid;

	*ret = (struct namespaces)NAMESPACES_NONE;
	r = channel_pair(SOCK_SEQPACKET, pair);
	if (r < 0)
		return trouble(t, r, "no socket pair: %s", error_words(r));
	ours = pair[0];
	theirs = pair[1];
	spawn.parent_fd = theirs;
	r = spawn_program(&spawn, &pid);
	if (r < 0)
		return trouble(t, r, "warrend cannot execute itself: %s", error_words(r));
	closep(&theirs);
	r = holder_answer(ours, ret);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return r < 0 ? namespaces_explain(-r, t) : 0;
}

void
namespaces_done(struct namespaces *ns)
{
	closep(&ns->net);
	closep(&ns->user);
}

static int
capabilities_keep(uint64_t caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int cap = 0; cap < 64; cap++)
		if (!(caps & (1ULL << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL) /* beyond the kernel's last */
				break;
			return -errno;
		}
	for (int i = 0; i < 2; i++) {
		const uint32_t half = (uint32_t)(caps >> (32 * i));

		data[i] = (struct __user_cap_data_struct){half, half, half};
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return -errno;
	for (int cap = 0; cap < 64; cap++)
		if ((caps & (1ULL << cap)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -errno;
	return 0;
}

int
namespaces_enter(const struct namespaces *ns, uint64_t caps)
{
	if (setns(ns->user, CLONE_NEWUSER) < 0 || setns(ns->net, CLONE_NEWNET) < 0)
		return -errno;
	return capabilities_keep(caps);
}

int
tun_check(const char *path, struct trouble *t)
{
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return trouble(t, -ERR_NO_TUN,
			       "%s cannot be opened: %s; as root: chmod 0666 %s (udev does so on most "
			       "systems); in a container "
			       "pass the device in, with the right to use it",
			       path, strerror(errno), path);
	if (errno == ENODEV || errno == ENXIO)
		return trouble(t, -ERR_NO_TUN,
			       "%s cannot be opened: the kernel has no TUN driver loaded (%s); as root: "
			       "modprobe tun",
			       path, strerror(errno));
	return trouble(t, -ERR_NO_TUN,
		       "%s is not there: %s; as root: modprobe tun, or mkdir -p /dev/net && mknod -m 0666 %s "
		       "c 10 200; "
		       "in a container: --device /dev/net/tun",
		       path, strerror(errno), path);
}
