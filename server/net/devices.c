#include "server/net/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/errors.h"

int
tun_open(const char *ifname)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
	_cleanup_(closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -ERR_NO_TUN;
	if (strlen(ifname) >= sizeof(request.ifr_name))
		return -EINVAL;
	strcpy(request.ifr_name, ifname);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	return take_fd(&fd);
}

static int
sysctl_is(const char *path, int value)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[16];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return strtol(text, NULL, 10) == value;
}

int
sysctl_set(const char *path, int value)
{
	_cleanup_(closep) int fd = -1;
	char whole[128], text[16];
	int r;

	snprintf(whole, sizeof(whole), "/proc/sys/%s", path);
	r = sysctl_is(whole, value);
	if (r != 0)
		return r < 0 ? r : 0;
	fd = open(whole, O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%d\n", value);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 1;
}
