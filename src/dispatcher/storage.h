/*
 * storage.h: recordings and documents on their way to files or S3, and away from there.
 */
#ifndef VA_DISPATCHER_STORAGE_H
#define VA_DISPATCHER_STORAGE_H

#include "dispatcher/job.h"

extern const struct provider storage_provider; /* storage.recording, .put, .delete */

#endif
