// The lower limit for a malloc/free pair: one plain LIFO list for each size, told the size again at free, no
// checks.
#ifndef BENCH_FREELIST_H
#define BENCH_FREELIST_H

#include <stddef.h>

void *freelist_alloc(size_t size);             // size: 1 to 1024
void freelist_free(void *block, size_t size);  // by the thread that allocated it

#endif
