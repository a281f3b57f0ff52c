/* Locked memory, for who makes system calls by their number. */
#ifndef MESH_INTERPOSE_MEMORY_H
#define MESH_INTERPOSE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* True if the call is mlock or one of its kin: then it was made, and *result is as of libc's `syscall`. */
bool memory_lock_call(long number, const uintptr_t *a, long *result);

#endif
