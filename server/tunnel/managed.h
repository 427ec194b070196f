/*
 * The tunnel as warrend's child.  warrend executes `warren-tunnel --managed` inside the inner namespaces,
 * with descriptor 3 connected to itself and no capability.
 */
#ifndef SERVER_TUNNEL_MANAGED_H
#define SERVER_TUNNEL_MANAGED_H

#define MANAGED_FLAG "--managed"
#define MANAGED_ROLE "tunnel" /* as it says HELLO */

/* Names under which things are handed over; TUN and UAPI have the interface's name behind them. */
#define MANAGED_UDP4       "udp4"
#define MANAGED_UDP6       "udp6"
#define MANAGED_ROUTES     "routes"
#define MANAGED_TUN        "tun:"
#define MANAGED_QUARANTINE "quarantine:" /* ... of a domain, the second device */
#define MANAGED_UAPI       "uapi:"
#define MANAGED_CONTROL    "control"
#define MANAGED_WATCH      "control-watch"

/* Returns the exit status. */
int managed_main(void);

#endif
