/*
 * Which worker owns a peer.  The device asks for new peers, a worker for those that it looked up.
 */
#ifndef SERVER_WG_OWNER_H
#define SERVER_WG_OWNER_H

#include <stdint.h>

/* @number: of the peer's id.  @workers: as the device was made with. */
static inline unsigned
wg_owner(uint32_t number, unsigned workers)
{
	return number % workers;
}

#endif
