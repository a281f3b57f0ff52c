/* The metadata allocator: thread heaps and magazines. Blocks are powers of two, kept for reuse by
 * size; of the larger ones, full-size magazines, only some keep their pages while they are free. */
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
/* Bytes taken from the system and not given back. */
size_t meta_resident(void);

#endif
