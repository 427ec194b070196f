/*
 * warren-tunnel: WireGuard in user space, alone or as warrend's child.
 */
#include <stdlib.h>
#include <string.h>

#include "server/tunnel/managed.h"
#include "server/tunnel/standalone.h"

int
main(int argc, char *argv[])
{
	if (argc == 2 && strcmp(argv[1], MANAGED_FLAG) == 0)
		return managed_main();
	return standalone_main(argc, argv);
}
