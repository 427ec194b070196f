#ifndef SERVER_PROC_PASTA_H
#define SERVER_PROC_PASTA_H

/* Where pasta(1) is installed: static, absolute; NULL: nowhere (the package is called passt). */
const char *pasta_path(void);

#endif
