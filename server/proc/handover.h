/*
 * What a child is given: configuration, identity, kept descriptors, channels to its siblings; and what it
 * hands up to be kept.
 */
#ifndef SERVER_PROC_HANDOVER_H
#define SERVER_PROC_HANDOVER_H

#include "server/proc/instance.h"

/* All that is @child's, after its HELLO. */
int handover(struct instance *child) _must_check_;

/* The kept descriptors called @name; NULL: all of its role. */
int handover_kept(struct instance *child, const char *name) _must_check_;

/* A TUN message of @child is in its supervisor. */
int handover_tun(struct instance *child, nsec_t now) _must_check_;

/* The same of a TUN_GONE. */
int handover_tun_gone(struct instance *child) _must_check_;

/* @child is gone: what waited for a sibling led to it. */
void handover_cut(struct instance *child);

#endif
