#include "server/tunnel/steer.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "server/wg/messages.h"

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

/* No socket has that number: the kernel goes by its hash. */
#define BY_HASH 0xffff

#define INDEX_END 12 /* of the header up to the last byte of a second index */

/*
 * A load beyond the end yields 0 as the answer, so the length comes first: of the whole superframe, if the
 * kernel merged datagrams.  An index is little-endian: its worker is in its first byte.
 */
int
steer_attach(int fd, unsigned sockets, unsigned worker_bits)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, INDEX_END, 0, 9),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WG_MSG_DATA, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WG_MSG_COOKIE, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WG_MSG_RESPONSE, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8), /* of a response it is the second index */
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 4),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (1U << worker_bits) - 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, BY_HASH),
	};
	const struct sock_fprog program = {.len = ARRAY_LEN(filter), .filter = filter};

	if (sockets < 2)
		return -EINVAL;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}
