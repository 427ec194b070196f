/*
 * One idiom for failure: `int`, >= 0 is success, < 0 is a negated errno or a negated ERR_ of the
 * table below.  Each line gives the stable code's name, its HTTP status and its words.
 */
#ifndef BASE_ERRORS_H
#define BASE_ERRORS_H

#define ERRORS(X)                                                                          \
	X(CONFIG, 400, "the configuration is not valid")                                   \
	X(MESSAGE, 500, "a message between processes is malformed")                        \
	X(CLOSED, 503, "the other side closed the connection")                             \
	X(NO_USERNS, 503, "user namespaces are not available")                             \
	X(NO_TUN, 503, "/dev/net/tun cannot be used")                                      \
	X(SELF_TEST, 500, "a cryptographic self-test failed")                              \
	X(NETLINK, 500, "the kernel refused a network change")                             \
	X(NFT, 500, "nft refused the rule set")                                            \
	X(DATABASE, 503, "the database is not available")                                  \
	X(DATABASE_NEWER, 503, "the database was made by a newer version of Warren")       \
	X(DATABASE_ROLE, 503, "the database role is not restricted by row-level security") \
	X(MIGRATION_CHANGED, 503, "an applied migration has another checksum")             \
	X(CONFLICT, 409, "it exists already")                                              \
	X(NOT_FOUND, 404, "there is no such thing")                                        \
	X(POOL_FULL, 409, "no free address in the pool")                                   \
	X(POOL_OVERLAP, 409, "the pool overlaps another one")                              \
	X(INVALID, 422, "a value is not valid")                                            \
	X(FORBIDDEN, 403, "this is not allowed")                                           \
	X(TUNNEL_DOWN, 503, "the tunnel process is not running")                           \
	X(NET_DOWN, 503, "the net process is not running")

enum error {
	ERR_FIRST = 4096, /* above every errno */
#define X(name, status, words) ERR_##name,
	ERRORS(X)
#undef X
	ERR_END
};

/* The words for a negated errno or error; static, never NULL. */
const char *error_words(int r);

/* The stable code in lower case: "pool_full", or the errno's name; static, never NULL. */
const char *error_code(int r);

/* The HTTP status that answers @r; 500 for what is not ours. */
int error_status(int r);

#endif
