/*
 * transaction.h: the one way the background workers run a transaction.
 */
#ifndef VA_WORKER_TRANSACTION_H
#define VA_WORKER_TRANSACTION_H

typedef void (*transaction_body)(void *arg);

/* Runs body in a transaction of its own, with a snapshot and, where the worker is connected to a
 * database, SPI and a time limit. An error is rolled back and logged, but at most one in ten
 * seconds; then the result is false. activity is what pg_stat_activity shows meanwhile. Whatever
 * the body pallocs is gone afterwards. */
extern bool transaction_run(const char *activity, transaction_body body, void *arg);

#endif
