/* The write barrier: makes stores to a span wait while its objects are copied.
 *
 * A batch runs  open -> protect* -> (copy, map anew) -> wake or give up for each range -> close.
 * Between protect and the new mapping no store to the range completes on the old pages. One batch at a
 * time: the caller holds the mesh lock. All signals of the calling thread are blocked from open to close,
 * because a handler that ran on this thread and stored to a protected page would wait for itself. */
#ifndef MESH_BARRIER_H
#define MESH_BARRIER_H

#include "options.h"

/* What is in use; BARRIER_AUTO before the first batch. */
BarrierKind barrier_kind(void);

/* Chooses a back end if there is none yet. False if there is none just now. */
bool barrier_choose(void);
/* False if there is none just now. */
bool barrier_open(void);
/* False, and the range is as it was, if the kernel will not, or if a system call under way may write
 * there and could not be made to wait. */
bool barrier_protect(char *addr, size_t size);
/* The range was mapped anew: its writers go on there. */
void barrier_wake(char *addr, size_t size);
/* The range was not: its writers go on on the old pages. To be called for all that is next to each other at
 * once: a part might take a mapping more than there may be. */
void barrier_give_up(char *addr, size_t size);
void barrier_close(void);
/* Its descriptor, -1 if there is none. */
int barrier_fd(void);
/* Takes it elsewhere if it is this one. */
void barrier_move_fd(int fd);
/* In the child of a fork: the descriptor is for the parent's memory. */
void barrier_fork_child(void);

#endif
