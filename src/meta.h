/* The metadata allocator: thread heaps and magazines. Blocks are powers of two, kept for reuse by
 * size, never given back; what they can add up to is bounded by the number of threads that ran at once
 * and by the bound on the depot. */
#ifndef MESH_META_H
#define MESH_META_H

#include "config.h"

enum { META_MIN_SHIFT = 6, META_MAX_SHIFT = 16 };

/* `size` at most 1 << META_MAX_SHIFT. Contents undefined. NULL when the system has no memory. */
void *meta_alloc(size_t size);
/* `size` as given to meta_alloc. */
void meta_free(void *block, size_t size);
/* For fork. */
struct Lock *meta_lock(void);
/* Bytes taken from the system. */
size_t meta_mapped(void);

#endif
