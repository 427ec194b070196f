/*
 * The header before each packet of a TUN device with IFF_VNET_HDR (struct virtio_net_hdr of 10 bytes, in
 * the host's order), and what headers of older kernels lack.
 */
#ifndef SERVER_TUNNEL_VNET_H
#define SERVER_TUNNEL_VNET_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#define VNET_LEN 10

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

_Static_assert(sizeof(struct virtio_net_hdr) == VNET_LEN, "TUN's legacy header");

#endif
