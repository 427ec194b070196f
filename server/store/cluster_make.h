/*
 * Making a cluster and its files, for the files of this folder.
 */
#ifndef SERVER_STORE_CLUSTER_MAKE_H
#define SERVER_STORE_CLUSTER_MAKE_H

#include "server/store/cluster.h"
#include "server/store/postgres_bin.h"

#define CLUSTER_PASSWORD_LEN 65 /* 64 digits */
#define CLUSTER_OWNER        "warren"
#define CLUSTER_DATABASE     "warren"

/*
 * Reads @path (the superuser's password), or writes a new one there.  1: it is new; 0; errno.
 */
int password_file(const char *path, char ret[CLUSTER_PASSWORD_LEN]) _must_check_;

/* The owner's from the superuser's. */
void password_owner(const char superuser[CLUSTER_PASSWORD_LEN], char ret[CLUSTER_PASSWORD_LEN]);

/* A cluster in @dir, which is not there, with roles and database; made as @dir.new.  As cluster_prepare(). */
int cluster_make(const struct postgres_bin *bin, const char *dir, const char *password_path,
		 const char *owner_password, char error[CLUSTER_ERROR_LEN]) _must_check_;

/* Gives the roles of a stopped cluster these passwords. */
int cluster_repassword(const struct postgres_bin *bin, const char *dir, const char *superuser,
		       const char *owner, char error[CLUSTER_ERROR_LEN]) _must_check_;

/* postgresql.conf and pg_hba.conf, each whole. */
int cluster_configure(const char *dir, const char *socket_dir) _must_check_;

/* @text as file @name in @dir, 0600, whole or not at all, on disk. */
int file_write(const char *dir, const char *name, const char *text) _must_check_;

#endif
