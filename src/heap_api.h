/* The allocator without its exported names: what malloc.c and cxx.c are made of, and what tests call
 * that run under a sanitizer's own malloc. Semantics are those of the function named alike. */
#ifndef MESH_HEAP_API_H
#define MESH_HEAP_API_H

#include "thread_local_heap.h"

void *mesh_malloc(size_t size);
void *mesh_calloc(size_t count, size_t size);
void *mesh_realloc(void *p, size_t size);
/* `align` is a power of two. */
void *mesh_memalign(size_t align, size_t size);
void mesh_free(void *p);
size_t mesh_usable_size(const void *p);
/* Gives all memory that is free back to the system; true if there was any. */
bool mesh_trim(void);

#endif
