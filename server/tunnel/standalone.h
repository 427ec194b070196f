/*
 * The program on its own: `warren-tunnel [-f] IFNAME`, with the command line, the environment and the
 * socket of the reference user-space implementation.
 */
#ifndef SERVER_TUNNEL_STANDALONE_H
#define SERVER_TUNNEL_STANDALONE_H

#define UAPI_DIRECTORY "/var/run/wireguard"

/* Returns the exit status. */
int standalone_main(int argc, char *argv[]);

#endif
