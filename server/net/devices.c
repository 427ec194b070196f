#include "server/net/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/errors.h"
#include "base/text.h"

int
tun_open(const char *ifname)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
	_cleanup_(closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -ERR_NO_TUN;
	if (strlen(ifname) >= sizeof(request.ifr_name))
		return -EINVAL;
	text_copy(request.ifr_name, sizeof(request.ifr_name), ifname);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	return take_fd(&fd);
}

int
tun_open_queues(const char *ifname, int *queues, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		queues[i] = tun_open(ifname);
		if (queues[i] < 0) {
			const int r = queues[i];

			while (i > 0)
				closep(&queues[--i]);
			return r;
		}
	}
	return 0;
}

static int
sysctl_open(const char *path, int flags)
{
	char whole[128];
	int fd;

	if ((size_t)snprintf(whole, sizeof(whole), "/proc/sys/%s", path) >= sizeof(whole))
		return -ENAMETOOLONG;
	fd = open(whole, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int
sysctl_get(const char *path, int *ret)
{
	_cleanup_(closep) int fd = sysctl_open(path, O_RDONLY);
	char text[16];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	*ret = (int)strtol(text, NULL, 10);
	return 0;
}

int
sysctl_set(const char *path, int value)
{
	_cleanup_(closep) int fd = -1;
	char text[16];
	int r, is = 0;

	r = sysctl_get(path, &is);
	if (r < 0 || is == value)
		return r;
	fd = sysctl_open(path, O_WRONLY);
	if (fd < 0)
		return fd;
	snprintf(text, sizeof(text), "%d\n", value);
	return write(fd, text, strlen(text)) < 0 ? -errno : 1;
}
