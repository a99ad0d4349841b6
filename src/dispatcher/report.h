/*
 * report.h: the dispatcher's counters, told to the database for va_stats() and va_health().
 */
#ifndef VA_DISPATCHER_REPORT_H
#define VA_DISPATCHER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/dispatcher.h"

/* Called every two seconds; sends a report unless one is under way. */
void dispatcher_report(struct dispatcher *d, bool connected, uint64_t now_us);

#endif
