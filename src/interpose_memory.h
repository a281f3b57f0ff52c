/* What ends meshing, and locked memory for who makes system calls by their number. */
#ifndef MESH_INTERPOSE_MEMORY_H
#define MESH_INTERPOSE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Before the call that gives the reason (arena_mesh_forbid): parts what is meshed, and forbids more. *first says that the
 * reason is new: who gave it in vain takes it back. False if there is no memory for it, with errno ENOMEM. */
bool meshing_stop(unsigned reason, bool *first);

/* True if the call is mlock or one of its kin: then it was made, and *result is as of libc's `syscall`. */
bool memory_lock_call(long number, const uintptr_t *a, long *result);

#endif
