/*
 * The roles that warrend plays when it executes itself: each is one function, supplied by its own
 * folder, called after process_harden() with descriptor 3 connected to warrend.  It returns the
 * exit status.
 */
#ifndef SERVER_PROC_ROLES_H
#define SERVER_PROC_ROLES_H

int uplink_main(void);  /* server/proc: outside; runs pasta joined to the inner namespaces */
int net_main(void);     /* server/net: inner namespaces, CAP_NET_ADMIN there */
int control_main(void); /* server/control_main.c: outside; joins control and web */

#endif
