/*
 * The `nft` program: JSON in, JSON out, on pipes; executed directly at the path found when building, with an
 * empty environment and with CAP_NET_ADMIN raised as ambient, or it would have none.  Its complaints come back
 * as words.  The caller ignores SIGPIPE: nft may end before it has read everything.
 */
#ifndef SERVER_NET_NFT_H
#define SERVER_NET_NFT_H

#include <jansson.h>

#include "base/cleanup.h"
#include "server/net/plan.h"

/* -ERR_NFT and words: it is not there or may not be executed. */
int nft_check(char error[NET_ERROR_LEN]) _must_check_;

/* One transaction: all of @commands or none.  -ERR_NFT: @error has nft's own words. */
int nft_apply(const json_t *commands, char error[NET_ERROR_LEN]) _must_check_;

/* All tables of family inet, as nft prints them; a new reference. */
int nft_list(json_t **ret, char error[NET_ERROR_LEN]) _must_check_;

#endif
