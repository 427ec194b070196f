/*
 * What a worker is, for the files that make it up: worker.c (its thread, its turn, and what control sees of
 * it), worker_out.c (TUN to sockets), worker_in.c (sockets to TUN).
 */
#ifndef SERVER_TUNNEL_WORKER_STATE_H
#define SERVER_TUNNEL_WORKER_STATE_H

#include <pthread.h>
#include <semaphore.h>

#include "server/tunnel/merge.h"
#include "server/tunnel/receiver.h"
#include "server/tunnel/sender.h"
#include "server/tunnel/worker.h"
#include "server/wg/constants.h"
#include "server/wg/path.h"

#define WORKER_IN_BATCH 256

enum worker_source { SOURCE_WAKE, SOURCE_UDP4, SOURCE_UDP6, SOURCE_TUN, SOURCE_COUNT };

struct worker {
	struct worker_config config;
	struct stats stats;
	struct wg_path *path;
	struct receiver *receiver;
	struct sender *sender;
	struct merge *merge;
	struct tun tun;
	struct udp udp;
	struct wg_now now;
	int epoll_fd, wake_fd, event_fd;
	bool blocked;                      /* a socket is full */
	unsigned udp_frames[UDP_FAMILIES]; /* to ask for next time */

	struct received frames[RECEIVER_FRAMES];
	struct path_in in[WORKER_IN_BATCH];
	unsigned n_in;

	/* the last answer of the allowed IPs */
	uint64_t looked_version;
	uint8_t looked_len, looked[16];
	struct wg_peer_id looked_peer;

	struct ring orders, reports, datagrams;
	_Atomic uint64_t epoch_said, epoch_seen;
	atomic_uint mtu;
	atomic_bool told, woken, stop, pause, tun_gone;
	bool started;
	pthread_t thread;
	sem_t paused, resumed;

	uint8_t frame[TUN_FRAME_MAX];
};

/* Takes frames from the TUN device, within a budget, as long as the sockets take what comes of them. */
void worker_tun_serve(struct worker *worker);

/* Takes datagrams, within a budget. */
void worker_udp_serve(struct worker *worker, enum udp_family family);

/* Sends what waits.  False: a socket is full, and what is left waits for it. */
bool worker_send(struct worker *worker);

/* The TUN device was taken away: no more is read from it, and control is told. */
void worker_tun_lose(struct worker *worker);

/* Control is woken: there is something in the rings. */
void worker_tell(struct worker *worker);

#endif
