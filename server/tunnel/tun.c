#include "server/tunnel/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/errors.h"
#include "server/tunnel/vnet.h"

#define TUN_DEVICE "/dev/net/tun"

static int
open_device(struct trouble *t)
{
	const int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		return trouble(t, -ERR_NO_TUN,
			       "%s may not be opened (%s): as root, \"chmod 0666 %s\" (harmless: devices "
			       "still need a "
			       "privilege), or start this program as root",
			       TUN_DEVICE, strerror(errno), TUN_DEVICE);
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return trouble(
			t, -ERR_NO_TUN,
			"%s is not there (%s): as root, \"modprobe tun\"; in a container, start it with "
			"\"--device %s\"",
			TUN_DEVICE, strerror(errno), TUN_DEVICE);
	return trouble(t, -errno, "%s cannot be opened: %s", TUN_DEVICE, strerror(errno));
}

static int
attach(int fd, const char *name, short flags)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | flags)};

	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

/*
 * A device that is there already wants the flags that it was made with.  Several queues cost a look at
 * every packet's flow, so they are asked for only if there is somebody to read them.
 */
static int
attach_any(int fd, const char *name, bool many)
{
	static const short flags[] = {IFF_VNET_HDR | IFF_MULTI_QUEUE,
				      IFF_VNET_HDR,
				      IFF_VNET_HDR | IFF_MULTI_QUEUE,
				      IFF_MULTI_QUEUE,
				      0,
				      IFF_MULTI_QUEUE};
	int r = -EINVAL;

	for (size_t i = many ? 0 : 1; i < ARRAY_LEN(flags) && r == -EINVAL; i++)
		r = attach(fd, name, flags[i]);
	return r;
}

static int
attach_trouble(const char *name, int r, struct trouble *t)
{
	switch (r) {
	case -EBUSY:
		return trouble(t, r,
			       "interface %s is in use: another program holds it, or it is no TUN device; "
			       "choose another name or end that program",
			       name);
	case -EPERM:
		return trouble(t, r,
			       "interface %s cannot be made: that needs CAP_NET_ADMIN in this network "
			       "namespace; start as root, or "
			       "let root make it once: \"ip tuntap add dev %s mode tun user %u multi_queue "
			       "vnet_hdr\"",
			       name, name, (unsigned)geteuid());
	case -EINVAL:
		return trouble(t, r,
			       "interface %s cannot be a TUN device: one of another kind has that name, or "
			       "the name is not valid "
			       "(1 to 15 characters, no blank, no slash)",
			       name);
	default:
		return trouble(t, r, "interface %s cannot be made: %s", name, strerror(-r));
	}
}

/* The name that it has in fact, its index, and the length of the vnet header. */
static int
identify(struct tun *tun)
{
	struct ifreq ifr = {0};
	int len = VNET_LEN, r;
	_cleanup_(closep) int fd = -1;

	if (ioctl(tun->fd, TUNGETIFF, &ifr) < 0)
		return -errno;
	if (!(ifr.ifr_flags & IFF_TUN) || !(ifr.ifr_flags & IFF_NO_PI))
		return -EINVAL;
	tun->vnet = ifr.ifr_flags & IFF_VNET_HDR;
	tun->many = ifr.ifr_flags & IFF_MULTI_QUEUE;
	memcpy(tun->name, ifr.ifr_name, IFNAMSIZ);
	tun->name[IFNAMSIZ - 1] = '\0';
	if (tun->vnet && ioctl(tun->fd, TUNSETVNETHDRSZ, &len) < 0)
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	memset(&ifr.ifr_ifru, 0, sizeof(ifr.ifr_ifru));
	r = ioctl(fd, SIOCGIFINDEX, &ifr);
	tun->ifindex = r < 0 ? 0 : (unsigned)ifr.ifr_ifindex; /* another namespace's: it has none here */
	return 0;
}

static int
first_open(struct tun *ret, const char *name, bool many, struct trouble *t)
{
	struct tun tun = TUN_NONE;
	int r;

	if (strlen(name) == 0 || strlen(name) >= IFNAMSIZ || strpbrk(name, "/ %:"))
		return attach_trouble(name, -EINVAL, t);
	tun.fd = open_device(t);
	if (tun.fd < 0)
		return tun.fd;
	r = attach_any(tun.fd, name, many);
	if (r == 0)
		r = identify(&tun);
	if (r < 0) {
		tun_close(&tun);
		return attach_trouble(name, r, t);
	}
	*ret = tun;
	return 0;
}

unsigned
tun_more(struct tun *tuns, unsigned max)
{
	const short flags = (short)(IFF_MULTI_QUEUE | (tuns[0].vnet ? IFF_VNET_HDR : 0));
	unsigned n = 1;

	if (!tuns[0].many || tuns[0].ifindex == 0)
		return n;
	for (; n < max; n++) {
		struct tun tun = {.fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK)};

		if (tun.fd < 0)
			break;
		if (attach(tun.fd, tuns[0].name, flags) < 0 || identify(&tun) < 0 ||
		    tun.ifindex != tuns[0].ifindex) {
			tun_close(&tun);
			break;
		}
		tuns[n] = tun;
	}
	return n;
}

int
tun_open(struct tun *tuns, unsigned max, const char *name, struct trouble *t)
{
	const int r = first_open(&tuns[0], name, max > 1, t);

	return r < 0 ? r : (int)tun_more(tuns, max);
}

/* One that was left aside by somebody else takes part again. */
static void
queue_attach(int fd, short what)
{
	struct ifreq ifr = {.ifr_flags = what};

	if (ioctl(fd, TUNSETQUEUE, &ifr) < 0)
		return; /* it does take part, or has one queue only */
}

void
tun_leave_aside(const struct tun *tun)
{
	queue_attach(tun->fd, IFF_DETACH_QUEUE);
}

int
tun_adopt(struct tun *ret, int fd, struct trouble *t)
{
	struct tun tun = {.fd = fd};
	int r;

	queue_attach(fd, IFF_ATTACH_QUEUE);
	r = identify(&tun);
	if (r < 0)
		return trouble(t, r,
			       "descriptor %d is not a TUN device's queue without packet information: %s", fd,
			       strerror(-r));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return trouble(t, -errno, "descriptor %d: %s", fd, strerror(errno));
	*ret = tun;
	return 0;
}

void
tun_close(struct tun *tun)
{
	closep(&tun->fd);
}

void
tun_probe(const struct tun *tun, struct stats *stats)
{
	static const unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	struct ladder *ladder = stats->ladder;
	bool has_tso, has_uso;

	ladder_probed(ladder, RUNG_TUN_VNET_HDR, tun->vnet, 0);
	if (!tun->vnet) /* which says nothing about the next device */
		return;
	has_uso = ioctl(tun->fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) == 0;
	has_tso = has_uso || ioctl(tun->fd, TUNSETOFFLOAD, tso) == 0;
	ladder_probed(ladder, RUNG_TUN_TSO_READ, has_tso, 0);
	ladder_probed(ladder, RUNG_TUN_USO_READ, has_uso, 0);
	/* writing asks for no offload; but a kernel that does not know of USO knows of it in neither way */
	ladder_probed(ladder, RUNG_TUN_TSO_WRITE, true, 0);
	ladder_probed(ladder, RUNG_TUN_USO_WRITE, has_uso, 0);
}

static int
interface_ioctl(const struct tun *tun, unsigned long request, struct ifreq *ifr)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !if_indextoname(tun->ifindex, ifr->ifr_name)) /* it may have been renamed */
		return -errno;
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

int
tun_state(const struct tun *tun, bool *up, unsigned *mtu)
{
	struct ifreq ifr = {0};
	int r;

	r = interface_ioctl(tun, SIOCGIFFLAGS, &ifr);
	if (r < 0)
		return -ENODEV;
	*up = ifr.ifr_flags & IFF_UP;
	r = interface_ioctl(tun, SIOCGIFMTU, &ifr);
	if (r < 0)
		return -ENODEV;
	*mtu = (unsigned)ifr.ifr_mtu;
	return 0;
}

int
tun_mtu_set(const struct tun *tun, unsigned mtu)
{
	struct ifreq ifr = {.ifr_mtu = (int)mtu};

	return interface_ioctl(tun, SIOCSIFMTU, &ifr);
}

int
tun_queue_set(const struct tun *tun, unsigned len)
{
	struct ifreq ifr = {.ifr_qlen = (int)len};

	return interface_ioctl(tun, SIOCSIFTXQLEN, &ifr);
}

ssize_t
tun_read(const struct tun *tun, void *frame, size_t len)
{
	const ssize_t n = read(tun->fd, frame, len);

	if (n < 0) /* EINVAL: the kernel had no words for the offload of a frame, and dropped it */
		return errno == EAGAIN || errno == EINTR || errno == EINVAL ? 0 : -errno;
	return n;
}

int
tun_write(const struct tun *tun, const struct iovec *iov, unsigned n)
{
	if (!tun->vnet) {
		iov++;
		n--;
	}
	return writev(tun->fd, iov, (int)n) < 0 ? -errno : 0;
}
