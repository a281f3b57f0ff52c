/* Large blocks: objects above SMALL_MAX, each a page run of its own. They are never meshed. */
#ifndef MESH_LARGE_H
#define MESH_LARGE_H

#include "config.h"

/* False for a block that the arena has no room for, whatever is given up for it. */
bool large_is_possible(size_t size, size_t align);
/* `align` is a power of two, bytes. *zeroed (if not NULL) tells whether all bytes are 0. NULL with errno
 * ENOMEM if that is not possible or there is no memory. */
void *large_malloc(size_t size, size_t align, bool *zeroed);
/* Ends the program unless `p` is the start of a large block. */
void large_free(void *p);
/* `p` is a large block; `size` is above SMALL_MAX, or of as many pages as it has. May move it. NULL with errno ENOMEM,
 * and the block as it was, when there is no memory. */
void *large_realloc(void *p, size_t size);
/* Bytes of the block. */
size_t large_usable_size(const void *p);

#endif
