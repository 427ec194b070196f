/*
 * The rungs of the ladder: every help of the kernel (and of the CPU) that makes the tunnel fast, each with
 * what it costs to be without, and what to do about it.  Nothing of it needs to be linked: control shows
 * the words, too.  The names in lower case are stable (UAPI, labels of metrics).
 */
#ifndef SERVER_TUNNEL_RUNGS_H
#define SERVER_TUNNEL_RUNGS_H

#include <string.h>

#define RUNG_KERNEL_OLD "run a newer kernel"
#define RUNG_NIC                                                                                             \
	"update the kernel or the network card's driver, or see `ethtool -k` for its checksum offload"

/* name, what it costs to be without, the remedy */
#define RUNGS(X)                                                                                             \
	X(TUN_VNET_HDR, tun_vnet_hdr, "every packet is a system call of its own: a quarter of the speed",    \
	  "make the device with vnet_hdr: ip tuntap add ... vnet_hdr")                                       \
	X(TUN_TSO_READ, tun_tso_read, "TCP is read from the TUN device packet by packet",                    \
	  "make the device with vnet_hdr: ip tuntap add ... vnet_hdr")                                       \
	X(TUN_TSO_WRITE, tun_tso_write, "TCP is written to the TUN device packet by packet",                 \
	  RUNG_KERNEL_OLD ": some of 6.6 and other long-term ones refuse good superframes")                  \
	X(TUN_USO_READ, tun_uso_read, "UDP (QUIC) is read from the TUN device packet by packet",             \
	  RUNG_KERNEL_OLD ": 6.2 or later")                                                                  \
	X(TUN_USO_WRITE, tun_uso_write, "UDP (QUIC) is written to the TUN device packet by packet",          \
	  RUNG_KERNEL_OLD ": 6.2 or later")                                                                  \
	X(UDP4_GSO, udp4_gso,                                                                                \
	  "over IPv4 every datagram goes through the kernel alone: up to half the speed", RUNG_NIC)          \
	X(UDP6_GSO, udp6_gso,                                                                                \
	  "over IPv6 every datagram goes through the kernel alone: up to half the speed", RUNG_NIC)          \
	X(PEER_PATH, peer_path,                                                                              \
	  "peers whose path is narrower than our datagrams get them singly and cut up",                      \
	  "lower the tunnel's MTU at both ends, 1280 always fits, or repair the path")                       \
	X(PEER_ANSWERS, peer_answers, "peers that never answered a batch get their datagrams singly",        \
	  "a network card or hypervisor on the way spoils batches: " RUNG_NIC                                \
	  ", or ethtool -K ... tx-udp-segmentation off")                                                     \
	X(UDP4_GRO, udp4_gro, "over IPv4 every datagram is received alone: up to a third of the speed",      \
	  RUNG_KERNEL_OLD ": 5.12 or later")                                                                 \
	X(UDP6_GRO, udp6_gro, "over IPv6 every datagram is received alone: up to a third of the speed",      \
	  RUNG_KERNEL_OLD ": 5.12 or later")                                                                 \
	X(SENDMMSG, sendmmsg, "a system call for each batch sent", "let the seccomp filter pass sendmmsg")   \
	X(RECVMMSG, recvmmsg, "a system call for each datagram received",                                    \
	  "let the seccomp filter pass recvmmsg")                                                            \
	X(STEERING, steering, "packets reach their peer's worker by way of another",                         \
	  "let the seccomp filter pass setsockopt(SO_ATTACH_REUSEPORT_CBPF)")                                \
	X(TUN_QUEUES, tun_queues, "one worker reads the TUN device for all",                                 \
	  "make the device with multi_queue: ip tuntap add ... multi_queue vnet_hdr")                        \
	X(SOCKETS, sockets, "one worker receives for all",                                                   \
	  "hand over a socket for each worker, or let this program open them")                               \
	X(AEAD, aead, "the cipher takes two to four times as long",                                          \
	  "build with libipsec-mb, on an amd64 CPU with AVX2")                                               \
	X(RECEIVE_BUFFER, receive_buffer, "bursts are lost while the workers are busy",                      \
	  "raise it, as root: sysctl -w net.core.rmem_max=7340032")                                          \
	X(SEND_BUFFER, send_buffer, "sending stops and goes on more often than needed",                      \
	  "raise it, as root: sysctl -w net.core.wmem_max=262144")

enum rung {
#define X(name, low, cost, remedy) RUNG_##name,
	RUNGS(X)
#undef X
		RUNG_COUNT
};

struct rung_words {
	const char *name, *cost, *remedy;
};

static inline const struct rung_words *
rung_words(enum rung rung)
{
	static const struct rung_words words[] = {
#define X(name, low, cost, remedy) [RUNG_##name] = {#low, cost, remedy},
		RUNGS(X)
#undef X
	};

	return &words[rung];
}

/* NULL: no such rung. */
static inline const struct rung_words *
rung_by_name(const char *name)
{
	for (int i = 0; i < RUNG_COUNT; i++)
		if (strcmp(rung_words((enum rung)i)->name, name) == 0)
			return rung_words((enum rung)i);
	return NULL;
}

#endif
