/*
 * compat.h: what differs between the major versions of PostgreSQL, 15 and later, in one place.
 */
#ifndef VA_WORKER_COMPAT_H
#define VA_WORKER_COMPAT_H

#include "postgres.h"

#include "catalog/pg_database.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h" /* VARDATA and its kind: part of postgres.h before */
#endif
#if PG_VERSION_NUM >= 170000
#include "utils/resowner.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

#if PG_VERSION_NUM < 150000
#error "voiceagent needs PostgreSQL 15 or later"
#endif

/* From libpq/scram.h, which would drag in the headers of Kerberos and OpenSSL that the server
 * happened to be built with. */
extern char *pg_be_scram_build_secret(const char *password);

/* A wait event set that lives until it is freed: 17 asks for its owner, not for its context. */
static inline WaitEventSet *
compat_create_wait_event_set(int size)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, size);
#else
	return CreateWaitEventSet(TopMemoryContext, size);
#endif
}

/* 16 made one function of the many pg_…_ownercheck. */
static inline bool
compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

#endif
