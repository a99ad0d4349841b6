/*
 * db_lookup.h: finds the addresses of a connection string's host without blocking; libpq's own
 * look-up would hold up the loop, and with it every call's audio. Internal to net.
 */
#ifndef VA_NET_DB_LOOKUP_H
#define VA_NET_DB_LOOKUP_H

struct loop;
struct db_lookup;

/* hosts and addresses: comma-separated lists of equal length for libpq's host and hostaddr; NULL
 * when the name was not found, and error says so. */
typedef void (*db_lookup_done)(void *arg, const char *hosts, const char *addresses,
							   const char *error);

/* Starts when the string names a single host that is neither a folder nor numeric; else NULL, and
 * libpq can be given the string as it is. done comes once, later, unless cancelled. */
struct db_lookup *db_lookup_start(struct loop *loop, const char *conninfo, db_lookup_done done,
								  void *arg);
void db_lookup_cancel(struct db_lookup *lookup);

#endif
